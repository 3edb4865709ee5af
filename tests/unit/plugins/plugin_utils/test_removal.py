"""Who may leave a cluster: what was asked for, what was seen, and words that say what to change."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.filter.departure import FilterModule as Departure
from ansible_collections.hardway.kubernetes.plugins.filter.not_let_go import FilterModule as NotLetGo
from ansible_collections.hardway.kubernetes.plugins.filter.removal_findings import FilterModule as Findings
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.removal import (
    departure,
    departure_words,
    host_names,
    leaving_hosts,
    not_let_go,
    wrong_request,
)

CONTROL_PLANE = ["cp1", "cp2", "cp3"]
WORKERS = ["worker1", "worker2"]
GROUPS = {
    "all": [*CONTROL_PLANE, *WORKERS, "backup1"],
    "control_plane": CONTROL_PLANE,
    "etcd": CONTROL_PLANE,
    "kube_apiserver": CONTROL_PLANE,
    "kube_node": [*CONTROL_PLANE, *WORKERS],
    "load_balancer": [],
}
PARTS = {name: name for name in ("etcd", "kube_apiserver", "kube_node", "load_balancer")}


def asked(**more: Any) -> dict[str, Any]:
    wish = {
        "hosts": "worker2",
        "data": "",
        "dead": "",
        "bare_pods": "",
        "confirm": "",
        "limit": "",
        "authorities": True,
        "outside": [],
    }
    return {**wish, **more}


def findings(**more: Any) -> dict[str, list[str]]:
    found = wrong_request(asked(**more), GROUPS, PARTS, "example")
    assert Findings().filters()["removal_findings"](asked(**more), GROUPS, PARTS, "example") == found
    return found


# ---- what was asked for ----


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("worker2,cp1", ["worker2", "cp1"]),
        (" worker2 , cp1,", ["worker2", "cp1"]),
        (["cp1", "cp1"], ["cp1"]),
        ("", []),
        (None, []),
        (True, []),
        ({"cp1": 1}, []),
    ],
)
def test_names(value: Any, names: list[str]) -> None:
    assert host_names(value) == names


@pytest.mark.parametrize(
    "more", [{}, {"hosts": ["cp1", "worker1"]}, {"hosts": "cp1", "dead": "cp1", "bare_pods": "cp1"}]
)
def test_hosts_of_any_part_may_go(more: dict[str, Any]) -> None:
    assert findings(**more) == {}


@pytest.mark.parametrize(
    ("more", "host", "words"),
    [
        (
            {"hosts": ""},
            "",
            "remove_hosts names nobody. Name the hosts that are to go, such as -e remove_hosts=worker2.",
        ),
        ({"hosts": "worker3"}, "worker3", "is no host of the inventory. Did you mean worker"),
        (
            {"hosts": "nothing-like-it"},
            "nothing-like-it",
            "is no host of the inventory, which has cp1, cp2, cp3, worker1",
        ),
        ({"hosts": "control_plane"}, "control_plane", "is a group. Name its hosts: -e remove_hosts=cp1,cp2,cp3."),
        ({"hosts": "backup1"}, "backup1", "is in none of the groups etcd, kube_apiserver, kube_node, load_balancer"),
        ({"dead": "worker1"}, "worker1", "is named in remove_dead and not in remove_hosts"),
        ({"bare_pods": True}, "", "remove_bare_pods does not name hosts"),
        (
            {"data": "yes"},
            "",
            "remove_data does not name hosts. Name those whose data is to go too: -e remove_data=worker2.",
        ),
        ({"data": "worker2"}, "", "Give the name of the cluster that is meant: -e remove_confirm=example."),
        ({"data": "worker2", "confirm": "other"}, "", "remove_confirm is 'other'"),
        ({"limit": "worker2"}, "", "--limit worker2 leaves hosts out"),
        ({"outside": ["cp1: in none of the plays."]}, "", "cp1: in none of the plays."),
        ({"authorities": False}, "", "the folder of the cluster's authorities is not on this controller"),
    ],
)
def test_a_wrong_request_says_what_to_change(more: dict[str, Any], host: str, words: str) -> None:
    found = findings(**more)
    assert list(found) == [host]
    (sentence,) = found[host]
    assert words in sentence


def test_without_api_servers_nobody_says_who_may_leave() -> None:
    (sentence,) = wrong_request(asked(), {**GROUPS, "kube_apiserver": []}, PARTS, "example")[""]
    assert "the group kube_apiserver has no hosts" in sentence


def test_data_goes_once_the_cluster_is_named() -> None:
    assert findings(data="worker2", confirm="example") == {}


def test_the_last_host_of_a_part_stays() -> None:
    found = findings(hosts=CONTROL_PLANE)
    assert [sentence.split(":")[0] for sentence in found[""]] == [
        "the group etcd would be left empty",
        "the group kube_apiserver would be left empty",
    ]
    assert "cp1, cp2, cp3 is all that runs kube-apiserver. Add another host first" in found[""][1]


# ---- what was seen ----


def host(**more: Any) -> dict[str, Any]:
    return {"name": "worker2", "node": "worker2", "answers": True, "dead": False, "bare_pods": False, **more}


def node(**more: Any) -> dict[str, Any]:
    return {"ready": True, "why": None, "pods": [], "bare": [], **more}


def member(name: str, **more: Any) -> dict[str, Any]:
    urls = {"peer_urls": [f"https://{name}:2380"], "client_urls": [f"https://{name}:2379"]}
    return {"id": str(0xA0 + int(name[-1])), "name": name, "learner": False, **urls, **more}


def etcd(*names: str, **unhealthy: str) -> dict[str, Any]:
    return {"members": [member(name) for name in names], "unhealthy": unhealthy, "reason": None}


def peers(*names: str) -> dict[str, str]:
    return {name: f"https://{name}:2380" for name in names}


def refusal(**more: Any) -> str:
    """The only sentence about worker2."""
    there = more.pop("seen", node())
    plan = departure({"worker2": host(**more)}, {"worker2": there} if there else {}, None, {})
    assert list(plan["findings"]) == ["worker2"]
    (sentence,) = plan["findings"]["worker2"]
    return sentence


def test_what_is_known_of_hosts_comes_from_the_inventory_and_one_ping() -> None:
    hostvars = {
        "worker2": {"__cluster__answer": {"unreachable": True}, "cluster_node_name": "node2"},
        "ETCD9": {"__cluster__answer": {"ping": "pong"}},
    }
    assert leaving_hosts(["worker2", "ETCD9"], hostvars, ["worker2"], "worker2", "") == {
        "worker2": {
            "name": "node2",
            "node": "node2",
            "answers": False,
            "wrong": None,
            "gone": True,
            "dead": True,
            "bare_pods": False,
            "look": {"name": "node2", "dead": True},
            "last": {},
        },
        "ETCD9": {
            "name": "etcd9",
            "node": None,
            "answers": True,
            "wrong": None,
            "gone": False,
            "dead": False,
            "bare_pods": False,
            "look": None,
            "last": {},
        },
    }


def test_a_host_is_gone_once_it_is_off_or_all_of_it_is_removed() -> None:
    """One that answered, is named dead and failed meanwhile may still run its pods: nobody gives them up."""
    answer = {"ping": "pong"}
    hostvars = {
        "off": {"__cluster__answer": {"unreachable": True}, "__cluster__stage": "left"},
        "failed": {"__cluster__answer": answer, "__cluster__stage": "left"},
        "removed": {"__cluster__answer": answer, "__cluster__stage": "removed"},
        "never_asked": {},
    }
    found = leaving_hosts(hostvars, hostvars, [], "off,failed", "")
    assert [host for host, told in found.items() if told["gone"]] == ["off", "removed"]


def test_a_host_that_was_not_let_go_is_not_touched() -> None:
    hostvars = {"a": {"__cluster__stage": "left"}, "b": {"__cluster__stage": "drained"}, "c": {}}
    assert list(not_let_go(hostvars, hostvars, ["left"])) == ["b", "c"]
    assert list(not_let_go(hostvars, hostvars, ["drained"])) == ["a", "c"]
    assert "a step before this one failed" in NotLetGo().filters()["not_let_go"](["c"], hostvars, ["left"])["c"][0]


@pytest.mark.parametrize("dead", [False, True])
def test_an_answer_that_is_a_failure_is_none(dead: bool) -> None:
    """Neither can anything be removed there, nor is it off."""
    hostvars = {"worker2": {"__cluster__answer": {"failed": False, "msg": "sudo: a password\nis required"}}}
    hosts = leaving_hosts(["worker2"], hostvars, ["worker2"], "worker2" if dead else "", "")
    for seen in ({"worker2": node()}, {"worker2": node(ready=False, pods=["a/b"])}, {}):
        (sentence,) = departure(hosts, seen, None, {})["findings"]["worker2"]
        assert sentence.startswith("answers, and nothing can be done on it (sudo: a password is required). Mend that")


def test_a_living_node_is_drained_and_a_dead_one_given_up() -> None:
    hosts = {"worker1": host(node="worker1"), "worker2": host(answers=False, dead=True)}
    seen = {"worker1": node(pods=["a/b"]), "worker2": node(ready=False, pods=["a/c"], bare=["a/c"])}
    plan = departure(hosts, seen, None, {})
    assert plan["findings"] == {}
    assert plan["drain"] == [{"name": "worker1", "dead": False}]
    assert plan["force"] == [{"name": "worker2", "dead": True}]
    assert [wish["metadata"]["name"] for wish in plan["objects"]] == ["worker1", "worker2"]
    assert Departure().filters()["departure"](hosts, seen, None, {}) == plan


def test_a_second_run_finds_no_node() -> None:
    for told in (host(), host(answers=False, dead=True), host(node=None)):
        assert departure({"worker2": told}, {}, None, {}) == {"findings": {}, "drain": [], "force": [], "objects": []}


def test_a_host_that_is_named_dead_and_lives_is_drained_like_any_other() -> None:
    plan = departure({"worker2": host(dead=True)}, {"worker2": node()}, None, {})
    assert (plan["drain"], plan["force"]) == ([{"name": "worker2", "dead": False}], [])


def test_an_interrupted_run_goes_on_with_a_node_whose_kubelet_is_gone() -> None:
    plan = departure({"worker2": host()}, {"worker2": node(ready=False, why="stopped posting")}, None, {})
    assert (plan["findings"], plan["drain"]) == ({}, [{"name": "worker2", "dead": False}])


def test_silence_is_not_death() -> None:
    assert "-e remove_dead=worker2" in refusal(answers=False)
    assert "does not answer, and its node is Ready: the kubelet lives" in refusal(answers=False, dead=True)


def test_pods_that_can_not_end_by_themselves() -> None:
    words = refusal(seen=node(ready=False, why="stopped posting", pods=["a/b"]))
    assert "(stopped posting), so its pods can't end by themselves: a/b" in words
    assert "-e remove_dead=worker2" in words
    plan = departure({"worker2": host(dead=True)}, {"worker2": node(ready=False, pods=["a/b"])}, None, {})
    assert plan["force"] == [{"name": "worker2", "dead": True}]


def test_bare_pods_are_asked_for() -> None:
    words = refusal(seen=node(pods=["a/b", "a/c"], bare=["a/b"]))
    assert words.startswith("runs pods that nobody makes anew elsewhere: a/b. Delete them")
    assert words.endswith("-e remove_bare_pods=worker2.")
    plan = departure({"worker2": host(bare_pods=True)}, {"worker2": node(bare=["a/b"])}, None, {})
    assert plan["findings"] == {}


def test_a_member_leaves_while_the_others_keep_the_quorum() -> None:
    hosts = {"cp1": host(node=None)}
    assert departure(hosts, {}, etcd("cp1", "cp2", "cp3"), peers("cp1"))["findings"] == {}
    found = departure(hosts, {}, etcd("cp1", "cp2", "cp3", cp3="no route to host"), peers("cp1"))["findings"]
    assert (
        "of the 2 members that would be left 1 serve, and 2 must. Not serving: cp3: no route to host" in found["cp1"][0]
    )


def test_a_member_at_another_address_has_not_left() -> None:
    """The inventory's address of cp1 was changed; etcd knows the old one."""
    told = {"cp1": host(name="cp1", node=None)}
    moved, staying = {"cp1": "https://elsewhere:2380"}, list(peers("cp2", "cp3").values())
    found = departure(told, {}, etcd("cp1", "cp2", "cp3"), moved, staying)["findings"]
    assert "is not listed in etcd at its address in the inventory (https://elsewhere:2380)" in found["cp1"][0]
    assert departure(told, {}, etcd("cp2", "cp3"), moved, staying)["findings"] == {}


