# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets first starts of a component run side by side on all hosts, and restarts one host after the other.

Touches on the controller: one lock file for each component in the cluster's folder.
"""

from __future__ import annotations

import fcntl
import os

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The controller's half of the component module."""

    MODULE = "hardway.kubernetes.component"

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if args.get("state", "started") != "started" or self._task.check_mode:
            return self._module(args, task_vars)
        result = self._module(dict(args, restart="defer"), task_vars)
        if result.get("failed") or not result.get("restart_pending"):
            return result
        with open(self._turn_path(args["name"], task_vars), "a+", encoding="utf-8") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            turn.seek(0)
            run, dummy, reason = turn.read().partition("\n")
            if run == str(os.getppid()):
                return {
                    "failed": True,
                    "changed": False,
                    "msg": "%s was left as it is here: its new settings failed on another host. %s"
                    % (args["name"], reason),
                }
            result = self._module(dict(args, restart="now"), task_vars)
            turn.truncate(0)
            if result.get("failed"):
                turn.write("%d\n%s: see that host's message." % (os.getppid(), task_vars["inventory_hostname"]))
        return result

    def _module(self, args, task_vars):
        return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)

    def _turn_path(self, name, task_vars):
        """One file for each cluster and component; all workers of a run, and other runs here, wait in it for their turn."""
        folder = os.path.join(os.path.expanduser(self._templar.template(task_vars["cluster_controller_dir"])), "turns")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return os.path.join(folder, name)
