# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether hosts can be taken out of a cluster: what was asked for, and what was seen of them. Touches nothing."""

from __future__ import annotations

import difflib

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.etcd_plan import departures

# What is asked for host by host, beside remove_hosts itself.
BY_NAME = {
    "data": "whose data is to go too",
    "dead": "that are off for good",
    "bare_pods": "whose pods without a controller are to go too",
}


def host_names(value):
    """Names of hosts from a text with commas, as -e gives it, or from a list; anything else names nobody.

    :returns: list of str, each name once.
    """
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, (list, tuple)):
        return []
    return list(dict.fromkeys(str(name) for name in value))


def wrong_request(wish, groups, names, cluster_name):
    """Sentences by host ('' for all) about what the inventory alone shows.

    :arg wish: dict with hosts, data, dead and bare_pods (each a text with commas or a list), confirm (str), limit (str: what
        --limit was given), authorities (bool: whether the cluster's are on the controller) and outside (sentences about hosts
        that the playbook's plays do not have).
    :arg groups: the inventory's groups, name to list of hosts.
    :arg names: dict of part (etcd, kube_apiserver, ...) to the group's name.
    :arg cluster_name: the cluster's name.
    """
    found = {}

    def say(host, sentence):
        found.setdefault(host, []).append(sentence)

    leaving = host_names(wish["hosts"])
    ours = list(dict.fromkeys(host for group in names.values() for host in groups.get(group) or []))
    if not leaving:
        say(
            "",
            "remove_hosts names nobody. Name the hosts that are to go, such as -e remove_hosts=%s."
            % (ours or ["H"])[-1],
        )
    for host in leaving:
        if host not in ours:
            say(host, _stranger(host, groups, names, ours))
    for option, words in BY_NAME.items():
        given = host_names(wish[option])
        if wish[option] and (not given or given[0].lower() in ("true", "yes")):
            wish = dict(wish, **{option: ""})
            example = "-e remove_%s=%s" % (option, ",".join(leaving))
            say("", "remove_%s does not name hosts. Name those %s: %s." % (option, words, example))
            continue
        for host in given:
            if host not in leaving:
                say(
                    host,
                    "is named in remove_%s and not in remove_hosts. Name it in both, or take it out of remove_%s."
                    % (option, option),
                )
    data = host_names(wish["data"])
    if data and wish["confirm"] != cluster_name:
        say(
            "",
            "data of %s is to go, and remove_confirm is %r. Give the name of the cluster that is meant: -e remove_confirm=%s."
            % (", ".join(data), wish["confirm"], cluster_name),
        )
    for part, group in names.items():
        hosts = groups.get(group) or []
        if hosts and not set(hosts) - set(leaving):
            say(
                "",
                "the group %s would be left empty: %s is all that runs %s. Add another host first; to take the whole cluster "
                "away there is playbooks/reset.yml." % (group, ", ".join(hosts), part.replace("_", "-")),
            )
    if wish["limit"]:
        say(
            "", "--limit %s leaves hosts out, and those that stay must hear of it. Run without --limit." % wish["limit"]
        )
    if not groups.get(names["kube_apiserver"]):
        say(
            "",
            "the group %s has no hosts, and one with an API server must say who may leave. Put them into it, or set "
            "cluster_kube_apiserver_group to the name of yours, with -e." % names["kube_apiserver"],
        )
    for sentence in wish["outside"]:
        say("", sentence)
    if not wish["authorities"]:
        say(
            "",
            "the folder of the cluster's authorities is not on this controller, so the cluster can't be asked. Restore it to "
            "cluster_controller_dir from your backup, or run where it is.",
        )
    return found


def _stranger(host, groups, names, ours):
    """Why a name is none of the cluster's hosts, and what may be meant."""
    if host in groups:
        return "is a group. Name its hosts: -e remove_hosts=%s." % ",".join(groups[host])
    if host in (groups.get("all") or []):
        return "is in none of the groups %s, so nothing of the cluster is on it." % ", ".join(names.values())
    near = difflib.get_close_matches(host, ours, 1)
    if near:
        return "is no host of the inventory. Did you mean %s?" % near[0]
    return (
        "is no host of the inventory, which has %s. What is left of it in the cluster can only be removed while it is named there."
        % (", ".join(ours))
    )


