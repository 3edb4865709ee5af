"""Bad input: every finding in words that name the variable, the host and the mend."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, key_pem, make_key

NEEDED = ("etcd", "kube_apiserver", "kube_controller_manager", "kube_scheduler", "kube_node")
NAMES = {part: part for part in (*NEEDED, "load_balancer")}
HOSTS = ["cp1", "cp2", "cp3", "w1", "w2"]
CONTROL_PLANE = HOSTS[:3]


def stacked() -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Views and groups of a good inventory."""
    views = {
        host: {
            "address": f"192.168.60.{number}",
            "node_name": host,
            "version": "1.36.3",
            "endpoint": "",
            "etcd_endpoints": [],
            "api_names": ["kubernetes", "10.96.0.1", f"192.168.60.{number}", "api.example.com", "fd00::1"],
            "pod_cidr": "10.244.0.0/16",
            "service_cidr": "10.96.0.0/16",
            "dns_address": "10.96.0.10",
            "domain": "cluster.local",
            "node_mask": 24,
            "address_v6": "",
            "node_mask_v6": 64,
            "cni_kind": "flannel",
            "cni_pod_cidr": "",
            "cni_manifests": [],
            "balancer": "local",
            "virtual_address": "",
            "pair_port": 6443,
            "own_port": 7443,
            "check_within": 2,
            "router_id": 51,
            "api_port": 6443,
            "etcd_client_port": 2379,
            "etcd_peer_port": 2380,
        }
        for number, host in enumerate(HOSTS, 11)
    }
    groups = {name: list(CONTROL_PLANE) for name in NEEDED}
    groups["kube_node"] = list(HOSTS)
    return views, groups


def findings(change: dict[str, Any] | None = None, host: str | None = None, **groups: Any) -> dict[str, list[str]]:
    """What is found once all hosts, or one, have other values, or groups are others."""
    views, present = stacked()
    for name in [host] if host else HOSTS:
        views[name].update(change or {})
    for group, members in groups.items():
        if members is None:
            del present[group]
        else:
            present[group] = members
    return rules.cluster_findings(views, present, NAMES)


def only(found: dict[str, list[str]], host: str = "") -> str:
    assert list(found) == [host], found
    assert len(found[host]) == 1, found
    return found[host][0]


def test_a_good_inventory_has_no_findings() -> None:
    assert findings() == {}


# ---- groups ----


@pytest.mark.parametrize("members", [None, []])
@pytest.mark.parametrize("part", NEEDED)
def test_a_missing_or_empty_group(part: str, members: list[str] | None) -> None:
    found = only(findings(**{part: members}))
    words = f"the group {part} is missing or empty. Name the hosts that run {part.replace('_', '-')} in it"
    if part == "etcd":
        assert found == words + ", or an etcd that someone else runs in kube_apiserver__etcd_endpoints."
    else:
        assert found == words + "."


def test_groups_may_have_other_names() -> None:
    views, groups = stacked()
    groups["my_etcd"] = groups.pop("etcd")
    assert rules.cluster_findings(views, groups, {**NAMES, "etcd": "my_etcd"}) == {}
    del groups["my_etcd"]
    assert "my_etcd" in rules.cluster_findings(views, groups, {**NAMES, "etcd": "my_etcd"})[""][0]


@pytest.mark.parametrize("count", [2, 4])
def test_an_even_number_of_etcd_members(count: int) -> None:
    found = only(findings(etcd=HOSTS[:count]))
    assert f"the group etcd has {count} members, an even number ({', '.join(HOSTS[:count])})" in found
    assert f"than {count - 1} would. Add one or take one out." in found


@pytest.mark.parametrize("count", [1, 3, 5])
def test_an_odd_number_of_etcd_members(count: int) -> None:
    assert findings(etcd=HOSTS[:count]) == {}


# ---- an etcd that someone else runs ----

GIVEN = ["https://etcd.example.com:2379"]


def test_an_etcd_of_someone_else_instead_of_the_group() -> None:
    assert findings({"etcd_endpoints": GIVEN}, etcd=[]) == {}
    assert findings({"etcd_endpoints": GIVEN}, etcd=None) == {}


def test_the_group_and_an_etcd_of_someone_else_are_one_too_many() -> None:
    found = only(findings({"etcd_endpoints": GIVEN}))
    assert found.startswith("the group etcd holds cp1, cp2, cp3, and kube_apiserver__etcd_endpoints names")
    assert "Empty the one or the other." in found


def test_api_servers_with_different_stores() -> None:
    views, groups = stacked()
    groups["etcd"] = []
    for host in ("cp1", "cp2"):
        views[host]["etcd_endpoints"] = GIVEN
    found = rules.cluster_findings(views, groups, NAMES)
    assert sorted(found) == ["cp1", "cp2", "cp3"]
    assert "is another one than on cp1, cp2." in found["cp3"][0]


def test_a_run_without_api_servers_does_not_miss_the_group() -> None:
    views, groups = stacked()
    groups["etcd"] = []
    assert rules.cluster_findings({"w1": views["w1"]}, groups, NAMES) == {}


@pytest.mark.parametrize("wrong", ["https://etcd.example.com:2379", None, 3])
def test_endpoints_that_are_no_list_are_left_to_the_check_of_types(wrong: Any) -> None:
    assert findings({"etcd_endpoints": wrong}) == {}


@pytest.fixture
def given(pki: Pki) -> dict[str, Any]:
    """Variables of an etcd that someone else runs, all right."""
    certificate, key = pki.client("cluster", [], 30, authority="etcd")
    return {
        "kube_apiserver__etcd_endpoints": GIVEN,
        "kube_apiserver__etcd_ca": pki.read("etcd-ca.crt"),
        "kube_apiserver__etcd_certificate": certificate,
        "kube_apiserver__etcd_key": key,
    }


def test_given_etcd_that_is_whole_or_absent(given: dict[str, Any]) -> None:
    assert rules.given_etcd(given) == []
    assert rules.given_etcd({}) == []
    assert rules.given_etcd({**dict.fromkeys(given, ""), "kube_apiserver__etcd_endpoints": []}) == []
    assert rules.given_etcd({**given, "kube_apiserver__etcd_endpoints": "no list"}) == []


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_given_etcd_of_which_a_part_is_missing_or_too_much(given: dict[str, Any], name: str) -> None:
    (found,) = rules.given_etcd({**given, f"kube_apiserver__etcd_{name}": ""})
    assert found.startswith(f"kube_apiserver__etcd_{name} is empty")
    (found,) = rules.given_etcd({f"kube_apiserver__etcd_{name}": "x"})
    assert found.startswith(f"kube_apiserver__etcd_{name} is set, and kube_apiserver__etcd_endpoints names no members")


