"""Filters for those who use roles alone or name groups otherwise: alone_findings, outside_findings, extra_certificates."""

from __future__ import annotations

import pytest
from ansible_collections.hardway.kubernetes.plugins.filter.alone_findings import FilterModule as AloneFindings
from ansible_collections.hardway.kubernetes.plugins.filter.extra_certificates import FilterModule as ExtraCertificates
from ansible_collections.hardway.kubernetes.plugins.filter.outside_findings import FilterModule as OutsideFindings
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_certificates import CERTIFICATES_SPEC

alone_findings = AloneFindings().filters()["alone_findings"]
extra_certificates = ExtraCertificates().filters()["extra_certificates"]
outside_findings = OutsideFindings().filters()["outside_findings"]


def test_a_play_with_all_hosts() -> None:
    assert outside_findings(["cp1", "w1"], ["w1", "cp1", "other"]) == []
    assert outside_findings([], []) == []


def test_hosts_that_a_play_lacks_are_named_once() -> None:
    (sentence,) = outside_findings(["s2", "s1", "cp1"], ["cp1"])
    assert sentence.startswith("s1, s2: in the cluster's groups, but in none of the playbook's plays.")
    assert "with -e or with vars of import_playbook" in sentence


def test_an_authority_is_a_wish_of_its_own() -> None:
    server = {"path": "/a", "ca": "etcd", "common_name": "a", "usages": ["server"], "sans": ["a"], "owner": "app"}
    client = {"path": "/b", "ca": "kubernetes", "common_name": "b", "usages": ["client"], "sans": None}
    found = extra_certificates([{**server, "authority": "/ca.crt"}, client])
    assert found["authorities"] == [{"ca": "etcd", "path": "/ca.crt"}]
    assert found["certificates"] == [server, {key: value for key, value in client.items() if value is not None}]
    assert extra_certificates([]) == {"certificates": [], "authorities": []}


@pytest.mark.parametrize("kind", ["certificates", "authorities"])
def test_wishes_have_only_what_the_module_knows(kind: str) -> None:
    wish = {"path": "/a", "ca": "etcd", "common_name": "a", "usages": ["client"], "authority": "/ca.crt"}
    wish.update(organizations=["o"], sans=["a"], owner="app")
    (found,) = extra_certificates([wish])[kind]
    assert set(found) <= set(CERTIFICATES_SPEC[kind]["options"])


def test_a_hosts_own_findings_stay_beside_those_of_the_role() -> None:
    view = {"address": "x"}
    found = alone_findings(
        {"s1": {"findings": ["one."], "view": view}},
        "etcd",
        {"etcd": ["s1"]},
        {"etcd": "etcd", "kube_apiserver": "api"},
    )
    assert found["s1"][0] == "one."
    assert "cluster_address 'x' is no IP address" in found["s1"][1]
    assert alone_findings({"s1": {"findings": [], "view": view}}, "containerd", {}, {}) == {}