def leaving_hosts(leaving, hostvars, nodes, dead, bare_pods, managers=None):
    """What is known of each host that is to leave.

    :arg leaving: their names.
    :arg hostvars: Ansible's hostvars, with what ping said of each in __cluster__answer.
    :arg nodes: hosts that are nodes.
    :arg dead, bare_pods: hosts that were named so, as host_names() takes them.
    :arg managers: dict of kube-controller-manager and kube-scheduler to the hosts of their groups; those that stay have been asked,
        with the answers in __cluster__managers_seen.
    :returns: by host: dict with name (in the cluster), node (the same where it is one, or None), answers, dead and bare_pods
        (bool), wrong (why nothing can be done on a host that answers, or None), gone (bool: it is off for good, or all of it
        was removed), look, the node as the node_drain module is asked about it, or None, and last: by manager that it runs and
        nobody else who does its work, those that should.
    """
    without = {}
    for manager, hosts in (managers or {}).items():
        staying = [host for host in hosts if host not in leaving]
        if staying and not any(_manages(hostvars[host], manager) for host in staying):
            without[manager] = staying
    found = {}
    for host in leaving:
        variables = hostvars[host]
        answer = variables.get("__cluster__answer") or {}
        answers = not answer.get("unreachable")
        named_dead = host in host_names(dead)
        name = variables.get("cluster_node_name") or host.lower()
        node = name if host in nodes else None
        found[host] = {
            "name": name,
            "node": node,
            "answers": answers,
            "wrong": None if not answers or "ping" in answer else answer.get("msg") or "it was not asked",
            "gone": not answers or variables.get("__cluster__stage") == "removed",
            "dead": named_dead,
            "bare_pods": host in host_names(bare_pods),
            "look": {"name": node, "dead": named_dead and not answers} if node else None,
            "last": {manager: staying for manager, staying in without.items() if host in managers[manager]},
        }
    return found


def _manages(variables, manager):
    """Whether a host's manager said that it is well."""
    answers = (variables.get("__cluster__managers_seen") or {}).get("results") or []
    return any(answer["item"]["key"] == manager and answer.get("status") == 200 for answer in answers)


def not_let_go(hosts, hostvars, stages):
    """Sentences by host that was not let go far enough.

    :arg hosts: names of hosts that leave.
    :arg hostvars: Ansible's hostvars, with how far each was let go in __cluster__stage.
    :arg stages: those that allow the next step, such as ["drained"].
    """
    return {
        host: [
            "the cluster has not let it go: a step before this one failed, or no host was there to do it. Mend what the messages "
            "above name, and run again, for all hosts. If they name nothing: plays know the groups by their usual names, or by "
            "those that are told with -e or with vars of import_playbook (docs/reuse.md)."
        ]
        for host in hosts
        if hostvars[host].get("__cluster__stage") not in stages
    }


def departure(hosts, nodes, etcd, peers, staying=(), serving=(), balancers=(), left=()):
    """What is to be done with each host, and why some can't go, from what was seen before anything is changed.

    :arg hosts: what leaving_hosts() gives.
    :arg nodes: by node that the API knows, what the node_drain module tells of it.
    :arg etcd: what a host that stays saw of etcd, with health; None where no member leaves.
    :arg peers: by host that leaves and may be a member, its address for other members.
    :arg staying: such addresses of the members that stay.
    :arg serving: pairs of a host and a port of it that takes connections, of those in left and of hosts that do not answer.
    :arg balancers: hosts that leave and balance for all.
    :arg left: pairs of a host that balances for all and stays, and its port.
    :returns: dict with findings (sentences by host), drain (nodes that end their pods themselves) and force (nodes that can't),
        as the node_drain module takes them, and objects, the Nodes of both as the api_objects module takes them.
    """
    findings, drain, force = {}, [], []
    answering = {tuple(pair) for pair in serving}
    for host, told in sorted(hosts.items()):
        node = nodes.get(told["node"])
        sentences = _why_not(host, told, node)
        if not told["answers"] and told["dead"] and not sentences and _serves(etcd, peers.get(host)):
            sentences.append(
                "does not answer, and its member of etcd serves: the host lives. Mend the way to it, or switch it off, and "
                "run again."
            )
        ports = sorted(str(port) for silent, port in serving if silent == host)
        if not told["answers"] and told["dead"] and not sentences and ports:
            sentences.append(
                "does not answer, and its API server or balancer does (port %s): the host lives. Mend the way to it, or switch it "
                "off, and run again." % ", ".join(ports)
            )
        if told["answers"] and host in balancers and left and not {tuple(pair) for pair in left} & answering:
            sentences.append(
                "is the only balancer that takes connections: port %s of %s does not. Bring one of these up first (journalctl -u "
                "load-balancer there), and run again." % (left[0][1], ", ".join(other for other, _port in left))
            )
        for manager, others in told.get("last", {}).items() if told["answers"] else ():
            sentences.append(
                "runs %s, and nobody would do its work: it does not say that it is well on %s. Bring one up there first "
                "(journalctl -u %s), and run again." % (manager, ", ".join(others), manager)
            )
        if sentences:
            findings[host] = sentences
        if node:
            forced = told["dead"] and not (told["answers"] and node["ready"])
            (force if forced else drain).append({"name": told["node"], "dead": forced})
    if etcd is not None and peers:
        for host, sentences in departures(etcd, peers, staying, {host: told["name"] for host, told in hosts.items()})[
            1
        ].items():
            findings[host] = findings.get(host, []) + sentences
    objects = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": node["name"]}} for node in drain + force]
    return {"findings": findings, "drain": drain, "force": force, "objects": objects}


