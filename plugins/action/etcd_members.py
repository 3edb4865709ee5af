# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides from what all hosts saw what this one has to do to be a member of etcd, and has it done, one host after the other."""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.api_access import access
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.etcd_plan import BEGIN, JOIN, NONE, departures, plan
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.turns import TurnsAction

FOR_HOSTS = ("name", "peer_url", "servers", "wal_dir", "bootstrap", "data_dir", "health", "within")
WORDS = {
    "begin": "a member of a new cluster: %s",
    "join": "a new member of the cluster that runs, a learner first: %s",
    "promote": "a member that votes: %s",
}


class ActionModule(TurnsAction):
    """The controller's half of the etcd_members module."""

    MODULE = "hardway.kubernetes.etcd_members"

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        self.task_vars = task_vars
        self.wish = {name: args[name] for name in FOR_HOSTS if name in args}
        try:
            pki = Pki(args["pki_dir"], args.get("passphrase"))
            if pki.state() == "whole":
                self.wish.update(access(pki, "etcd"))
            if args.get("state", "inspected") == "inspected":
                return dict(result, **self._module("look"))
            result.update(self._leave(args) if args["state"] == "absent" else self._make(args))
        except PkiError as error:
            result.update(failed=True, changed=False, msg=str(error))
        return result

    def _make(self, args):
        """Do what the plan has for this host."""
        host = self.task_vars["inventory_hostname"]
        steps, findings = plan(args["seen"], args["peers"])
        sentences = findings.get("", []) + findings.get(host, [])
        if sentences:
            return {"failed": True, "changed": False, "msg": "etcd on %s: %s" % (host, " ".join(sentences))}
        step = steps.get(host, NONE)
        if step == NONE:
            return {"changed": False, "plan": step}
        members = ", ".join(sorted(args["peers"]))
        answer = {"changed": True, "plan": step, "diff": [_diff(host, WORDS[step] % members)]}
        if self._task.check_mode:
            return answer
        if step == BEGIN:
            entries = ["%s=%s" % (self._name(one, host), url) for one, url in args["peers"].items()]
            done = self._start(args, "new", ",".join(entries), wait_first_start=False)
        else:
            with self._turn(args["component"]["name"], self.task_vars) as turn:
                done = turn.refused or self._join(args, step)
                turn.ended(done)
        answer["diff"] += done.get("diff", [])
        return dict(done, **answer) if done.get("failed") or done.get("unreachable") else answer

    def _leave(self, args):
        """Take members out, looking anew before each."""
        if self._task.check_mode:
            return self._take_out(args)
        # Neither joins nor restarts of this controller's other runs come between; of others the Lease holds restarts off.
        with self._turn("etcd", self.task_vars):
            return self._take_out(args)

    def _take_out(self, args):
        self.wish["health"] = True
        left, diff = [], []
        while True:
            told = self._module("look")
            if told.get("failed") or told.get("unreachable"):
                return dict(told, changed=bool(left))
            order, findings = departures(told["seen"], args["leaving"], args["peers"].values(), args["names"])
            if findings:
                sentences = sorted(" ".join(sentences) for sentences in findings.values())
                return {"failed": True, "changed": bool(left), "left": left, "diff": diff, "msg": " ".join(sentences)}
            for host, member in order if self._task.check_mode else order[:1]:
                if not self._task.check_mode:
                    turn = self._with_lease({"lease": args.get("lease")}, self.task_vars)
                    access_to_lease = {"turn": turn["turn"], "turn_key": turn["client_key"]} if "turn" in turn else {}
                    done = self._module("remove", member_id=member["id"], **access_to_lease)
                    if done.get("failed") or done.get("unreachable"):
                        return dict(done, changed=bool(left), diff=diff)
                left.append(host)
                diff.append(_gone(host, member))
            if self._task.check_mode or len(order) < 2:
                return {"changed": bool(left), "left": left, "diff": diff}

    def _join(self, args, step):
        """Announce the member where it is new, start it, and let it vote."""
        cluster = None
        if step == JOIN:
            announced = self._module("announce")
            if announced.get("failed") or announced.get("unreachable"):
                return announced
            cluster = announced["initial_cluster"]
        healthy = dict(args["component"].get("healthy") or {}, within=self.wish.get("within", 600))
        started = self._start(args, "existing", cluster, wait_first_start=True, healthy=healthy)
        if started.get("failed") or started.get("unreachable"):
            return started
        promoted = self._module("promote")
        return dict(promoted, diff=started.get("diff", []))

    def _name(self, host, own):
        """A member's name: only this host's own counts, the others only have to differ."""
        return self.wish["name"] if host == own else "member-" + host.lower()

    def _start(self, args, state, cluster, **more):
        """Run the component; without data it starts with these members."""
        wish = dict(args["component"], **more)
        if cluster:
            text = "ETCD_INITIAL_CLUSTER_STATE=%s\nETCD_INITIAL_CLUSTER_TOKEN=%s\nETCD_INITIAL_CLUSTER=%s\n"
            content = text % (state, args.get("token", "etcd"), cluster)
            wish["files"] = list(wish.get("files") or []) + [
                {"path": self.wish["bootstrap"], "content": content, "restart": False}
            ]
        return self._run(dict(wish, restart="now"), self.task_vars)

    def _module(self, step, **more):
        """This module's own half on the host."""
        return self._execute_module(
            module_name=self.MODULE, module_args=dict(self.wish, step=step, **more), task_vars=self.task_vars
        )


def _gone(host, member):
    words = "%s has the member %x\n" % (host, int(member["id"]))
    return {"before_header": "etcd's members", "after_header": "etcd's members", "before": words, "after": ""}


def _diff(host, after):
    return {
        "before_header": "etcd's members",
        "after_header": "etcd's members",
        "before": "%s is none that votes\n" % host,
        "after": "%s is %s\n" % (host, after),
    }