@pytest.mark.parametrize("endpoint", ["http://etcd:2379", "etcd:2379", "https://etcd", "https://etcd:2379/x", "", 2379])
def test_given_etcd_at_an_address_that_is_none(given: dict[str, Any], endpoint: Any) -> None:
    (found,) = rules.given_etcd({**given, "kube_apiserver__etcd_endpoints": [endpoint, "https://[fd00::1]:2379"]})
    assert found == f"kube_apiserver__etcd_endpoints holds {endpoint!r}, which is not https://host:port. Mend it."


def test_given_etcd_with_the_wrong_texts_tells_no_key(given: dict[str, Any], pki: Pki) -> None:
    other = pki.client("cluster", [], 30)[1]
    locked = key_pem(make_key("ecdsa-p256"), "open sesame").decode()
    old = pki.client("cluster", [], -1 / 48)[0]
    cases = {
        "kube_apiserver__etcd_ca": {"x": "holds no certificate"},
        "kube_apiserver__etcd_certificate": {"x": "the certificate is none", old: "does not belong to"},
        "kube_apiserver__etcd_key": {"x": "the key is none", other: "does not belong to", locked: "has a passphrase"},
    }
    for name, texts in cases.items():
        for text, words in texts.items():
            (found,) = rules.given_etcd({**given, name: text})
            assert words in found
            assert name in found
            assert "PRIVATE" not in found
            assert not [line for line in text.splitlines()[1:-1] if line in found]


def test_given_etcd_with_certificates_that_have_ended(given: dict[str, Any], pki: Pki) -> None:
    certificate, key = pki.client("cluster", [], -1 / 48, authority="etcd")
    (found,) = rules.given_etcd(
        {**given, "kube_apiserver__etcd_certificate": certificate, "kube_apiserver__etcd_key": key}
    )
    assert "the certificate has ended on " in found
    (found,) = rules.given_etcd({**given, "kube_apiserver__etcd_ca": certificate})
    assert "kube_apiserver__etcd_ca has ended on " in found


# ---- networks ----


@pytest.mark.parametrize("text", ["10.244.0.0", "10.244.0.0/33", "10.244.1.0/16", "pods", "", None, "10.244/16/2"])
@pytest.mark.parametrize("name", ["pod_cidr", "service_cidr"])
def test_a_network_that_is_none(name: str, text: str | None) -> None:
    found = only(findings({name: text}))
    assert found.startswith(f"cluster_{name} {text!r} is no network in CIDR notation")
    assert "10.244.0.0/16" in found


@pytest.mark.parametrize(
    ("pods", "services"),
    [("10.96.0.0/12", "10.96.0.0/16"), ("10.96.0.0/16", "10.96.0.0/16"), ("10.96.0.0/18", "10.96.0.0/16")],
)
def test_networks_that_overlap(pods: str, services: str) -> None:
    found = only(findings({"pod_cidr": pods, "service_cidr": services}))
    assert found == (
        f"cluster_pod_cidr {pods} and cluster_service_cidr {services} overlap. "
        "Choose two networks that share no address."
    )


@pytest.mark.parametrize(("name", "other"), [("pod_cidr", "10.244.0.0/16"), ("service_cidr", "10.96.0.0/16")])
def test_a_network_that_hosts_are_in(name: str, other: str) -> None:
    change = {name: "192.168.0.0/16", "dns_address": "192.168.0.10" if name == "service_cidr" else "10.96.0.10"}
    found = findings(change)
    assert list(found) == [""]
    assert [sentence.split(" of ")[-1].split(".")[0] for sentence in found[""]] == HOSTS
    assert all(
        sentence.startswith(f"cluster_{name} 192.168.0.0/16 holds the address 192.168.60.") for sentence in found[""]
    )


@pytest.mark.parametrize("pods", ["10.244.0.0/24", "10.244.0.0/28"])
def test_a_pod_network_too_small_for_a_node(pods: str) -> None:
    found = only(findings({"pod_cidr": pods}))
    assert "too small: each node takes a /24 of it" in found
    assert "kube_controller_manager__node_mask_ipv4" in found


def test_a_service_network_larger_than_the_api_server_takes() -> None:
    assert "is larger than a /12" in only(
        findings({"service_cidr": "10.0.0.0/11", "pod_cidr": "172.16.0.0/16", "dns_address": "10.0.0.10"})
    )


def test_a_dns_address_outside_the_services() -> None:
    found = only(findings({"dns_address": "10.97.0.10"}))
    assert found == "cluster_dns_address 10.97.0.10 is outside cluster_service_cidr 10.96.0.0/16. Mend one of them."


@pytest.mark.parametrize("text", ["dns", "", "10.96.0.300"])
def test_a_dns_address_that_is_none(text: str) -> None:
    assert "cluster_dns_address" in only(findings({"dns_address": text}))


# ---- both families ----

DUAL = {
    "pod_cidr": "10.244.0.0/16,fd00:10:244::/56",
    "service_cidr": "10.96.0.0/16, fd00:10:96::/112",
}


def dual(change: dict[str, Any] | None = None, host: str | None = None, **of_host: Any) -> dict[str, list[str]]:
    """What is found in an inventory of both families once all hosts, and one of them, have other values."""
    views, groups = stacked()
    for number, view in enumerate(views.values(), 11):
        view.update(DUAL, address_v6=f"fd00:60::{number}", **(change or {}))
    if host:
        views[host].update(of_host)
    return rules.cluster_findings(views, groups, NAMES)


