"""Findings beside one another: of hosts, and of inventories."""

from __future__ import annotations

from typing import Any

from ansible_collections.hardway.kubernetes.plugins.filter.cluster_findings import FilterModule as ClusterFindings
from ansible_collections.hardway.kubernetes.plugins.filter.cluster_findings import left_out
from ansible_collections.hardway.kubernetes.plugins.filter.host_findings import FilterModule as HostFindings
from ansible_collections.hardway.kubernetes.plugins.filter.running_findings import FilterModule as RunningFindings

running_findings = RunningFindings().filters()["running_findings"]
host_findings = HostFindings().filters()["host_findings"]
cluster_findings = ClusterFindings().filters()["cluster_findings"]


def seen(machine_id: str, node_name: str, *findings: str) -> dict[str, Any]:
    return {"machine_id": machine_id, "node_name": node_name, "findings": list(findings)}


def test_hosts_that_differ_have_no_findings() -> None:
    assert host_findings({"cp1": seen("a", "cp1"), "cp2": seen("b", "cp2")}) == {}
    assert host_findings({}) == {}


def test_a_hosts_own_findings_stay() -> None:
    assert host_findings({"cp1": seen("a", "cp1", "has no openssl."), "cp2": seen("b", "cp2")}) == {
        "cp1": ["has no openssl."]
    }


def test_cloned_hosts_are_found() -> None:
    found = host_findings(
        {"w1": seen("a", "node"), "w2": seen("a", "node"), "w3": seen("a", "w3"), "cp1": seen("b", "cp1")}
    )
    assert found["w1"] == [
        "has the same machine id as w2, w3 (a). Give each host its own.",
        "has the same host name as w2 (node). Give each host its own.",
    ]
    assert found["w3"] == ["has the same machine id as w1, w2 (a). Give each host its own."]
    assert "cp1" not in found


def test_hosts_that_said_nothing_are_not_alike() -> None:
    assert host_findings({"w1": seen("", ""), "w2": seen("", ""), "w3": {}}) == {}


def test_the_data_given_is_not_changed() -> None:
    given = {"w1": seen("a", "x"), "w2": seen("a", "x")}
    host_findings(given)
    assert given["w1"]["findings"] == []


def test_findings_of_variables_come_before_those_across_hosts() -> None:
    view = {
        "address": "192.168.60.11",
        "address_v6": "",
        "node_mask_v6": 64,
        "node_name": "cp1",
        "version": "9",
        "endpoint": "",
        "api_names": [],
        "pod_cidr": "10.244.0.0/16",
        "service_cidr": "10.96.0.0/16",
        "dns_address": "10.96.0.10",
        "node_mask": 24,
        "cni_kind": "flannel",
        "cni_pod_cidr": "",
        "cni_manifests": [],
        "domain": "cluster.local",
        "api_port": 6443,
        "etcd_endpoints": [],
        "etcd_client_port": 2379,
        "etcd_peer_port": 2380,
        "balancer": "local",
        "own_port": 7443,
        "check_within": 2,
    }
    found = cluster_findings(
        {"cp1": {"findings": ["etcd__x is no variable."], "view": view}},
        {"etcd": ["cp1"], "kube_apiserver": ["cp1"]},
        {name: name for name in ("etcd", "kube_apiserver", "kube_node", "load_balancer")},
        {},
    )
    assert found["cp1"] == ["etcd__x is no variable.", "cluster_version '9' is no version such as 1.36.3. Mend it."]
    assert len(found[""]) == 1


