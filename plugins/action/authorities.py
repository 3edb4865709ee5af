# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the cluster's authorities on the controller, once, and only where no host trusts others already."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError


class ActionModule(ActionBase):
    """The controller's half of the authorities module."""

    MODULE = "hardway.kubernetes.authorities"

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = self._task.args
        pki = Pki(args["pki_dir"], args.get("passphrase"))
        try:
            if pki.state() == "whole":
                return dict(result, changed=False, found=[])
            if args["state"] == "inspected":
                look = {"state": "inspected", "pki_dir": pki.folder, "paths": args.get("paths") or []}
                result.update(self._execute_module(module_name=self.MODULE, module_args=look, task_vars=task_vars))
                return result
            self._refuse_beside_cluster(pki, args)
            if not self._task.check_mode:
                pki.create(args["cluster_name"], int(args.get("days") or 3650), args.get("key_type") or "ecdsa-p256")
        except PkiError as error:
            return dict(result, failed=True, changed=False, msg=str(error))
        diff = {
            "before_header": pki.folder,
            "after_header": pki.folder,
            "before": "absent\n",
            "after": "three authorities\n",
        }
        return dict(result, changed=True, diff=[diff])

    def _refuse_beside_cluster(self, pki, args):
        if not args.get("founders"):
            raise PkiError(
                "the folder of the cluster's authorities, %s, is missing, and the inventory names no host of etcd or of an API "
                "server: the cluster is there already, and its folder belongs here. Point cluster_controller_dir at it, or name "
                "the groups (cluster_etcd_group, cluster_kube_apiserver_group). Nothing was changed." % pki.folder
            )
        found = args.get("found") or {}
        trusting = sorted(host for host, paths in found.items() if paths)
        if trusting:
            raise PkiError(
                "the folder of the cluster's authorities, %s, is missing, but these hosts run with authorities already: %s. "
                "Restore the folder from your backup or point cluster_controller_dir at it. A new one would cut every "
                "host off; to start over, run the reset playbook first. Nothing was changed."
                % (pki.folder, ", ".join(trusting))
            )
        silent = sorted(set(args.get("hosts") or []) - set(found))
        if silent:
            raise PkiError(
                "the folder of the cluster's authorities, %s, is missing and these hosts did not say whether they run with "
                "authorities already: %s. A first run needs every host: bring them up, take them out of the inventory, or "
                "restore the folder from your backup. Nothing was changed." % (pki.folder, ", ".join(silent))
            )
