# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives an action plugin an hour's access to the API, or to etcd: no standing administrator's key lies on any host."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError

HOUR = 1 / 24


def access(pki, authority="kubernetes"):
    """Options of a module for an hour as system:masters, or as a client of another authority's servers. Raises PkiError."""
    groups = ["system:masters"] if authority == "kubernetes" else []
    certificate, key = pki.client("hardway.kubernetes", groups, HOUR, authority=authority)
    return {"ca": pki.read(authority + "-ca.crt"), "client_certificate": certificate, "client_key": key}


class ApiAction(ActionBase):
    """Runs MODULE on the task's host with a client certificate that was signed for this one task."""

    MODULE = ""

    def options(self, args):
        """The module's options from the task's."""
        return args

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = self.options(dict(self._task.args))
        try:
            pki = Pki(args.pop("pki_dir"), args.pop("passphrase", None))
            if pki.state() == "absent":
                if self._task.check_mode:  # a first run: there is no cluster to ask yet
                    return dict(result, changed=True, msg="there is no cluster yet")
                raise PkiError("the folder of the cluster's authorities, %s, is missing" % pki.folder)
            args.update(access(pki))
        except PkiError as error:
            return dict(result, failed=True, changed=False, msg=str(error))
        result.update(self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars))
        return result