def test_what_belongs_to_hosts_that_were_not_looked_at() -> None:
    """Such as with --limit: the inventory alone tells, and only of the cluster's groups."""
    hostvars = {
        "cp1": {"ansible_host": "10.0.0.1"},
        "cp2": {"ansible_host": "ignored", "cluster_address": "10.0.0.2", "cluster_address_v6": "fd00::2"},
        "10.0.0.3": {"cni__pod_cidr": "10.244.3.0/24"},
        "stranger": {"ansible_host": "10.0.0.9"},
    }
    groups = {"etcd": ["cp1", "cp2"], "kube_node": ["cp1", "10.0.0.3"], "web": ["stranger"]}
    assert left_out(
        {"cp1": {}}, groups, {"etcd": "etcd", "kube_node": "kube_node", "load_balancer": "lb"}, hostvars
    ) == {
        "cp2": {"address": "10.0.0.2", "address_v6": "fd00::2", "node_name": "cp2", "cni_pod_cidr": ""},
        "10.0.0.3": {"address": "10.0.0.3", "address_v6": "", "node_name": "10.0.0.3", "cni_pod_cidr": "10.244.3.0/24"},
    }


# ---- what a running cluster can't become ----


# Of a host's view and of its survey, what a cluster with local balancers has and a host of it that runs nothing yet.
BALANCED = {
    "balancer": "local",
    "pair_port": "6443",
    "virtual_address": "",
    "node_name": "w1",
    "api_port": 6443,
    "service_cidr": "10.96.0.0/16",
    "version": "1.35.4",
}
UNTOUCHED: dict[str, Any] = {
    "unwanted": [],
    "balances": "",
    "asks": [],
    "stores": [],
    "settled": {},
    "node": "",
    "holds": "",
    "has": [],
    "taken": False,
}


def running(*unwanted: str, kind: str = "bridge", nodes: tuple[str, ...] = ("w1",)) -> dict[str, list[str]]:
    view = {"findings": [], "view": {"api_names": [], "cni_kind": kind, **BALANCED}}
    survey = {**UNTOUCHED, "unwanted": list(unwanted)}
    hostvars = {"w1": {"__cluster__view": view, "__cluster__survey": survey}}
    return running_findings(["w1"], hostvars, list(nodes), [])


def test_a_running_nodes_network_stays_of_its_kind() -> None:
    assert running("flanneld") == {
        "w1": [
            "is a node with the network of cni__kind flannel (unit flanneld), and cni__kind is bridge now: its pods would keep "
            "addresses of the old network. Set cni__kind: flannel again; to change it, reset the nodes with that before you set the "
            "new one (docs/networks.md)."
        ]
    }
    assert (
        "cni__kind bridge (unit cni-routes), and cni__kind is none now" in running("cni-routes", kind="none")["w1"][0]
    )
    assert running() == running("load-balancer", "kube-scheduler") == {}
    assert running("flanneld", nodes=()) == {}  # a node no more


SHARED = "https://192.168.60.30:6443"


def moved(now: str, asks: list[str], *unwanted: str, kind: str = "haproxy", port: int = 6443, hosts: int = 2) -> Any:
    """What is found of lb1, which balances so now, beside a worker that asks there."""
    wished = {**BALANCED, "balancer": kind, "pair_port": port}
    view = {"findings": [], "view": {"api_names": [], "cni_kind": "flannel", **wished}}
    surveys = {
        "lb1": {**UNTOUCHED, "unwanted": list(unwanted), "balances": now},
        "w1": {**UNTOUCHED, "asks": asks},
    }
    hostvars = {host: {"__cluster__view": view, "__cluster__survey": survey} for host, survey in surveys.items()}
    return running_findings(["lb1", "w1"][:hosts], hostvars, ["w1"], [])


def test_a_balancer_stays_where_others_ask_it() -> None:
    assert moved("*:6443", [SHARED]) == {}
    assert moved("*:6443", [SHARED], port=8443) == {
        "lb1": [
            "balances at port 6443, and would at port 8443 while w1 still ask at the other one. Turn the cluster to "
            "load_balancer__kind: local first, with the group load_balancer empty, and then to this; where nobody asks this host "
            "any more, reset it first (docs/load-balancers.md)."
        ]
    }
    (found,) = moved("*:6443", [SHARED], kind="local")["lb1"]
    assert "would balance for itself alone while w1 still ask there. Let other hosts balance first" in found
    assert list(moved("*:6443", [], port=8443, hosts=1)) == ["lb1"]  # of a node that --limit leaves out nobody knows


