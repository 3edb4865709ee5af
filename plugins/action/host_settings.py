# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the host_settings module, and where that only looks judges the host's clock by the controller's."""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.clock import ClockAction


class ActionModule(ClockAction):
    """The controller's half of the host_settings module."""

    MODULE = "hardway.kubernetes.host_settings"