def test_a_good_inventory_of_both_families() -> None:
    assert dual() == {}
    assert dual({"dns_address": "fd00:10:96::a"}) == {}
    assert dual({"node_mask_v6": 72}) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"service_cidr": "10.96.0.0/16"},
            "cluster_pod_cidr 10.244.0.0/16,fd00:10:244::/56 and cluster_service_cidr 10.96.0.0/16 are not of the same "
            "families. Give both an IPv6 network, or neither.",
        ),
        (
            {"pod_cidr": "fd00:10:244::/56,10.244.0.0/16"},
            "cluster_pod_cidr fd00:10:244::/56,10.244.0.0/16 is neither one IPv4 network nor an IPv4 and an IPv6 network, in "
            "this order, with a comma between. Mend it.",
        ),
        (
            {"pod_cidr": "10.244.0.0/17,10.244.128.0/17"},
            "cluster_pod_cidr 10.244.0.0/17,10.244.128.0/17 is neither one IPv4 network nor an IPv4 and an IPv6 network, in "
            "this order, with a comma between. Mend it.",
        ),
        (
            {"service_cidr": "10.96.0.0/16,fd00:10:244:1::/112"},
            "cluster_pod_cidr fd00:10:244::/56 and cluster_service_cidr fd00:10:244:1::/112 overlap. Choose two networks that "
            "share no address.",
        ),
        (
            {"service_cidr": "10.96.0.0/16,fd00:10:96::/64"},
            "cluster_service_cidr fd00:10:96::/64 is larger than a /108, the largest that is supported. Choose a smaller one.",
        ),
        (
            {"pod_cidr": "10.244.0.0/16,fd00:10::/32", "service_cidr": "10.96.0.0/16,fd01::/112"},
            "kube_controller_manager__node_mask_ipv6 64 is more than 16 longer than the prefix of cluster_pod_cidr "
            "fd00:10::/32, and kube-controller-manager would not start. Choose /48 or longer for the pods, or a shorter one "
            "for the nodes.",
        ),
        (
            {"pod_cidr": "10.244.0.0/16,fd00:10:244::/64"},
            "cluster_pod_cidr fd00:10:244::/64 is too small: each node takes a /64 of it. Choose a larger network or a longer "
            "kube_controller_manager__node_mask_ipv6.",
        ),
        (
            {"pod_cidr": "10.244.0.0/16,fd00:10:244::/112", "node_mask_v6": 127},
            "kube_controller_manager__node_mask_ipv6 127 leaves a node no addresses for its pods. Choose a shorter one.",
        ),
        (
            {"node_mask": 31},
            "kube_controller_manager__node_mask_ipv4 31 leaves a node no addresses for its pods. Choose a shorter one.",
        ),
        (
            {"pod_cidr": "10.244.0.0/16,fd00:10:244::1/56"},
            "cluster_pod_cidr '10.244.0.0/16,fd00:10:244::1/56' is no network in CIDR notation, such as 10.244.0.0/16. Mend it.",
        ),
        (
            {"dns_address": "fd00:10:97::a"},
            "cluster_dns_address fd00:10:97::a is outside cluster_service_cidr 10.96.0.0/16, fd00:10:96::/112. Mend one of "
            "them.",
        ),
    ],
)
def test_networks_that_both_families_can_not_have(change: dict[str, Any], words: str) -> None:
    assert only(dual(change)) == words


def test_a_host_in_the_pods_second_network() -> None:
    assert only(dual(host="w1", address_v6="fd00:10:244::21")) == (
        "cluster_pod_cidr 10.244.0.0/16,fd00:10:244::/56 holds the address fd00:10:244::21 of w1. Choose networks that no host "
        "is in."
    )


def test_a_node_without_a_second_address() -> None:
    assert only(dual(host="w1", address_v6=""), "w1") == (
        "cluster_pod_cidr 10.244.0.0/16,fd00:10:244::/56 has both families, and this node has no cluster_address_v6. Set its "
        "IPv6 address, or take the IPv6 networks away."
    )


def test_a_host_that_is_no_node_needs_no_second_address() -> None:
    views, groups = stacked()
    for number, view in enumerate(views.values(), 11):
        view.update(DUAL, address_v6=f"fd00:60::{number}")
    groups["kube_node"] = ["w1", "w2"]
    views["cp1"]["address_v6"] = ""
    assert rules.cluster_findings(views, groups, NAMES) == {}


@pytest.mark.parametrize("text", ["192.168.61.21", "fe80::21", "w1", "fd00:60::21/64"])
def test_a_second_address_that_is_none(text: str) -> None:
    assert only(dual(host="w1", address_v6=text), "w1") == (
        f"cluster_address_v6 {text!r} is no IPv6 address that other hosts could reach. Set the one that this host has beside "
        "cluster_address."
    )


def test_two_hosts_with_one_second_address() -> None:
    found = dual(host="w1", address_v6="fd00:60::0:15")
    assert found == {
        "w1": ["cluster_address_v6 fd00:60::15 is also the address of w2. Give each host its own."],
        "w2": ["cluster_address_v6 fd00:60::15 is also the address of w1. Give each host its own."],
    }


@pytest.mark.parametrize("host", ["cp1", "w1"])
def test_a_first_address_of_ipv6(host: str) -> None:
    """Whatever the families of pods are: nobody puts brackets around it."""
    words = (
        "cluster_address fd00:61::1 is no IPv4 address, and etcd, API servers, balancers and nodes talk to one another over IPv4. "
        "Set cluster_address to the host's IPv4 address; with both families a node has the other one in cluster_address_v6."
    )
    assert only(dual(host=host, address="fd00:61::1"), host) == words
    assert only(findings({"address": "fd00:61::1"}, host), host) == words


def test_balancers_have_addresses_of_ipv4_too() -> None:
    views, groups = stacked()
    views["lb1"] = dict(views["w1"], address="fd00:61::1", node_name="lb1")
    assert "cluster_address fd00:61::1 is no IPv4 address" in only(rules.cluster_findings(views, groups, NAMES), "lb1")


def test_a_second_address_alone_changes_nothing() -> None:
    assert findings({"address_v6": "fd00:60::21"}, "w1") == {}


def bridged_dual(**of_w1: Any) -> dict[str, list[str]]:
    views, groups = stacked()
    for number, view in enumerate(views.values(), 11):
        view.update(DUAL, address_v6=f"fd00:60::{number}", cni_kind="bridge")
        view["cni_pod_cidr"] = f"10.244.{number}.0/24,fd00:10:244:{number}::/64"
    views["w1"].update(of_w1)
    return rules.cluster_findings(views, groups, NAMES)


def test_bridged_nodes_of_both_families() -> None:
    assert bridged_dual() == {}