def _why_not(host, told, node):
    """Sentences about one host and its node."""
    if told.get("wrong"):
        return [
            "answers, and nothing can be done on it (%s). Mend that (sudo, Python: ansible -b -m ping %s), or switch it off and "
            "name it in remove_dead, and run again." % (" ".join(str(told["wrong"]).split())[:400], host)
        ]
    if not told["answers"] and not told["dead"]:
        return [
            "does not answer, so nothing can be stopped on it. Bring it up; or, if it is off for good, say so: "
            "-e remove_dead=%s." % host
        ]
    if not told["answers"]:
        if node and node["ready"]:
            return [
                "does not answer, and its node is Ready: the kubelet lives, and so do its pods. Mend the way to it, or switch "
                "it off, and run again."
            ]
        return []
    if not node:
        return []
    if not node["ready"] and told["dead"]:
        return []  # whatever runs there is ended with its services
    sentences = []
    if not node["ready"] and node["pods"]:
        sentences.append(
            "has a node that is not Ready (%s), so its pods can't end by themselves: %s. Mend it (journalctl -u kubelet there); "
            "or, if they may be cut off, say so: -e remove_dead=%s." % (node["why"], ", ".join(node["pods"]), host)
        )
    if node["bare"] and not told["bare_pods"]:
        sentences.append(
            "runs pods that nobody makes anew elsewhere: %s. Delete them, or let them go with it: -e remove_bare_pods=%s."
            % (", ".join(node["bare"]), host)
        )
    return sentences


def departure_words(leaving, groups, names):
    """What is left to do once hosts have left, as a list of lines.

    :arg leaving: names of hosts.
    :arg groups, names: as in wrong_request().
    """
    members = groups.get(names["etcd"]) or []
    left = [host for host in members if host not in leaving]
    lines = [
        "%s: out of the cluster. Take them out of the inventory, or run site.yml to have them back as new hosts%s."
        % (
            ", ".join(leaving),
            "; a member of etcd only once its data is gone too, or moved away there (docs/nodes.md)"
            if left != members
            else "",
        )
    ]
    if left != members and len(left) % 2 == 0:
        lines.append(
            "etcd has %d members left, an even number, which survives no more losses than %d. Put another host into the group %s, "
            "or leave the name of one that left there until it is back: site.yml refuses an even number."
            % (len(left), len(left) - 1, names["etcd"])
        )
    balancers = groups.get(names["load_balancer"]) or []
    left = [host for host in balancers if host not in leaving]
    if left != balancers and len(left) == 1:
        lines.append(
            "%s is the last balancer, and nobody stands in for it. Put another host into the group %s, or leave the name of one that "
            "left there until it is back: site.yml refuses fewer than two." % (left[0], names["load_balancer"])
        )
    return lines


def _serves(etcd, peer_url):
    """Whether a member votes and is healthy."""
    for member in (etcd or {}).get("members") or []:
        if peer_url in member["peer_urls"]:
            return not member["learner"] and member["name"] not in etcd["unhealthy"] and bool(member["client_urls"])
    return False
