# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts several components of a host in one call, and then lets those that need a restart take their turns."""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.secrets import all_apart
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.turns import TurnsAction


class ActionModule(TurnsAction):
    """The controller's half of the components module."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        wishes, secrets = all_apart(args["components"])
        result = self._execute_module(
            module_name="hardway.kubernetes.components",
            module_args=dict(args, components=wishes, secrets=secrets),
            task_vars=task_vars,
        )
        for role in result.get("restart_pending") or []:
            wish = args["components"][role]
            turn = self._take_turn(wish, task_vars)
            result["diff"] = result.get("diff", []) + turn.get("diff", [])
            result["changed"] = result["changed"] or turn.get("changed", False)
            if turn.get("failed") or turn.get("unreachable"):
                return dict(turn, changed=result["changed"], diff=result["diff"])
            for key in ("started", "restarted", "reloaded"):
                if turn.get(key):
                    result[key].append(wish["name"])
        return result