@pytest.mark.parametrize(
    "text", ["10.244.1.0/24", "10.244.1.0/24,fd00:10:245:1::/64", "fd00:10:244:1::/64,10.244.1.0/24", ""]
)
def test_a_bridged_node_that_lacks_a_family(text: str) -> None:
    assert only(bridged_dual(cni_pod_cidr=text), "w1") == (
        f"cni__pod_cidr {text!r} is no network inside cluster_pod_cidr, or not one for each family; cni__kind bridge needs one "
        "for each node."
    )


def test_bridged_nodes_that_share_their_second_network() -> None:
    found = bridged_dual(cni_pod_cidr="10.244.14.0/24,fd00:10:244:15::/64")
    assert found["w1"] == ["cni__pod_cidr fd00:10:244:15::/64 is also the one of w2. Give each node its own."]


def test_networks_of_different_kinds() -> None:
    views, groups = stacked()
    views["w1"]["cni_kind"] = "none"
    assert only(rules.cluster_findings(views, groups, NAMES)) == (
        "cni__kind differs: flannel on cp1, cp2, cp3, w2; none on w1. Set it for all hosts alike, in group_vars/all."
    )
    groups["kube_node"] = HOSTS[:3]  # who is neither a node nor gives nodes their parts has no say
    assert rules.cluster_findings(views, groups, NAMES) == {}


# ---- a network that someone else brings ----

LIST = {"10-mine.conflist": {"cniVersion": "1.0.0", "name": "mine", "plugins": []}}


def test_what_is_handed_over_wants_kind_none() -> None:
    values = {"cni__kind": "flannel", "cni__manifests": ["a.yaml"], "cni__conf": LIST, "cni__releases": []}
    assert rules.given_network(values) == [
        "cni__manifests is set, and cni__kind flannel brings its own network. Set cni__kind: none, or take cni__manifests away.",
        "cni__conf is set, and cni__kind flannel brings its own network. Set cni__kind: none, or take cni__conf away.",
    ]
    assert rules.given_network({"cni__kind": "bridge", "cni__manifests": []}) == []


def test_what_is_handed_over_as_it_should_be() -> None:
    values = {"cni__kind": "none", "cni__manifests": ["a.yaml"], "cni__conf": {**LIST, "20-b.conf": '{"name": "b"}'}}
    assert rules.given_network(values, read=lambda path: ([{"kind": path}], [])) == []
    assert rules.given_network({"cni__kind": "none"}) == []


def test_what_is_handed_over_and_can_not_be_read() -> None:
    values = {
        "cni__kind": "none",
        "cni__manifests": ["/nowhere/calico.yaml"],
        "cni__conf": {"a.conf": "{", "b.yml": {}},
    }
    found = rules.given_network(values)
    assert found[0] == (
        "cni__manifests: /nowhere/calico.yaml can't be read: No such file or directory. Mend the file, or its path."
    )
    assert found[1].startswith("cni__conf: the content of a.conf is no JSON: ")
    assert found[2].startswith("cni__conf: 'b.yml' is no file name that containerd reads.")
    assert len(found) == 3


# ---- bridged networks ----


def bridged() -> dict[str, dict[str, Any]]:
    views, _groups = stacked()
    for number, view in enumerate(views.values()):
        view.update(cni_kind="bridge", cni_pod_cidr=f"10.244.{number}.0/24")
    return views


def test_bridged_nodes_with_a_network_each() -> None:
    assert rules.cluster_findings(bridged(), stacked()[1], NAMES) == {}


def test_who_is_no_node_needs_no_network_of_pods() -> None:
    """An API server, a manager or a member of etcd on a host of its own; the kind is set for all of them alike."""
    views, groups = bridged(), stacked()[1]
    groups["kube_node"] = ["w1", "w2"]
    for name in HOSTS:
        if name.startswith("cp"):
            views[name]["cni_pod_cidr"] = ""
    assert rules.cluster_findings(views, groups, NAMES) == {}
    views["cp1"]["cni_pod_cidr"] = views["w1"]["cni_pod_cidr"]  # says nothing there
    assert rules.cluster_findings(views, groups, NAMES) == {}


@pytest.mark.parametrize("text", ["", None, "10.245.0.0/24", "10.244.7.1/24", "fd00::/64"])
def test_a_bridged_node_without_a_network_of_its_own(text: str | None) -> None:
    views = bridged()
    views["w1"]["cni_pod_cidr"] = text
    found = only(rules.cluster_findings(views, stacked()[1], NAMES), "w1")
    assert f"cni__pod_cidr {text!r} is no network inside cluster_pod_cidr" in found


def test_two_bridged_nodes_with_one_network() -> None:
    views = bridged()
    views["w2"]["cni_pod_cidr"] = views["w1"]["cni_pod_cidr"]
    found = rules.cluster_findings(views, stacked()[1], NAMES)
    assert sorted(found) == ["w1", "w2"]
    assert "is also the one of w1. Give each node its own." in found["w2"][0]


def test_bridged_nodes_whose_networks_overlap() -> None:
    views = bridged()
    views["cp1"]["cni_pod_cidr"] = "10.244.128.0/18"
    views["w1"]["cni_pod_cidr"] = "10.244.190.0/24"
    views["w2"]["cni_pod_cidr"] = "10.244.191.0/24"
    views["cp2"]["cni_pod_cidr"] = "10.244.192.0/24"  # right behind it
    assert rules.cluster_findings(views, stacked()[1], NAMES) == {
        "cp1": [
            "cni__pod_cidr 10.244.128.0/18 overlaps 10.244.190.0/24 of w1. Give each node a part of its own.",
            "cni__pod_cidr 10.244.128.0/18 overlaps 10.244.191.0/24 of w2. Give each node a part of its own.",
        ],
        "w1": ["cni__pod_cidr 10.244.190.0/24 overlaps 10.244.128.0/18 of cp1. Give each node a part of its own."],
        "w2": ["cni__pod_cidr 10.244.191.0/24 overlaps 10.244.128.0/18 of cp1. Give each node a part of its own."],
    }