def test_a_dead_host_whose_member_serves_is_not_dead() -> None:
    told = {"cp1": host(node=None, answers=False, dead=True)}
    found = departure(told, {}, etcd("cp1", "cp2", "cp3"), peers("cp1"))["findings"]
    assert "its member of etcd serves: the host lives" in found["cp1"][0]
    assert departure(told, {}, etcd("cp1", "cp2", "cp3", cp1="timed out"), peers("cp1"))["findings"] == {}


def test_a_dead_host_whose_api_server_or_balancer_serves_is_not_dead() -> None:
    """Neither a node nor a member, it gives no other sign of life."""
    told = {"cp1": host(node=None, answers=False, dead=True), "lb1": host(node=None, answers=False, dead=True)}
    found = departure(told, {}, None, {}, (), [["cp1", 6443]])["findings"]
    assert list(found) == ["cp1"]
    assert "its API server or balancer does (port 6443): the host lives" in found["cp1"][0]
    assert departure({"cp1": host(node=None)}, {}, None, {}, (), [["cp1", 6443]])["findings"] == {}


MANAGERS = {"kube-controller-manager": ["cp1", "cp2", "cp3"], "kube-scheduler": ["cp1", "cp2", "cp3"]}


def manages(*managers: str, **more: Any) -> dict[str, Any]:
    """A host that stays, whose managers of these names say that they are well."""
    asked = [{"item": {"key": name}, "status": 200 if name in managers else -1} for name in MANAGERS]
    return {"__cluster__managers_seen": {"results": asked, **more}}


