# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prints what a verification saw, and fails when something is wrong. Touches nothing."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.module_utils.endpoint import STRANGER
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.sentences import by_sentence


class ActionModule(ActionBase):
    """The summary of verify.yml."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = self._task.args
        hosts, cluster = args["hosts"], args["cluster"]
        findings = {host: list(told.get("findings") or []) for host, told in hosts.items()}
        findings[""] = list(args.get("outside") or []) + list(cluster.get("findings") or []) + leader_findings(hosts)
        findings[""] += balance_findings(hosts, cluster) + stranger_findings(hosts) + holder_findings(hosts)
        for host in args.get("skipped") or []:
            findings[host] = [
                "did not answer, so nothing of it was checked. Bring it up, or take it out of the inventory."
            ]
        findings = {host: sentences for host, sentences in findings.items() if sentences}
        lines = summary(args["cluster_name"], hosts, cluster) + by_sentence(findings)
        result.update(changed=False, findings=findings, summary=lines, failed=bool(findings))
        result["msg"] = "\n".join(lines)
        if not findings:
            for line in lines:
                self._display.display("  " + line)
        return result


def leader_findings(hosts):
    """Members that know different leaders are two clusters."""
    leaders = {host: told["etcd_leader"] for host, told in hosts.items() if told.get("etcd_leader")}
    if len(set(leaders.values())) > 1:
        return [
            "etcd members know different leaders: %s"
            % ", ".join("%s knows %s" % pair for pair in sorted(leaders.items()))
        ]
    return []


def holder_findings(hosts):
    """A virtual address with two holders: each answers some of those who ask."""
    holders = sorted(host for host, told in hosts.items() if told.get("holds_virtual_address"))
    if len(holders) < 2:
        return []
    return [
        "%s all hold the virtual address, so they do not hear one another. Let VRRP, IP protocol 112, through between their "
        "addresses, and see that they have the same virtual_address__router_id: docs/load-balancers.md. One that balances no more "
        "lets go of it with site.yml." % ", ".join(holders)
    ]


def answers(hosts):
    """By address that stands for all API servers, how many connections of all hosts each server answered."""
    found = {}
    for told in hosts.values():
        for address, servers in (told.get("endpoint_answers") or {}).items():
            sums = found.setdefault(address, {})
            for server, count in servers.items():
                sums[server] = sums.get(server, 0) + count
    return found


def balance_findings(hosts, cluster):
    """One server that answers all connections of all hosts, while others are ready, stands behind no balancer."""
    ready = cluster.get("ready_servers") or []
    return [
        "all %d connections to %s led to %s, and %d API servers are ready. Put all of them into the balancer's pool, and let it "
        "give each its share: docs/load-balancers.md."
        % (sum(servers.values()), address, ", ".join(servers), len(ready))
        for address, servers in sorted(answers(hosts).items())
        if len(servers) == 1 and len(ready) > 1
    ]


def stranger_findings(hosts):
    """A server of this cluster's authority that no run sees to, and that clients are led to all the same."""
    return [
        "%d connections to %s led to %s, such as one that was taken out and runs again. Take it out of the balancer's pool, and reset "
        "its host; or put it into the inventory." % (count, address, server)
        for address, servers in sorted(answers(hosts).items())
        for server, count in sorted(servers.items())
        if server.startswith(STRANGER)
    ]


def summary(name, hosts, cluster):
    """A line for each thing that was looked at."""
    lines = ["cluster %s: %s" % (name, "; ".join(cluster.get("facts") or ["not asked"]))]
    for address, servers in sorted(answers(hosts).items()):
        told = ", ".join("%s %d" % pair for pair in sorted(servers.items())) or "none"
        lines.append("connections to %s were answered by: %s" % (address, told))
    modes = {}
    for told in hosts.values():
        rules = told.get("service_rules")
        if rules:
            modes.setdefault(rules["mode"], []).append(rules)
    for mode, nodes in sorted(modes.items()):
        counts = [sorted({rules[what] for rules in nodes}) for what in ("services", "endpoints")]
        told = ["%d" % count[0] if len(count) == 1 else "%d to %d" % (count[0], count[-1]) for count in counts]
        lines.append("rules of Services (%s): %s ports with %s endpoints on %d nodes" % (mode, *told, len(nodes)))
    members = [host for host, told in hosts.items() if told.get("etcd_leader")]
    if members:
        leaders = len({hosts[host]["etcd_leader"] for host in members})
        lines.append("etcd: %d members, %s" % (len(members), "one leader" if leaders == 1 else "%d leaders" % leaders))
    days = [
        (told["certificate_days"], host) for host, told in hosts.items() if told.get("certificate_days") is not None
    ]
    if days:
        lines.append("certificates: the first to end has %d days left, on %s" % min(days))
    return lines