def test_bridged_nodes_whose_second_networks_overlap() -> None:
    found = bridged_dual(cni_pod_cidr="10.244.14.0/24,fd00:10:244:14::/63")
    assert found == {
        "w1": [
            "cni__pod_cidr fd00:10:244:14::/63 overlaps fd00:10:244:15::/64 of w2. Give each node a part of its own."
        ],
        "w2": [
            "cni__pod_cidr fd00:10:244:15::/64 overlaps fd00:10:244:14::/63 of w1. Give each node a part of its own."
        ],
    }


# ---- versions ----


@pytest.mark.parametrize("version", ["1.36", "v1.36.3", "latest", "", None, "1.36.3-rc.1"])
def test_a_version_that_is_none(version: str | None) -> None:
    found = findings({"version": version}, "w1")
    assert only(found, "w1") == f"cluster_version {version!r} is no version such as 1.36.3. Mend it."


@pytest.mark.parametrize("version", ["1.33.9", "1.37.0", "2.0.0"])
def test_a_version_that_is_not_supported(version: str) -> None:
    found = findings({"version": version})
    assert sorted(found) == HOSTS
    assert found["cp1"] == [f"cluster_version {version} is not supported; these are: 1.34, 1.35, 1.36."]


@pytest.mark.parametrize("version", ["1.34.0", "1.35.4", "1.36.0"])
def test_supported_versions(version: str) -> None:
    assert findings({"version": version}) == {}


def test_a_node_newer_than_an_api_server() -> None:
    views, groups = stacked()
    for host in CONTROL_PLANE:
        views[host]["version"] = "1.35.4"
    found = rules.cluster_findings(views, groups, NAMES)
    assert sorted(found) == ["w1", "w2"]
    assert found["w1"][0] == (
        "cluster_version 1.36.3 is newer than 1.35.4 on cp1, which runs an API server. Raise API servers first."
    )


@pytest.mark.parametrize(("version", "fits"), [("1.35.4", True), ("1.34.1", True), ("1.33.1", True), ("1.32.1", False)])
def test_a_kubelet_may_lag_three_minor_versions(monkeypatch: pytest.MonkeyPatch, version: str, fits: bool) -> None:
    monkeypatch.setattr(rules, "SUPPORTED", tuple(f"1.{minor}" for minor in range(30, 37)))
    found = findings({"version": version}, "w1")
    assert (found == {}) == fits
    if not fits:
        assert "minor versions behind 1.36.3 on cp1" in found["w1"][0]


def test_api_servers_two_minor_versions_apart() -> None:
    found = findings({"version": "1.34.1"}, "cp3")
    assert any("more than one minor version behind 1.36.3 on cp1" in sentence for sentence in found["cp3"])


# ---- addresses and names ----


def test_one_address_for_two_hosts() -> None:
    found = findings({"address": "192.168.60.11"}, "w1")
    mend = "Give each host its own (ansible_host or cluster_address)."
    assert found["cp1"] == [f"cluster_address 192.168.60.11 is also the address of w1. {mend}"]
    assert found["w1"] == [f"cluster_address 192.168.60.11 is also the address of cp1. {mend}"]


@pytest.mark.parametrize(("host", "room", "part"), [("w1", 52, "kube_node"), ("cp1", 49, "kube_apiserver")])
def test_a_name_too_long_for_a_certificate(host: str, room: int, part: str) -> None:
    assert findings({"node_name": "n" * room}, host) == {}
    found = findings({"node_name": "n" * (room + 1)}, host)[host]
    assert (
        f"cluster_node_name {'n' * (room + 1)} has {room + 1} characters, and {room} fit into the certificate of a host of {part}. "
        "Set a shorter one."
    ) in found


def test_one_name_for_two_hosts() -> None:
    found = findings({"node_name": "cp1"}, "w1")
    assert found["cp1"] == ["cluster_node_name cp1 is also the name of w1. Give each host its own."]
    assert found["w1"] == ["cluster_node_name cp1 is also the name of cp1. Give each host its own."]


@pytest.mark.parametrize("address", ["w1.example.com", "", "192.168.60", None])
def test_an_address_that_is_none(address: str | None) -> None:
    found = only(findings({"address": address}, "w1"), "w1")
    assert f"cluster_address {address!r} is no IP address" in found
    assert "ansible_host" in found


@pytest.mark.parametrize("name", ["Worker1", "w_1", "-w1", "w1.", "a" * 64])
def test_a_node_name_that_dns_does_not_take(name: str) -> None:
    assert f"cluster_node_name {name!r} is no DNS name" in findings({"node_name": name}, "w1")["w1"][-1]


def test_a_node_name_of_a_host_that_is_no_node_does_not_matter() -> None:
    assert findings({"node_name": "Etcd_1"}, "w1", kube_node=["cp1", "cp2", "cp3", "w2"]) == {}


# ---- the endpoint ----


@pytest.mark.parametrize("endpoint", ["api.example.com:6443", "[fd00::1]:443", "10.96.0.1:1"])
def test_endpoints_that_the_certificates_cover(endpoint: str) -> None:
    assert findings({"endpoint": endpoint}) == {}


def test_an_endpoint_outside_the_certificates_names() -> None:
    found = findings({"endpoint": "other.example.com:6443"})
    assert sorted(found) == HOSTS
    assert len(found["w1"]) == 3
    assert "cluster_api_endpoint other.example.com:6443 is outside the names" in found["w1"][0]
    assert "on cp1 (kubernetes, 10.96.0.1" in found["w1"][0]
    assert "kube_apiserver__extra_sans" in found["w1"][0]


@pytest.mark.parametrize(
    "endpoint", ["api.example.com", "https://api.example.com:6443", "a:b", "a:0", "a:70000", "fd00::1:443"]
)
def test_an_endpoint_that_is_no_host_and_port(endpoint: str) -> None:
    found = findings({"endpoint": endpoint}, "w1")
    assert only(found, "w1") == f"cluster_api_endpoint {endpoint!r} is not host:port. Mend it."


def test_everything_wrong_is_told_at_once() -> None:
    found = findings(
        {"endpoint": "x", "version": "9", "address": "y", "pod_cidr": "z", "node_name": "W"}, "w1", etcd=HOSTS[:2]
    )
    assert len(found[""]) == 3  # its networks are no networks, and others than those of the others
    assert len(found["w1"]) == 4


# ---- one cluster has one of each ----