def last(
    cp2: dict[str, Any], cp3: dict[str, Any], leaving: tuple[str, ...] = ("cp1",), **answer: Any
) -> dict[str, Any]:
    answer = answer or {"ping": "pong"}
    hostvars = {"cp1": {"__cluster__answer": answer}, "cp2": cp2, "cp3": cp3}
    hosts = leaving_hosts(leaving, hostvars, [], "cp1", "", MANAGERS)
    return departure(hosts, {}, None, {})["findings"]


def test_the_last_manager_that_works_stays() -> None:
    """One that works is enough; of those that stay none answers, or none is well, or they are dead themselves."""
    well = manages(*MANAGERS)
    assert last(well, {}) == last(well, manages()) == {}
    assert last(manages("kube-scheduler"), manages("kube-controller-manager")) == {}
    (sentence,) = last(manages("kube-scheduler"), {"__cluster__managers_seen": {"unreachable": True}})["cp1"]
    assert sentence == (
        "runs kube-controller-manager, and nobody would do its work: it does not say that it is well on cp2, cp3. Bring one up there "
        "first (journalctl -u kube-controller-manager), and run again."
    )
    assert len(last({}, {})["cp1"]) == 2
    assert list(last(well, {}, ("cp1", "cp2"))) == ["cp1", "cp2"]