def test_a_balancer_that_nobody_asks_may_be_put_elsewhere() -> None:
    assert moved("*:6443", ["https://127.0.0.1:7443"], port=8443) == {}
    assert moved("*:6443", ["https://127.0.0.1:7443"], kind="local") == {}
    assert moved("127.0.0.1:7443", [SHARED], port=8443) == {}
    assert moved("", [SHARED], port=8443) == {}
    assert moved("*:6443", [SHARED], "load-balancer", kind="external") == {}  # taken away once all are turned


def address_of(wished: str, asks: list[str], has: tuple[str, ...] = ("192.168.60.30",), **lb1: Any) -> list[str]:
    """What is found of lb1, which is to hold this address, beside lb2 that may hold one and a worker that asks somewhere."""
    view = {"api_names": [], "cni_kind": "flannel", **BALANCED, "balancer": "haproxy", "virtual_address": wished}
    surveys = {
        "lb1": {**UNTOUCHED, **lb1},
        "lb2": {**UNTOUCHED, "holds": "192.168.60.30", "has": has},
        "w1": {**UNTOUCHED, "asks": asks},
    }
    hostvars = {
        host: {"__cluster__view": {"view": {**view, "virtual_address": wished if host == "lb1" else ""}}, **look}
        for host, look in ((host, {"__cluster__survey": survey}) for host, survey in surveys.items())
    }
    found = running_findings(list(surveys), hostvars, ["w1"], [])
    assert set(found) <= {"lb1"}
    return found.get("lb1", [])


def test_an_address_stays_where_others_ask_it() -> None:
    """keepalived would be started with the new one before a single node is turned to it."""
    assert address_of("192.168.60.30", [SHARED], holds="192.168.60.30") == []
    (found,) = address_of("192.168.60.40", [SHARED], holds="192.168.60.30")
    assert found == (
        "holds the virtual address 192.168.60.30, and would hold 192.168.60.40 while w1 still ask at the other one. Turn the cluster "
        "to load_balancer__kind: local first, with the group load_balancer empty, and then to this (docs/load-balancers.md)."
    )
    assert address_of("192.168.60.40", ["https://127.0.0.1:7443"], holds="192.168.60.30") == []
    assert address_of("192.168.60.40", ["https://somebody.example.com:6443"], holds="192.168.60.30") == []
    assert address_of("192.168.60.40", [SHARED], holds="192.168.60.30", unwanted=["virtual-address"]) == []


def test_an_address_that_somebody_has_is_none_to_hold() -> None:
    """Of another machine, or of a balancer that the run does not reach; another host of the run may well have it."""
    (found,) = address_of("192.168.60.40", [], taken=True)
    assert found.startswith("is to hold the virtual address 192.168.60.40, which somebody has already")
    assert address_of("192.168.60.30", [], taken=True) == []
    assert len(address_of("192.168.60.30", [], has=(), taken=True)) == 1  # it may have it, and some other host does
    assert address_of("192.168.60.40", []) == []


def test_a_node_keeps_its_name() -> None:
    """A host of another name in the inventory would be a new node, and its pods would end."""
    view = {"view": {"api_names": [], "cni_kind": "flannel", **BALANCED}}

    def named(now: str, nodes: tuple[str, ...] = ("w1",)) -> dict[str, list[str]]:
        hostvars = {"w1": {"__cluster__view": view, "__cluster__survey": {**UNTOUCHED, "node": now}}}
        return running_findings(["w1"], hostvars, list(nodes), [])

    assert named("") == named("w1") == named("worker1", nodes=()) == {}
    assert named("worker1") == {
        "w1": [
            "is the node worker1, and its kubelet would register as w1, a new node: its pods would end, and the old one would stay. "
            "Set cluster_node_name: worker1 for it; or take the host out under its old name first (remove_node.yml), and let it "
            "join as a new one."
        ]
    }


SETTLED = {"cluster_api_port": "6443", "cluster_service_cidr": "10.96.0.0/16", "cluster_version": "1.35.2"}


