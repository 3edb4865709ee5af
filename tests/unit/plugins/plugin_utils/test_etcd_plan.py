"""Who begins a cluster of etcd, who joins it, and where neither would be safe: each refusal says what to change."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.filter.etcd_findings import FilterModule
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.etcd_plan import departures, plan

HOSTS = ["cp1", "cp2", "cp3"]
PEERS = {host: f"https://{host}:2380" for host in HOSTS}


def member(name: str, learner: bool = False, serves: bool = True, listed: str = "") -> dict[str, Any]:
    return {
        "id": str(int("abc0", 16) + ord(name[-1])),
        "name": name if serves else "",
        "peer_urls": [listed or f"https://{name}:2380"],
        "client_urls": [f"https://{name}:2379"] if serves else [],
        "learner": learner,
    }


def sees(
    data: bool = False, members: list[dict[str, Any]] | None = None, begun: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "data": data,
        "begun": begun,
        "cluster": None if members is None else "77",
        "members": members,
        "unhealthy": {},
        "reason": "Connection refused" if members is None else None,
        **more,
    }


def refusal(seen: dict[str, Any], host: str = "", peers: dict[str, str] | None = None) -> str:
    """The only sentence that is found."""
    _steps, findings = plan(seen, peers or PEERS)
    assert list(findings) == [host], findings
    (sentence,) = findings[host]
    assert FilterModule().filters()["etcd_findings"](seen, peers or PEERS) == findings
    return sentence


ALL = sorted(PEERS.values())
WHOLE = [member(host) for host in HOSTS]
LONE = [member("cp1")]


# ---- no member answers ----


def test_bare_hosts_begin_a_cluster_together() -> None:
    assert plan({host: sees() for host in HOSTS}, PEERS) == (dict.fromkeys(HOSTS, "begin"), {})


def test_none_begins_while_one_did_not_say_whether_it_has_data() -> None:
    sentence = refusal({"cp1": sees(), "cp2": sees()})
    assert "nobody knows what is on cp3" in sentence
    assert "leave --limit out" in sentence


def test_none_begins_beside_data_that_has_served() -> None:
    seen = {"cp1": sees(data=True), "cp2": sees(), "cp3": sees()}
    _steps, findings = plan(seen, PEERS)
    assert sorted(findings) == ["cp2", "cp3"]
    assert "there is some on cp1, and no member answers (Connection refused)" in findings["cp2"][0]
    assert "site.yml --limit cp1" in findings["cp2"][0]


def test_the_last_copy_is_never_overruled_by_emptied_members() -> None:
    """Two of three lost their disks: what is left has served, so nothing is begun beside it."""
    assert plan({"cp1": sees(), "cp2": sees(), "cp3": sees(data=True)}, PEERS)[1]


def test_a_first_install_that_was_interrupted_goes_on() -> None:
    seen = {"cp1": sees(data=True, begun=ALL), "cp2": sees(), "cp3": sees(begun=ALL)}
    assert plan(seen, PEERS) == ({"cp1": "none", "cp2": "begin", "cp3": "begin"}, {})


def test_what_was_begun_with_other_members_has_to_go_first() -> None:
    seen = {"cp1": sees(data=True, begun=["https://old:2380"]), "cp2": sees(), "cp3": sees()}
    sentence = refusal(seen, "cp1")
    assert "other members (https://old:2380) and has never served" in sentence
    assert "--limit cp1 -e reset_data=true" in sentence


def test_members_that_are_all_down_only_have_to_start() -> None:
    assert plan({host: sees(data=True) for host in HOSTS}, PEERS) == (dict.fromkeys(HOSTS, "none"), {})
    assert plan({"cp2": sees(data=True)}, PEERS) == ({"cp2": "none"}, {})


def test_a_run_without_hosts_of_etcd_decides_nothing() -> None:
    assert plan({}, PEERS) == ({}, {})
    assert plan({}, {}) == ({}, {})


# ---- a cluster runs ----


def test_members_have_nothing_to_do() -> None:
    assert plan({host: sees(True, WHOLE) for host in HOSTS}, PEERS) == (dict.fromkeys(HOSTS, "none"), {})


def test_a_lone_member_gets_two_more() -> None:
    seen = {"cp1": sees(True, LONE), "cp2": sees(False, LONE), "cp3": sees(False, LONE)}
    assert plan(seen, PEERS) == ({"cp1": "none", "cp2": "join", "cp3": "join"}, {})


def test_new_members_need_not_hear_of_the_old_one_from_itself() -> None:
    """cp1 is as wished, so it has left the play: the others asked it over the network."""
    assert plan({"cp2": sees(False, LONE), "cp3": sees(False, LONE)}, PEERS)[0] == {"cp2": "join", "cp3": "join"}


def test_a_run_that_was_interrupted_goes_on_where_it_was() -> None:
    members = [member("cp1"), member("cp2", learner=True), member("cp3", learner=True, serves=False)]
    seen = {"cp1": sees(True, members), "cp2": sees(True, members), "cp3": sees(False, members)}
    assert plan(seen, PEERS) == ({"cp1": "none", "cp2": "promote", "cp3": "join"}, {})


def test_a_member_of_the_first_install_that_never_started_joins() -> None:
    members = [member("cp1"), member("cp2"), member("cp3", serves=False)]
    assert plan({"cp3": sees(False, members, unhealthy={"cp3": "it has never served"})}, PEERS) == ({"cp3": "join"}, {})


@pytest.mark.parametrize("seen", [{"cp2": sees(False, LONE)}, {"cp1": sees(True, LONE), "cp2": sees(False, LONE)}])
def test_an_even_number_of_members_is_not_made(seen: dict[str, Any]) -> None:
    sentence = refusal(seen)
    assert "with cp2 etcd would have 2 members, an even number" in sentence
    assert "Bring up cp3, or leave --limit out" in sentence


def test_an_even_number_without_anybody_missing() -> None:
    peers = {host: PEERS[host] for host in ("cp1", "cp2")}
    assert "Add one to the group, or take one out." in refusal({"cp2": sees(False, LONE)}, peers=peers)


def test_a_member_that_was_removed_by_hand() -> None:
    left = WHOLE[:2]
    seen = {"cp1": sees(True, left), "cp2": sees(True, left), "cp3": sees(True, left)}
    sentence = refusal(seen, "cp3")
    assert "does not list: it was removed" in sentence
    assert "It lists cp1 (https://cp1:2380), cp2 (https://cp2:2380)." in sentence
    assert "take it out of the group etcd in the inventory" in sentence
    assert sentence.endswith("run again: systemctl stop etcd && mv /var/lib/etcd/member /var/lib/etcd/member.removed")
    seen["cp3"]["folders"] = ["/wal", "/data/member"]
    assert "mv /wal /wal.removed && mv /data/member /data/member.removed" in refusal(seen, "cp3")


def test_a_member_whose_disk_was_emptied() -> None:
    sentence = refusal({"cp1": sees(True, WHOLE), "cp2": sees(True, WHOLE), "cp3": sees(False, WHOLE)}, "cp3")
    assert "lists it as member cp3, which has served" in sentence
    assert f"etcdctl member remove {int(WHOLE[2]['id']):x}," in sentence
    assert "run again: it joins as a new one" in sentence


def test_once_it_is_removed_it_joins_as_a_new_one() -> None:
    left = WHOLE[:2]
    seen = {"cp1": sees(True, left), "cp2": sees(True, left), "cp3": sees(False, left)}
    assert plan(seen, PEERS) == ({"cp1": "none", "cp2": "none", "cp3": "join"}, {})


def test_a_member_that_the_inventory_does_not_name_has_to_go_before_another_comes() -> None:
    members = [*WHOLE[:2], member("old9")]
    seen = {"cp1": sees(True, members), "cp3": sees(False, members)}
    sentence = refusal(seen)
    assert sentence.startswith("cp3 can't join etcd while it lists old9 (")
    assert "which is no host of the group" in sentence
    assert plan({"cp1": sees(True, members)}, PEERS) == ({"cp1": "none"}, {})


FIVE = {f"cp{number}": f"https://cp{number}:2380" for number in range(1, 6)}


@pytest.mark.parametrize(
    ("voters", "dead", "joins"),
    [(3, 0, True), (3, 1, False), (3, 2, False), (1, 0, True)],
)
def test_an_unhealthy_cluster_takes_no_new_member(voters: int, dead: int, joins: bool) -> None:
    members = [member(f"cp{number}") for number in range(1, voters + 1)]
    unhealthy = {f"cp{number}": "no route to host" for number in range(1, dead + 1)}
    new = [f"cp{number}" for number in range(voters + 1, 6)]
    seen = {host: sees(False, members, unhealthy=unhealthy) for host in new}
    steps, findings = plan(seen, FIVE)
    assert set(steps.values()) == {"join"}
    assert (findings == {}) == joins
    if not joins:
        assert "so many of its members do not serve: cp1: no route to host" in findings[""][0]
        assert "Mend or remove these first" in findings[""][0]


def test_with_one_of_five_dead_another_two_may_come() -> None:
    peers = {f"cp{number}": f"https://cp{number}:2380" for number in range(1, 8)}
    members = [member(f"cp{number}") for number in range(1, 6)]
    seen = {host: sees(False, members, unhealthy={"cp1": "off"}) for host in ("cp6", "cp7")}
    assert plan(seen, peers)[1] == {}


def test_two_clusters_are_never_mixed() -> None:
    seen = {"cp1": sees(True, LONE), "cp2": sees(True, [member("cp2")], cluster="78"), "cp3": sees(False, LONE)}
    steps, findings = plan(seen, PEERS)
    assert set(steps.values()) == {"none"}
    assert "two clusters of etcd: 77 (cp1, cp3) and 78 (cp2)" in findings[""][0]
    assert "reset_data=true" in findings[""][0]


# ---- members leave ----


def leaves(members: list[dict[str, Any]], *hosts: str, **unhealthy: str) -> tuple[list[str], dict[str, list[str]]]:
    seen = sees(False, members, unhealthy=unhealthy)
    staying = [url for host, url in FIVE.items() if host not in hosts]
    order, findings = departures(seen, {host: FIVE[host] for host in hosts}, staying, {host: host for host in hosts})
    return [host for host, _member in order], findings


def test_who_is_listed_leaves_and_who_is_not_has_left() -> None:
    assert leaves(WHOLE, "cp1") == (["cp1"], {})
    assert leaves(WHOLE, "cp5", "cp4") == ([], {})
    assert leaves(WHOLE[:1], "cp2", "cp3") == ([], {})


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        (member("cp3", listed="https://old:2380"), True),  # its name, and nobody's address
        (member("cp3", listed=PEERS["cp2"]), True),  # its name, at an address that another host has now
        (member("cp9", listed="https://old:2380"), True),  # a name that was changed too
        (member("cp9", serves=False, listed="https://old:2380"), True),
        (member("cp9", learner=True), False),  # never voted
    ],
)
def test_a_member_at_another_address_has_not_left(there: dict[str, Any], refused: bool) -> None:
    """Else its host would be wiped with the vote it still has; another one that leaves waits too."""
    order, findings = leaves([member("cp1"), member("cp4"), there], "cp3", "cp4")
    assert order == ([] if refused else ["cp4"])
    assert list(findings) == (["cp3"] if refused else [])
    if refused:
        (sentence,) = findings["cp3"]
        for words in ("address in the inventory (https://cp3:2380)", there["peer_urls"][0], "member remove abf"):
            assert words in sentence.replace("abf3", "abf").replace("abf9", "abf")


def test_the_dead_and_those_that_do_not_vote_leave_first() -> None:
    members = [*WHOLE, member("cp4"), member("cp5", learner=True)]
    assert leaves(members, "cp1", "cp2", "cp5", cp2="off") == (["cp5", "cp2", "cp1"], {})


@pytest.mark.parametrize(
    ("members", "hosts", "dead", "goes"),
    [
        (3, ["cp1"], [], True),
        (3, ["cp1"], ["cp1"], True),
        (3, ["cp1"], ["cp3"], False),
        (3, ["cp1", "cp2"], [], True),
        (3, ["cp1", "cp2"], ["cp1"], True),
        (5, ["cp1"], ["cp5"], True),
        (5, ["cp1", "cp2"], ["cp5"], True),
        (5, ["cp1", "cp2", "cp3"], ["cp5"], False),
        (5, ["cp1", "cp5"], ["cp4", "cp5"], True),
        (5, ["cp1"], ["cp4", "cp5"], False),
        (2, ["cp1"], [], True),
    ],
)
def test_those_that_stay_keep_the_quorum(members: int, hosts: list[str], dead: list[str], goes: bool) -> None:
    there = [member(f"cp{number}") for number in range(1, members + 1)]
    order, findings = leaves(there, *hosts, **dict.fromkeys(dead, "off"))
    assert (sorted(order), findings == {}) == ((sorted(hosts), True) if goes else ([], False))
    if not goes:
        assert "Mend these first" in str(findings)


def test_without_a_majority_nobody_leaves() -> None:
    order, findings = departures(sees(), {"cp1": PEERS["cp1"]}, [], {})
    assert order == []
    assert "etcd has no majority that answers (Connection refused)" in findings[""][0]