def spread() -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """A good inventory in which each part has hosts of its own."""
    views, groups = stacked()
    groups.update(etcd=["e1"], kube_apiserver=["a1"], kube_controller_manager=["m1"], kube_scheduler=["s1"])
    groups["kube_node"] = ["n1"]
    model = views["cp1"]
    made = {
        name: dict(model, address=f"192.168.60.{number}", node_name=name)
        for number, name in enumerate(("e1", "a1", "m1", "s1", "n1"), 11)
    }
    return made, groups


def spread_with(hosts: str, **change: Any) -> dict[str, list[str]]:
    """What is found once these hosts of it have other values."""
    views, groups = spread()
    for host in hosts.split():
        views[host].update(change)
    return rules.cluster_findings(views, groups, NAMES)


def test_parts_on_hosts_of_their_own() -> None:
    assert spread_with("") == {}


@pytest.mark.parametrize(
    ("field", "variable", "value"),
    [
        ("pod_cidr", "cluster_pod_cidr", "10.250.0.0/16"),
        ("service_cidr", "cluster_service_cidr", "10.96.0.0/15"),
        ("dns_address", "cluster_dns_address", "10.96.0.11"),
        ("domain", "cluster_domain", "example.local"),
        ("api_port", "cluster_api_port", 8443),
    ],
)
@pytest.mark.parametrize("host", ["a1", "m1", "n1"])
def test_what_the_parts_of_one_cluster_must_share(field: str, variable: str, value: Any, host: str) -> None:
    (told,) = [words for words in spread_with(host, **{field: value})[""] if words.startswith(f"{variable} differs")]
    assert f"{value} on {host}" in told
    assert told.endswith("Set it for all hosts alike, in group_vars/all.")
    assert spread_with("e1", **{field: value}) == {}  # whose hosts have nothing to do with it


@pytest.mark.parametrize("field", ["etcd_client_port", "etcd_peer_port"])
def test_ports_of_etcd_are_known_to_those_who_ask_there(field: str) -> None:
    """Such as not with group_vars/etcd.yml: the members would be looked for at the default port."""
    variable = field.replace("etcd_", "etcd__")
    assert only(spread_with("e1", **{field: 12380})).startswith(f"{variable} differs: ")
    assert spread_with("e1 a1", **{field: 12380}) == {}


def test_the_networks_objects_are_kept_by_api_servers() -> None:
    """So their hosts must know whose network it is, and what belongs to it."""
    assert only(spread_with("m1 n1", cni_kind="none")) == (
        "cni__kind differs: flannel on a1; none on m1, n1. Set it for all hosts alike, in group_vars/all."
    )
    mine = {"cni_kind": "none", "cni_manifests": ["calico.yaml"]}
    assert spread_with("a1 m1 n1", **mine) == {}
    views, groups = spread()
    for host in ("a1", "m1", "n1"):
        views[host]["cni_kind"] = "none"
    views["a1"]["cni_manifests"] = ["calico.yaml"]
    assert rules.cluster_findings(views, groups, NAMES) == {}
    views["a1"]["cni_manifests"], views["n1"]["cni_manifests"] = [], ["calico.yaml"]
    assert only(rules.cluster_findings(views, groups, NAMES), "n1").startswith(
        "cni__manifests is set, and not for the hosts with API servers (a1), which keep them."
    )
    views["a1"]["cni_manifests"] = ["/inventory/../calico.yaml"]  # its own inventory's folder
    assert rules.cluster_findings(views, groups, NAMES) == {}


def test_versions_are_asked_of_those_who_run_kubernetes() -> None:
    assert spread_with("a1 m1 s1 n1", version="1.35.6") == {}  # etcd's host has the default
    assert only(spread_with("m1", version="1.34.9"), "m1") == (
        "cluster_version 1.34.9 is more than one minor version behind 1.36.3 on a1, which a controller manager or a scheduler may "
        "not be."
    )
    assert spread_with("m1 s1", version="1.35.6") == {}
    assert spread_with("n1", version="1.34.9") == {}


def test_nodes_masks_are_asked_of_those_who_hand_out_parts() -> None:
    small = {"pod_cidr": "10.244.0.0/24"}
    views, groups = spread()
    for view in views.values():
        view.update(small)
    assert "takes a /24 of it" in only(rules.cluster_findings(views, groups, NAMES))
    views["m1"]["node_mask"] = 26
    assert rules.cluster_findings(views, groups, NAMES) == {}
    views["m1"]["node_mask"] = "many"  # a wrong value, which is told elsewhere
    assert rules.cluster_findings(views, groups, NAMES) == {}
    for view in views.values():
        view.update(cni_kind="bridge", node_mask=24, cni_pod_cidr="10.244.0.0/26")
    assert rules.cluster_findings(views, groups, NAMES) == {}  # nobody hands them out


def test_long_names_with_an_etcd_of_someone_elses() -> None:
    views, groups = spread()
    groups["etcd"] = []
    views["a1"].update(etcd_endpoints=GIVEN, node_name="a" * 55)
    del views["e1"]
    assert rules.cluster_findings(views, groups, NAMES) == {}


def test_a_balancer_of_its_own_at_the_api_servers_port() -> None:
    """Both would listen there; a worker or a manager has no API server beside it."""
    found = findings({"own_port": 6443})
    assert sorted(found) == CONTROL_PLANE
    assert only({"cp1": found["cp1"]}, "cp1") == (
        "runs an API server and a balancer of its own, both at port 6443. Choose another load_balancer__port."
    )
    assert spread_with("a1 m1 s1 n1", own_port=6443) == {}


@pytest.mark.parametrize("seconds", [0, "0", -3])
def test_no_time_for_a_check(seconds: Any) -> None:
    found = findings({"check_within": seconds})
    assert found["cp1"] == [f"load_balancer__check_within {seconds} is less than 1 s. Mend it."]


@pytest.mark.parametrize(
    ("change", "host", "variable"),
    [
        ({"pair_port": 6444}, "w1", "load_balancer__pair_port"),
        ({"virtual_address": "192.168.60.40"}, "w1", "virtual_address__address"),
        ({"router_id": 52}, "w2", "virtual_address__router_id"),
        ({"check_within": 10}, "cp1", "load_balancer__check_within"),
    ],
)
def test_balancers_and_those_who_ask_there_mean_the_same(change: dict[str, Any], host: str, variable: str) -> None:
    views, groups = stacked()
    groups["load_balancer"] = ["w1", "w2"]
    for view in views.values():
        view.update(balancer="hybrid", endpoint="api.example.com:443", virtual_address="192.168.60.30")
    assert rules.cluster_findings(views, groups, NAMES) == {}
    views["cp1"]["router_id"] = 77  # is nothing to who does not balance
    assert rules.cluster_findings(views, groups, NAMES) == {}
    views[host].update(change)
    assert only(rules.cluster_findings(views, groups, NAMES)).startswith(f"{variable} differs: ")