def test_a_dead_host_was_no_manager_that_works() -> None:
    assert last({}, {}, unreachable=True) == {}


def test_a_host_without_managers_leaves_whatever_they_do() -> None:
    hostvars = {"worker1": {"__cluster__answer": {"ping": "pong"}}, "cp1": {}, "cp2": {}, "cp3": {}}
    hosts = leaving_hosts(["worker1"], hostvars, [], "", "", MANAGERS)
    assert departure(hosts, {}, None, {})["findings"] == {}


# ---- what is left to do ----


def test_what_is_left_to_do() -> None:
    (line,) = departure_words(["worker2"], GROUPS, PARTS)
    assert line.startswith("worker2: out of the cluster. Take them out of the inventory")
    assert line.endswith("back as new hosts.")
    assert "a member of etcd only once its data is gone too" in departure_words(["cp1"], GROUPS, PARTS)[0]
    even = departure_words(["cp1"], GROUPS, PARTS)[1]
    assert "etcd has 2 members left, an even number, which survives no more losses than 1" in even
    assert len(departure_words(["cp1", "cp2"], GROUPS, PARTS)) == 1


def test_a_balancer_that_is_left_alone() -> None:
    groups = {**GROUPS, "load_balancer": ["lb1", "lb2"]}
    alone = departure_words(["lb1"], groups, PARTS)[1]
    assert alone.startswith("lb2 is the last balancer, and nobody stands in for it. Put another host into the group")
    assert len(departure_words(["worker2"], groups, PARTS)) == 1
    assert len(departure_words(["lb1"], {**groups, "load_balancer": ["lb1", "lb2", "lb3"]}, PARTS)) == 1
