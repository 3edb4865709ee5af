# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets first starts of a component run side by side on all hosts, and restarts one host after the other."""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.turns import TurnsAction


class ActionModule(TurnsAction):
    """The controller's half of the component module."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        takes_turns = args.get("state", "started") == "started" and not self._task.check_mode
        result = self._run(dict(args, restart="defer") if takes_turns else args, task_vars)
        if result.get("failed") or not result.get("restart_pending"):
            return result
        return self._take_turn(args, task_vars)
