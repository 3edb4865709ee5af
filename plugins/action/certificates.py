# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signs what hosts request with the authorities in the controller's folder; a host with nothing to renew is asked once."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError


class ActionModule(ActionBase):
    """The controller's half of the certificates module."""

    MODULE = "hardway.kubernetes.certificates"

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        self.task_vars = task_vars
        try:
            pki = Pki(args.pop("pki_dir"), args.pop("passphrase", None))
            result.update(self._exchange(pki, args))
        except PkiError as error:
            result.update(failed=True, changed=False, msg=str(error))
        return result

    def _exchange(self, pki, args):
        state = pki.state()
        if state == "absent" and not self._task.check_mode:
            raise PkiError("the folder of the cluster's authorities, %s, is missing" % pki.folder)
        wishes = {wish["path"]: dict(wish) for wish in args.get("certificates") or []}
        if state == "absent":  # check mode of a first run: there is nothing on any host yet
            return {
                "changed": True,
                "issued": {path: "there is none yet" for path in wishes},
                "diff": _diff(wishes, {}),
            }
        args["authorities"] = pki.with_content(args.get("authorities"))
        seen = self._module(dict(args, step="inspect"))
        if seen.get("failed") or seen.get("unreachable"):
            return seen
        issued = pki.renewals(wishes.values(), seen["found"])
        answer = {
            "changed": seen["changed"] or bool(issued),
            "issued": issued,
            "diff": seen.get("diff", []) + _diff({path: wishes[path] for path in issued}, issued),
        }
        if not issued or self._task.check_mode:
            return answer
        requests = {path: seen["found"][path]["request"] for path in issued if "request" in seen["found"][path]}
        lacking = [path for path in issued if path not in requests]
        if lacking:
            more = self._module(dict(args, step="request", certificates=[wishes[path] for path in lacking]))
            if more.get("failed") or more.get("unreachable"):
                return more
            requests.update(more["requests"])
        days = int(args.get("days") or 365)
        signed = {
            path: pki.sign_request(pki.keeping_names(wishes[path], seen["found"][path]["certificate"]), request, days)
            for path, request in requests.items()
        }
        wished = [wishes[path] for path in signed]
        done = self._module(dict(args, step="install", certificates=wished, signed=signed))
        if done.get("failed") or done.get("unreachable"):
            return done
        return answer

    def _module(self, args):
        return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=self.task_vars)


def _diff(wishes, reasons):
    return [
        {
            "before_header": path + ".crt",
            "after_header": path + ".crt",
            "before": "%s\n" % reasons.get(path, "there is none yet"),
            "after": "CN=%s, issued by the %s authority\n" % (wish["common_name"], wish["ca"]),
        }
        for path, wish in wishes.items()
    ]
