# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the api_objects module with an hour's access to the API; what Secrets hold goes apart, so that no log has it."""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.api_access import ApiAction
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.secrets import contents_apart


class ActionModule(ApiAction):
    """The controller's half of the api_objects module."""

    MODULE = "hardway.kubernetes.api_objects"

    def options(self, args):
        args["objects"], args["secrets"] = contents_apart(args.get("objects"))
        return args