# ---- names of variables ----

SPECS = {
    "cluster": {"cluster_version": {}, "cluster_pod_cidr": {}},
    "etcd": {"etcd__version": {}, "etcd__flags": {}},
    "kubelet": {"kubelet__labels": {}},
}


def test_known_and_foreign_names_are_no_findings() -> None:
    names = ["cluster_version", "etcd__flags", "ansible_host", "cluster_of_my_own", "my__thing", "etcd_backup", "x"]
    assert rules.unknown_names(names, SPECS) == []


def test_a_misspelt_name_gets_the_right_one() -> None:
    assert rules.unknown_names(["kubelet__lables", "cluster_verson", "etcd__flag"], SPECS) == [
        "cluster_verson is no variable of any role. Did you mean cluster_version?",
        "etcd__flag is no variable of any role. Did you mean etcd__flags?",
        "kubelet__lables is no variable of any role. Did you mean kubelet__labels?",
    ]


def test_a_name_like_no_other_gets_the_reference() -> None:
    assert rules.unknown_names(["etcd__something_of_its_own"], SPECS) == [
        "etcd__something_of_its_own is no variable of any role. See the reference for what role etcd knows."
    ]


# ---- values ----

OPTIONS: dict[str, Any] = {
    "etcd__quota_mb": {"type": "int", "description": "Quota.", "default": 2048},
    "etcd__kind": {"type": "str", "choices": ["a", "b"]},
    "etcd__mirrors": {
        "type": "list",
        "elements": "dict",
        "options": {"url": {"type": "str", "required": True, "description": "x"}, "ca": {"type": "path"}},
    },
}


def test_values_that_fit() -> None:
    assert rules.wrong_values(OPTIONS, {"etcd__mirrors": None}) == []  # without a default it may mean something
    values = {"etcd__quota_mb": "12", "etcd__kind": "a", "etcd__mirrors": [{"url": "x"}]}
    assert rules.wrong_values(OPTIONS, values) == []
    assert rules.wrong_values(OPTIONS, {}) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"etcd__quota_mb": "many"}, ["etcd__quota_mb", "int"]),
        ({"etcd__quota_mb": None}, ["etcd__quota_mb is empty"]),
        ({"etcd__mirrors": "10.0.0.53"}, ["etcd__mirrors is a text where a list is expected"]),
        ({"etcd__mirrors": ["10.0.0.53"]}, ["etcd__mirrors[0] is a text where a dict is expected"]),
        ({"etcd__mirrors": [{"url": None}]}, ["etcd__mirrors[0].url is empty"]),
        ({"etcd__kind": "c"}, ["etcd__kind", "a, b", "c"]),
        ({"etcd__mirrors": [{"ca": "x"}]}, ["url", "etcd__mirrors"]),
        ({"etcd__mirrors": [{"url": "x", "cb": "x"}]}, ["cb", "etcd__mirrors"]),
        ({"etcd__mirrors": 7}, ["etcd__mirrors"]),
    ],
)
def test_values_that_do_not_fit_are_named_with_the_mend(values: dict[str, Any], words: list[str]) -> None:
    found = rules.wrong_values(OPTIONS, values)
    assert all(any(word in sentence for sentence in found) for word in words), found
    assert all(sentence.endswith("Mend it in the inventory; the reference describes it.") for sentence in found)


def test_all_values_that_do_not_fit_are_told() -> None:
    assert len(rules.wrong_values(OPTIONS, {"etcd__quota_mb": "many", "etcd__kind": "c", "etcd__mirrors": [{}]})) == 3


REGISTRIES = {"containerd__registries": {"type": "dict"}}


def registry(value: object) -> list[str]:
    return rules.wrong_values(REGISTRIES, {"containerd__registries": {"docker.io": value}})


def test_registries_that_fit() -> None:
    mirror = {"url": "https://m", "username": "u", "password": "p", "ca": "/ca", "skip_verify": False}
    assert registry({"server": "https://registry-1.docker.io", "mirrors": [mirror, {"url": "https://n"}]}) == []
    assert registry({}) == []
    assert rules.wrong_values(REGISTRIES, {}) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("https://m", ["under docker.io", "mirrors, server"]),
        ({"mirrors": ["https://m"]}, ["under docker.io", "mirrors"]),
        ({"mirrors": "https://m"}, ["under docker.io", "mirrors is a text where a list is expected"]),
        ({"mirrors": [{"url": "https://m", "skip_verify": []}]}, ["under docker.io", "mirrors", "skip_verify"]),
        ({"mirrors": [{"ca": "/ca"}]}, ["under docker.io", "mirrors", "url"]),
        ({"mirror": []}, ["under docker.io", "mirror", "Supported parameters include: mirrors, server"]),
    ],
)
def test_registries_that_do_not_fit(value: object, words: list[str]) -> None:
    found = registry(value)
    assert all(sentence.startswith("containerd__registries") for sentence in found)
    assert all(any(word in sentence for sentence in found) for word in words), found


def test_registries_that_are_no_dict_are_told_once() -> None:
    assert len(rules.wrong_values(REGISTRIES, {"containerd__registries": 7})) == 1


# ---- balancers ----

PAIR = ["lb1", "lb2"]
VIRTUAL = "192.168.60.30"


def balanced(kind: str = "haproxy", change: dict[str, Any] | None = None, **groups: list[str]) -> dict[str, list[str]]:
    """What is found of an inventory with balancers on hosts of their own, once all hosts have other values."""
    views, present = stacked()
    for number, host in enumerate(PAIR, 31):
        views[host] = dict(views["w1"], address=f"192.168.60.{number}", node_name=host)
    present["load_balancer"] = list(PAIR)
    for view in views.values():
        names = [*view["api_names"], VIRTUAL, "203.0.113.5", "k8s.example.com"]
        view.update(balancer=kind, endpoint=f"{VIRTUAL}:6443", virtual_address=VIRTUAL, api_names=names)
        view.update(change or {})
    present.update(groups)
    return rules.cluster_findings(views, present, NAMES)


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_a_pair_with_a_virtual_address(kind: str) -> None:
    assert balanced(kind) == {}
    named = {"endpoint": "k8s.example.com:6443", "virtual_address": VIRTUAL}
    assert balanced(kind, named) == {}