def settled(**changed: object) -> list[str]:
    """What is found of a host whose API server has served so, and of which something else is wished."""
    view = {"api_names": ["cp1"], "cni_kind": "flannel", "address": "192.168.60.11", "etcd_endpoints": []}
    survey = {**UNTOUCHED, "settled": SETTLED}
    hostvars = {"cp1": {"__cluster__view": {"view": {**view, **BALANCED, **changed}}, "__cluster__survey": survey}}
    return running_findings(["cp1"], hostvars, [], []).get("cp1", [])


def test_what_others_of_a_running_cluster_rely_on_stays() -> None:
    assert settled() == settled(api_port="6443") == []
    assert settled(api_port=8443) == [
        "has served at port 6443, and cluster_api_port is 8443 now: whoever asks there would lose it one server after the other. "
        "Set cluster_api_port: 6443 again; a balancer may have another port (docs/load-balancers.md)."
    ]
    assert settled(service_cidr="10.97.0.0/16") == [
        "has served Services in 10.96.0.0/16, and cluster_service_cidr is 10.97.0.0/16 now: those that are there would keep "
        "addresses that nobody knows. Set cluster_service_cidr: 10.96.0.0/16 again."
    ]
    assert settled(service_cidr="10.96.0.0/16, fd00:96::/112") == []


def test_a_version_is_raised_one_minor_after_the_other_and_never_lowered() -> None:
    assert settled(version="1.36.0") == settled(version="1.35.0") == []
    (found,) = settled(version="1.37.1")
    assert found == (
        "has served with version 1.35.2, and cluster_version 1.37.1 skips a minor version. Raise it one by one: set the last 1.36 "
        "first, and run."
    )
    (found,) = settled(version="1.34.9")
    assert (
        "1.34.9 is older: it may not read what the newer one wrote into etcd. Set cluster_version: 1.35.2 again."
        in found
    )


def test_one_role_alone_judges_the_hosts_that_it_looked_at() -> None:
    """A play may give it to some of them only, whose look was left out."""
    view = {"view": {"api_names": [], "cni_kind": "flannel", **BALANCED}}
    look = {**UNTOUCHED, "node": "other"}
    hostvars: dict[str, Any] = {host: {"__cluster__view": view} for host in ("w1", "w2", "w3")}
    hostvars["w1"]["__cluster__running"] = look
    hostvars["w2"]["__cluster__running"] = {"skipped": True}
    (found,) = running_findings(list(hostvars), hostvars, [], [], "kubelet").values()
    assert "is the node other, and its kubelet would register as w1" in found[0]
    assert running_findings(list(hostvars), hostvars, [], [], "cni") == {}


NOTHING = {"data": False, "members": None, "empty": None}
SILENT = {**NOTHING, "data": True}
SERVES = {"data": True, "members": [{}], "empty": False}
JUST_BEGUN = {**SERVES, "empty": True}
ADDRESSES = {"cp1": "192.168.60.11", "etcd1": "192.168.60.21", "etcd2": "192.168.60.22"}
OWN = ["https://127.0.0.1:2379"]


def kept(
    stores: list[str], etcd: dict[str, Any], given: tuple[str, ...] = (), members: Any = None, api: bool = True
) -> list[str]:
    """What is found of cp1, whose API server asks these members now.

    :param etcd: what hosts of that group saw, which are all of them.
    :param members: the hosts of that group, where some did not look.
    """
    left_out = set(members or []) - set(etcd)
    hostvars: dict[str, Any] = {host: {"ansible_host": address} for host, address in ADDRESSES.items()}
    for host in set(ADDRESSES) - left_out:
        view = {"cni_kind": "flannel", **BALANCED, "address": ADDRESSES[host]}
        is_api = api and host == "cp1"
        view.update(api_names=[host] if is_api else [], etcd_endpoints=list(given) if is_api else [])
        look = {**UNTOUCHED, "stores": stores if host == "cp1" else []}
        hostvars[host]["__cluster__view"] = {"findings": [], "view": view}
        hostvars[host]["__cluster__survey"] = {**look, **({"etcd": etcd[host]} if host in etcd else {})}
    found = running_findings(sorted(set(ADDRESSES) - left_out), hostvars, [], members or sorted(etcd))
    assert set(found) <= {"cp1"}
    return found.get("cp1", [])


