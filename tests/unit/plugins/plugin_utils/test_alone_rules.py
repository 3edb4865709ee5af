"""What one role lacks that a playbook of somebody's own uses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules

PARTS = ("etcd", "kube_apiserver", "kube_controller_manager", "kube_scheduler", "kube_node", "load_balancer")
NAMES = {part: part for part in PARTS}
ASKING = ["kubelet", "cni", "kube_proxy", "kube_controller_manager", "kube_scheduler"]


def view(number: int = 1, **change: Any) -> dict[str, Any]:
    return {
        "address": f"10.0.0.{number}",
        "address_v6": "",
        "node_name": f"h{number}",
        "version": "1.36.3",
        "endpoint": "10.0.0.100:6443",
        "api_names": [],
        "etcd_endpoints": [],
        "balancer": "external",
        "cni_kind": "flannel",
        "pod_cidr": "10.244.0.0/16",
        "cni_pod_cidr": f"10.244.{number}.0/24",
        "authorities": True,
        "controller_dir": "~/there",
        **change,
    }


def found(role: str, groups: dict[str, list[str]], **change: Any) -> dict[str, list[str]]:
    hosts = sorted({host for hosts in groups.values() for host in hosts if host.startswith("h")} | {"h1"})
    views = {host: view(int(host[1:]), **change) for host in hosts}
    return rules.alone_findings(role, views, groups, NAMES)


def group_of(role: str) -> str:
    return rules.PART_OF[role]


def running(role: str, members: dict[str, str] | None = None, **seen: Any) -> list[str]:
    """What is found of a host that runs this already."""
    look = {"node": "", "unwanted": [], "stores": [], "settled": {}, **seen}
    wished = view(api_port=6443, service_cidr="10.96.0.0/16")
    return rules.running_alone_findings(role, {"h1": wished}, {"h1": look}, members or {}).get("h1", [])


def test_what_runs_there_is_not_turned_to_something_else() -> None:
    """By one role as little as by a whole run; each looks at what is its own."""
    assert "is the node worker1, and its kubelet would register as h1" in running("kubelet", node="worker1")[0]
    assert running("cni", node="worker1") == running("kubelet", node="h1") == running("kubelet") == []
    assert "is a node with the network of cni__kind bridge" in running("cni", unwanted=["cni-routes"])[0]
    assert running("kubelet", unwanted=["cni-routes"]) == running("cni") == []
    stores, others = ["https://10.0.0.7:2379"], {"e1": "10.0.0.8"}
    assert "keeps its objects in etcd at https://10.0.0.7:2379" in running("kube_apiserver", others, stores=stores)[0]
    assert running("kube_apiserver", {"e1": "10.0.0.7"}, stores=stores) == running("kube_apiserver", others) == []
    assert "has served at port 8443" in running("kube_apiserver", others, settled={"cluster_api_port": "8443"})[0]


@pytest.mark.parametrize("role", ["host", "containerd"])
def test_roles_that_want_nothing(role: str) -> None:
    assert found(role, {}, authorities=False, endpoint="", balancer="local", address="no address") == {}


@pytest.mark.parametrize("role", sorted(rules.PART_OF))
def test_a_host_outside_the_roles_group(role: str) -> None:
    sentences = found(role, {group_of(role): ["else"], "kube_apiserver": ["api1"]})["h1"]
    assert sentences[0] == (
        f"is not in the group {group_of(role)}, and role {role} takes the hosts of that group for its own. Put it there, or "
        f"set cluster_{group_of(role)}_group to the name of yours."
    )


def test_members_of_etcd() -> None:
    assert found("etcd", {"etcd": ["h1", "h2", "h3"]}, endpoint="", balancer="local", authorities=False) == {}
    assert "has 2 members, an even number" in found("etcd", {"etcd": ["h1", "h2"]})[""][0]
    same = found("etcd", {"etcd": ["h1", "h2", "h3"]}, address="10.0.0.9")
    assert "cluster_address 10.0.0.9 is also the address of h2, h3" in same["h1"][0]


@pytest.mark.parametrize("role", ASKING)
def test_a_cluster_that_is_known_by_its_address(role: str) -> None:
    assert found(role, {group_of(role): ["h1"]}) == {}


@pytest.mark.parametrize("role", ASKING)
def test_a_cluster_that_is_known_by_its_servers(role: str) -> None:
    groups = {group_of(role): ["h1"], "kube_apiserver": ["api1"]}
    assert found(role, groups, endpoint="", balancer="local") == {}


@pytest.mark.parametrize("role", ASKING)
def test_nothing_says_where_the_api_is(role: str) -> None:
    (sentence,) = found(role, {group_of(role): ["h1"]}, endpoint="", balancer="local")[""]
    for word in ("load_balancer__kind: external", "cluster_api_endpoint", "cluster_kube_apiserver_group"):
        assert word in sentence
    # An address alone is asked by nobody while the kind is local.
    assert found(role, {group_of(role): ["h1"]}, balancer="local")[""] == [sentence]


@pytest.mark.parametrize("role", ASKING)
def test_a_balancer_without_an_address(role: str) -> None:
    (sentence,) = found(role, {group_of(role): ["h1"]}, endpoint="")[""]
    assert sentence == "load_balancer__kind external wants cluster_api_endpoint, the host:port of the cluster. Set it."


@pytest.mark.parametrize("role", ASKING)
def test_a_folder_of_authorities_that_is_not_there(role: str) -> None:
    (sentence,) = found(role, {group_of(role): ["h1"]}, authorities=False)[""]
    assert "cluster_controller_dir (~/there)" in sentence
    assert sentence.endswith("Point cluster_controller_dir at its folder.")


def test_who_begins_a_cluster_needs_no_folder() -> None:
    groups = {"kube_apiserver": ["h1"], "etcd": ["h1"]}
    assert found("kube_apiserver", groups, authorities=False, balancer="local", endpoint="") == {}


def test_managers_beside_an_api_server_ask_that_one() -> None:
    groups = {"kube_apiserver": ["h1"], "kube_scheduler": ["h1"]}
    assert found("kube_scheduler", groups, endpoint="", balancer="local") == {}


@pytest.mark.parametrize("kind", ["bridge", "none"])
def test_a_network_that_asks_nobody(kind: str) -> None:
    assert found("cni", {"kube_node": ["h1"]}, cni_kind=kind, balancer="local", endpoint="", authorities=False) == {}


def test_nodes_of_a_cluster_that_is_elsewhere_are_asked_what_site_yml_asks() -> None:
    nodes = {"kube_node": ["h1"]}
    for role in ("kubelet", "cni", "kube_proxy"):
        dual = found(role, nodes, pod_cidr="10.244.0.0/16,fd00:10:244::/56", cni_pod_cidr="")["h1"]
        assert "this node has no cluster_address_v6" in dual[0]
    (part,) = found("cni", nodes, cni_kind="bridge", cni_pod_cidr="")["h1"]
    assert part == "cni__pod_cidr '' is no network inside cluster_pod_cidr; cni__kind bridge needs one for each node."
    (name,) = found("kubelet", nodes, node_name="Machine_1")["h1"]
    assert name == "cluster_node_name 'Machine_1' is no DNS name in lower case. Set one."
    (name,) = found("kubelet", nodes, node_name="m" * 60)["h1"]
    assert "has 60 characters, and 52 fit into the certificate" in name
    assert found("kubelet", nodes) == {}


def test_a_manager_two_minor_versions_behind() -> None:
    views = {"h1": view(1, version="1.34.9"), "h2": view(2)}
    groups = {"kube_scheduler": ["h1"], "kubelet": ["h1"], "kube_node": ["h1"], "kube_apiserver": ["h2"]}
    told = rules.alone_findings("kube_scheduler", views, groups, NAMES)["h1"]
    assert any("which a controller manager or a scheduler may not be" in text for text in told), told
    assert "h1" not in rules.alone_findings("kubelet", views, groups, NAMES)


@pytest.mark.parametrize("role", ["kubectl", "cluster_dns"])
def test_who_asks_the_servers_themselves(role: str) -> None:
    assert found(role, {}, balancer="local") == {}
    assert "nothing says where the API is" in found(role, {}, balancer="local", endpoint="")[""][0]


def test_a_balancer_with_nothing_behind_it() -> None:
    assert "there is nothing to balance" in found("load_balancer", {}, balancer="local")[""][0]
    assert found("load_balancer", {"kube_apiserver": ["api1"]}, balancer="local", endpoint="") == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "1.22.0"}, "cluster_version 1.22.0 is not supported"),
        ({"endpoint": "nowhere"}, "cluster_api_endpoint 'nowhere' is not host:port"),
        ({"address": "here"}, "cluster_address 'here' is no IP address"),
    ],
)
def test_values_that_can_not_be(change: dict[str, Any], words: str) -> None:
    assert words in found("kubelet", {"kube_node": ["h1"]}, **change)["h1"][0]


def test_an_api_server_without_a_store() -> None:
    assert "kube_apiserver__etcd_endpoints" in found("kube_apiserver", {"kube_apiserver": ["h1"]}, endpoint="")[""][0]
    given = {"etcd_endpoints": ["https://10.0.0.9:2379"], "endpoint": ""}
    assert found("kube_apiserver", {"kube_apiserver": ["h1"]}, **given) == {}
