# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hands release files from a folder of the controller to the hosts that lack them; otherwise the module does all."""

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The controller's half of the release_files module."""

    MODULE = "hardway.kubernetes.release_files"
    TRANSFERS_FILES = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        local_dir = os.path.expanduser(args.get("local_dir") or "")
        if not local_dir:
            args.pop("local_dir", None)
            return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)
        result = self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)
        if result.get("failed") or not result.get("missing") or self._task.check_mode:
            return result
        absent = [path for path in result["missing"] if not os.path.isfile(os.path.join(local_dir, path))]
        if absent:
            return {
                "failed": True,
                "changed": False,
                "msg": "release__local_dir %s lacks: %s. Put upstream's files there under these paths."
                % (local_dir, ", ".join(absent)),
            }
        self._make_tmp_path()
        staged = {}
        for number, path in enumerate(result["missing"]):
            remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "release-%d" % number)
            self._transfer_file(os.path.join(local_dir, path), remote)
            staged[path] = remote
        try:
            return self._execute_module(
                module_name=self.MODULE, module_args=dict(args, staged=staged), task_vars=task_vars
            )
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir, force=True)