def test_no_empty_etcd_takes_the_place_of_the_one_that_holds_a_cluster() -> None:
    assert kept(OWN, {"etcd1": NOTHING, "etcd2": NOTHING}) == [
        "has served a cluster that keeps its objects in etcd at https://192.168.60.11:2379, and the group of etcd (etcd1, etcd2) holds "
        "no data: an empty etcd would take their place. Put the hosts that hold them back into the group; new ones join beside them, "
        "and old ones leave afterwards (docs/nodes.md). If the data is gone for good and the cluster is to begin anew, reset this host "
        "first: playbooks/reset.yml --limit cp1."
    ]
    assert kept(OWN, {"cp1": NOTHING})  # its own data is gone
    assert kept(["https://192.168.60.21:2379"], {"etcd1": NOTHING, "etcd2": NOTHING})  # and those of the others
    assert kept(
        OWN, {"etcd1": JUST_BEGUN, "etcd2": JUST_BEGUN}
    )  # begun by a run that --limit kept from the API servers


def test_an_etcd_that_holds_the_cluster_or_will_join_it_is_fine() -> None:
    assert kept([], {"etcd1": NOTHING}) == []  # a first install
    assert kept(OWN, {"etcd1": SERVES, "etcd2": SERVES}) == []  # stacked before, and its members have moved
    assert kept(OWN, {"cp1": NOTHING, "etcd1": SERVES}) == []  # its member is to join anew
    assert kept(OWN, {"cp1": JUST_BEGUN}) == []  # nobody has written anything yet
    assert kept(["https://192.168.60.21:2379"], {"etcd1": JUST_BEGUN, "etcd2": JUST_BEGUN}) == []
    assert kept(OWN, {"cp1": SILENT, "etcd1": NOTHING}) == []  # etcd_findings speaks of it
    assert kept(OWN, {"etcd1": NOTHING}, api=False) == []  # no API server any more


def test_an_etcd_that_a_run_leaves_out_is_only_turned_to_where_it_was_asked_before() -> None:
    assert kept(OWN, {}, members=["etcd1", "etcd2"]) == [
        "has served a cluster that keeps its objects in etcd at https://192.168.60.11:2379, and is to turn to etcd1, etcd2, where nobody "
        "answers or this run does not ask. Whether they hold the cluster's objects must be seen first: bring them up, or name them in "
        "--limit too."
    ]
    assert kept(["https://192.168.60.22:2379"], {}, members=["etcd1", "etcd2"]) == []
    assert kept(["https://192.168.60.22:2379"], {"etcd1": NOTHING}, members=["etcd1", "etcd2"]) == []


def test_somebody_elses_etcd_is_not_exchanged_for_another_one() -> None:
    before = ["https://192.168.60.21:2379", "https://192.168.60.22:2379"]
    assert kept(before, {}, tuple(before)) == []
    assert kept(before, {}, ("https://192.168.60.22:2379", "https://db.example.com:2379")) == []
    assert kept(before, {}, ("https://db.example.com:2379",)) == [
        "has served a cluster that keeps its objects in etcd at https://192.168.60.21:2379, https://192.168.60.22:2379, and "
        "kube_apiserver__etcd_endpoints names others only (https://db.example.com:2379), where they are not. Set what was set before. "
        "If it is the same etcd at other addresses, name one of the present ones beside these, run, and take it out again."
    ]
    assert kept(OWN, {}, ("https://192.168.60.11:2379",)) == []  # its own member, which is now somebody else's
    assert kept(OWN, {}, tuple(OWN)) == []
    assert kept(["https://[fd00::21]:2379"], {}, ("https://[fd00::21]:2379",)) == []
    assert kept(before, {}, api=False) == []
