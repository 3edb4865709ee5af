# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the node_drain module with an hour's access to the API."""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.api_access import ApiAction


class ActionModule(ApiAction):
    """The controller's half of the node_drain module."""

    MODULE = "hardway.kubernetes.node_drain"
