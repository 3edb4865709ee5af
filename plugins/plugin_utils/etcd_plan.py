# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts begin etcd, join it or are members already, from what all of them saw. Touches nothing.

Two rules hold everything together. A cluster is begun only where every host of the group said that it holds no data, so that
there is never a second one beside the first. And where members answer, a host without data joins them: as a learner first.
"""

from __future__ import annotations

from ansible_collections.hardway.kubernetes.plugins.module_utils.etcd import known_as

NONE, BEGIN, JOIN, PROMOTE = "none", "begin", "join", "promote"


def plan(seen, peers):
    """What each host has to do, and why some can't.

    :arg seen: by host that answered, what module_utils.etcd.look() saw there.
    :arg peers: by host of the group etcd, its address for other members.
    :returns: dict of host to NONE, BEGIN, JOIN or PROMOTE, and dict of host ('' for all) to sentences.
    """
    answers = {host: told for host, told in seen.items() if told["members"] is not None}
    clusters = {}
    for host, told in sorted(answers.items()):
        clusters.setdefault(told["cluster"], []).append(host)
    if len(clusters) > 1:
        sides = " and ".join("%s (%s)" % (cluster, ", ".join(hosts)) for cluster, hosts in sorted(clusters.items()))
        return {host: NONE for host in seen}, {
            "": [
                "the group's hosts run two clusters of etcd: %s. Decide which one holds what you want to keep, and reset the "
                "hosts of the other one: playbooks/reset.yml --limit HOST -e reset_data=true." % sides
            ]
        }
    if answers:
        return _beside(seen, peers, next(iter(answers.values()))["members"])
    return _without(seen, peers)


def _without(seen, peers):
    """No member answers: either there is no cluster yet, or it has no majority."""
    steps = {host: NONE if told["data"] else BEGIN for host, told in seen.items()}
    findings = {}
    for host, told in sorted(seen.items()):
        if told["data"] and told["begun"] and told["begun"] != sorted(peers.values()):
            findings[host] = [
                "was begun as one of other members (%s) and has never served. Nothing is in it: reset the host "
                "(playbooks/reset.yml --limit %s -e reset_data=true) and run again." % (", ".join(told["begun"]), host)
            ]
    empty = sorted(host for host, step in steps.items() if step == BEGIN)
    served = sorted(host for host, told in seen.items() if told["data"] and not told["begun"])
    silent = sorted(set(peers) - set(seen))
    for host in empty if served else []:
        findings[host] = [
            "holds no data of etcd, there is some on %s, and no member answers (%s). A new member joins through the others: "
            "bring these up first (journalctl -u etcd there; site.yml --limit %s), and run again."
            % (" and ".join(served), seen[host]["reason"], ",".join(served))
        ]
    if empty and silent and not served:
        findings[""] = [
            "no host that answered holds data of etcd that has served, and nobody knows what is on %s. A cluster is begun by "
            "all of its hosts, or it could be a second one beside theirs: bring them up, leave --limit out, or take them "
            "out of the group." % ", ".join(silent)
        ]
    return steps, findings


def _beside(seen, peers, members):
    """A cluster runs: who is one of its members, and who becomes one."""
    listed = {url: member for member in members for url in member["peer_urls"]}
    steps, findings = {}, {}
    for host, told in sorted(seen.items()):
        member = listed.get(peers[host])
        steps[host] = NONE
        if told["data"] and member is None:
            findings[host] = [
                "holds data of a member that the cluster does not list: it was removed, its address was another one, or it is "
                "another cluster's. It lists %s. If the host is to be no member any more, take it out of the group etcd in the "
                "inventory. To let it join anew, as a learner, move its old data away there and run again: %s"
                % (_names(members), _move_away(told.get("folders") or ["/var/lib/etcd/member"]))
            ]
        elif told["data"]:
            steps[host] = PROMOTE if member["learner"] else NONE
        elif member and member["client_urls"]:
            findings[host] = [
                "holds no data, but the cluster lists it as member %s, which has served. A member can't start anew as the "
                "same one. Bring its disk back; or, on another member's host, remove it (etcdctl member remove %x, with the "
                "options in docs/operations.md) and run again: it joins as a new one."
                % (member["name"], int(member["id"]))
            ]
        else:
            steps[host] = JOIN
    added = [host for host, step in steps.items() if step == JOIN and peers[host] not in listed]
    if added:
        sentences = _in_the_way(seen, peers, members, listed, added)
        if sentences:
            findings[""] = sentences
    return steps, findings


def _in_the_way(seen, peers, members, listed, added):
    """Why no member can be added now."""
    new = ", ".join(added)
    strange = [member for member in members if not set(member["peer_urls"]) & set(peers.values())]
    if strange:
        return [
            "%s can't join etcd while it lists %s, which is no host of the group. Remove what is gone for good (etcdctl "
            "member remove, with the options in docs/operations.md), or put the host back into the group."
            % (new, " and ".join("%s (%x)" % (_name(member), int(member["id"])) for member in strange))
        ]
    voters = [member for member in members if not member["learner"]]
    unhealthy = {}
    for host in added:
        unhealthy.update(seen[host]["unhealthy"])
    # What etcd demands too: most must serve also once the new one counts, which a lone member can't give.
    if len(voters) > 1 and len(voters) - len(unhealthy) < (len(voters) + 1) // 2 + 1:
        reasons = "; ".join("%s: %s" % entry for entry in sorted(unhealthy.items()))
        return [
            "%s can't join etcd while so many of its members do not serve: %s. Mend or remove these first, and run again."
            % (new, reasons)
        ]
    after = len(members) + len(added)
    if after % 2 == 0:
        missing = sorted(host for host in peers if host not in seen and peers[host] not in listed)
        return [
            "with %s etcd would have %d members, an even number, which survives no more losses than %d. %s"
            % (
                new,
                after,
                after - 1,
                "Bring up %s, or leave --limit out, so that all join in one run." % ", ".join(missing)
                if missing
                else "Add one to the group, or take one out.",
            )
        ]
    return []


def _move_away(folders):
    """Commands that keep the data and let etcd start without it."""
    return " && ".join(["systemctl stop etcd", *("mv %s %s.removed" % (folder, folder) for folder in folders)])


def departures(seen, leaving, staying, names):
    """In which order members leave, and why they can't.

    :arg seen: what module_utils.etcd.look() saw with health, on a host that is not to leave.
    :arg leaving: by host that is to leave, its address for other members.
    :arg staying: such addresses of the hosts of the group that stay.
    :arg names: by host that is to leave, its member's name.
    :returns: list of (host, member) of those that are still listed, and dict of host to sentences.
    """
    if seen["members"] is None:
        return [], {
            "": [
                "etcd has no majority that answers (%s), so no member can be taken out. Bring enough of its members up first "
                "(journalctl -u etcd there), and run again." % seen["reason"]
            ]
        }
    unhealthy = seen["unhealthy"]
    listed = {url: member for member in seen["members"] for url in member["peer_urls"]}
    going = [(host, listed[url]) for host, url in sorted(leaving.items()) if url in listed]
    ours = set(staying) | set(leaving.values())
    strange = [member for member in seen["members"] if not set(member["peer_urls"]) & ours]
    findings = {
        host: _elsewhere(host, url, names.get(host), seen["members"], strange)
        for host, url in sorted(leaving.items())
        if url not in listed
    }
    if any(findings.values()):
        return [], {host: sentences for host, sentences in findings.items() if sentences}
    # Who does not vote or serve goes first: each of them makes what is left safer.
    going.sort(key=lambda entry: (not entry[1]["learner"], known_as(entry[1]) not in unhealthy))
    voters = [member for member in seen["members"] if not member["learner"]]
    for host, member in going:
        if member["learner"]:
            continue
        voters = [other for other in voters if other["id"] != member["id"]]
        wrong = {known_as(other): unhealthy[known_as(other)] for other in voters if known_as(other) in unhealthy}
        needed = len(voters) // 2 + 1
        if len(voters) - len(wrong) < needed:
            return [], {
                host: [
                    "can't leave etcd: of the %d members that would be left %d serve, and %d must. Not serving: %s. Mend these "
                    "first, or take out those that are gone for good together with or instead of it."
                    % (
                        len(voters),
                        len(voters) - len(wrong),
                        needed,
                        "; ".join("%s: %s" % entry for entry in sorted(wrong.items())) or "none",
                    )
                ]
            }
    return going, {}


def _elsewhere(host, url, name, members, strange):
    """Why a host that is not listed at its address may be a member still: one has its name, or is no host's of the group."""
    suspects = [member for member in members if name and member["name"] == name]
    suspects = suspects or [member for member in strange if not member["learner"]]
    if not suspects:
        return []
    return [
        "is not listed in etcd at its address in the inventory (%s), and may be a member at another one: etcd lists %s. If that is "
        "this host, give the inventory the address that is listed, and run again. If it is gone for good, take it out first: "
        "etcdctl member remove %s, with the options in docs/operations.md."
        % (url, _names(suspects), " and ".join("%x" % int(member["id"]) for member in suspects))
    ]


def _name(member):
    return member["name"] or "one that has never started, at " + ", ".join(member["peer_urls"])


def _names(members):
    return ", ".join("%s (%s)" % (_name(member), ", ".join(member["peer_urls"])) for member in members)