def test_a_hybrid_with_and_without_a_virtual_address() -> None:
    assert balanced("hybrid", {"endpoint": "203.0.113.5:443"}) == {}
    assert balanced("hybrid", {"endpoint": "203.0.113.5:443", "virtual_address": ""}) == {}


def test_an_external_balancer() -> None:
    assert balanced("external", {"endpoint": "203.0.113.5:443", "virtual_address": ""}, load_balancer=[]) == {}


@pytest.mark.parametrize("hosts", [[], ["lb1"]])
@pytest.mark.parametrize("kind", ["haproxy", "nginx", "hybrid"])
def test_fewer_than_two_balancers(kind: str, hosts: list[str]) -> None:
    found = only(balanced(kind, load_balancer=hosts))
    assert f"the group load_balancer has {len(hosts)} hosts, and load_balancer__kind {kind} wants two or more" in found
    assert "Name them in it, or choose another kind." in found


@pytest.mark.parametrize("kind", ["local", "external"])
def test_hosts_that_would_balance_nothing(kind: str) -> None:
    found = only(balanced(kind, {"virtual_address": ""}))
    assert f"the group load_balancer has the hosts lb1, lb2, and load_balancer__kind {kind} uses none" in found


def test_kinds_that_differ() -> None:
    views, groups = stacked()
    views["w1"]["balancer"] = "external"
    found = only(rules.cluster_findings(views, groups, NAMES))
    assert found.startswith("load_balancer__kind differs: external on w1; local on cp1, cp2, cp3, w2. Set it for all")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("haproxy", "the address that the balancers share"),
        ("nginx", "the address that the balancers share"),
        ("external", "your balancer"),
        ("hybrid", "your balancer"),
    ],
)
def test_a_shared_address_that_is_not_told(kind: str, words: str) -> None:
    groups = {"load_balancer": []} if kind == "external" else {}
    found = only(balanced(kind, {"endpoint": "", "virtual_address": ""}, **groups))
    assert found == f"load_balancer__kind {kind} wants cluster_api_endpoint, the host:port of {words}. Set it."


def test_a_name_does_not_say_which_address_moves() -> None:
    found = only(balanced("haproxy", {"endpoint": "k8s.example.com:6443", "virtual_address": ""}))
    assert "k8s.example.com:6443 is a name, so virtual_address__address must say which address" in found


@pytest.mark.parametrize(
    ("address", "endpoint", "words"),
    [
        ("192.168.60.300", "k8s.example.com:6443", "virtual_address__address '192.168.60.300' is no IP address"),
        (
            "192.168.60.21",
            "192.168.60.21:6443",
            "cluster_api_endpoint: the virtual address 192.168.60.21 is the address of",
        ),
        ("192.168.60.31", "k8s.example.com:6443", "virtual_address__address: the virtual address 192.168.60.31 is the"),
        ("10.244.3.1", "10.244.3.1:6443", "is in cluster_pod_cidr 10.244.0.0/16. Choose one outside."),
        ("10.96.0.77", "10.96.0.77:6443", "is in cluster_service_cidr 10.96.0.0/16. Choose one outside."),
        (
            "192.168.60.40",
            "192.168.60.30:6443",
            "192.168.60.40 is not the address in cluster_api_endpoint 192.168.60.30:6443",
        ),
        ("fd00::30", "[fd00::30]:6443", "is an address of IPv6, and lb1 has 192.168.60.31"),
    ],
)
def test_a_virtual_address_that_can_not_be_one(address: str, endpoint: str, words: str) -> None:
    views, groups = stacked()
    views["w1"]["address"] = "192.168.60.21"
    for number, host in enumerate(PAIR, 31):
        views[host] = dict(views["w1"], address=f"192.168.60.{number}", node_name=host)
    for view in views.values():
        names = [*view["api_names"], endpoint.rpartition(":")[0].strip("[]")]
        view.update(balancer="haproxy", endpoint=endpoint, virtual_address=address, api_names=names)
    found = rules.cluster_findings(views, {**groups, "load_balancer": PAIR}, NAMES)
    assert list(found) == [""]
    assert any(words in sentence for sentence in found[""]), found


def test_two_ports_for_one_address() -> None:
    found = only(balanced("haproxy", {"pair_port": 7443}))
    assert found.startswith("load_balancer__pair_port 7443 is not the port of cluster_api_endpoint 192.168.60.30:6443.")
    assert balanced("hybrid", {"pair_port": 7443, "endpoint": "203.0.113.5:443"}) == {}


def test_a_balancer_beside_an_api_server_needs_another_port() -> None:
    found = balanced("haproxy", load_balancer=["cp1", "cp2"])
    assert sorted(found) == ["cp1", "cp2"]
    assert "runs an API server and a balancer, both at port 6443. Choose another port" in found["cp1"][0]
    other = {"endpoint": f"{VIRTUAL}:8443", "pair_port": 8443}
    assert balanced("haproxy", other, load_balancer=["cp1", "cp2"]) == {}


@pytest.mark.parametrize("number", [0, 256, -1, "x"])
def test_a_virtual_router_id_that_is_none(number: Any) -> None:
    found = only(balanced("haproxy", {"router_id": number}))
    assert found == f"virtual_address__router_id {number} is outside 1 to 255. Mend it."


def test_an_external_balancer_that_is_an_api_server() -> None:
    change = {"endpoint": "192.168.60.12:6443", "virtual_address": ""}
    found = balanced("external", change, load_balancer=[])
    assert "cluster_api_endpoint 192.168.60.12:6443 is the address of cp2 alone, which is no balancer." in found[""][0]


def test_an_address_that_nobody_holds() -> None:
    found = only(balanced("external", {"endpoint": "203.0.113.5:443"}, load_balancer=[]))
    assert (
        f"virtual_address__address {VIRTUAL} is set, and load_balancer__kind external has no hosts to hold it" in found
    )
