# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Adds to a host's survey what only the controller can: it judges certificates and the clock, and signs access to etcd. Writes nothing."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import clock
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.api_access import access
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.secrets import all_apart


class ActionModule(ActionBase):
    """The controller's half of the survey module."""

    MODULE = "hardway.kubernetes.survey"

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if not args.get("pki_dir"):
            return dict(result, failed=True, changed=False, msg="survey wants pki_dir, the folder of the authorities")
        roles = args.pop("roles", None) or list(args.get("components") or {})
        wished = args.get("certificates") or {}
        args["units"] = [role.replace("_", "-") for role in roles]
        args["components"], args["secrets"] = all_apart(args.get("components") or {})
        try:
            pki = Pki(args.pop("pki_dir"), args.pop("passphrase", None))
            fresh = pki.state() == "absent"  # a new cluster: nothing of it is on the host as wished
            if fresh:
                args.update(certificates={}, components={}, secrets={})
            elif wished:
                args["certificates"] = wished = dict(wished, authorities=pki.with_content(wished.get("authorities")))
            if args.get("etcd") and not fresh:
                hour = access(pki, "etcd")
                args["client_key"] = hour.pop("client_key")
                args["etcd"] = dict(args["etcd"], **hour)
            seen, wrong = clock.look(
                lambda: self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars),
                (args.get("settings") or {}).get("maximum_clock_skew"),
            )
            if seen.get("failed") or seen.get("unreachable"):
                return seen
            if wrong:
                seen["host"]["findings"] += wrong
            todo = set(seen["todo"])
            if fresh or pki.renewals(wished.get("certificates"), seen.pop("found", {})):
                todo.add("certificates")
        except PkiError as error:
            return dict(result, failed=True, changed=False, msg=str(error))
        if todo & {"release", "certificates"}:  # what these bring, processes may have to be started with
            todo.update(roles)
        return dict(seen, todo=sorted(todo))
