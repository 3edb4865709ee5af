"""One host's variables against the roles' real argument specs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def view(host: SimpleNamespace, **variables: Any) -> dict[str, Any]:
    args = {"roles": ["cluster", "etcd", "kubelet"], "view": {"address": "192.168.60.11"}}
    return host.run_action("inventory_view", args, task_vars=variables)


def test_good_variables_have_no_findings(host: SimpleNamespace) -> None:
    result = view(host, cluster_name="example", etcd__quota_mb=4096, etcd__flags={"log-level": "warn"}, foo="bar")
    assert result == {"changed": False, "findings": [], "view": {"address": "192.168.60.11"}}


def test_templates_are_worked_out_first(host: SimpleNamespace) -> None:
    assert view(host, memory=2, etcd__quota_mb="{{ memory * 1024 }}")["findings"] == []


def test_a_wrong_type_names_the_variable(host: SimpleNamespace) -> None:
    (found,) = view(host, etcd__quota_mb="much")["findings"]
    assert "etcd__quota_mb" in found


def test_a_misspelt_variable_gets_its_name(host: SimpleNamespace) -> None:
    (found,) = view(host, etcd__quota_md=1)["findings"]
    assert found == "etcd__quota_md is no variable of any role. Did you mean etcd__quota_mb?"


def test_a_variable_that_can_not_be_worked_out_is_a_finding(host: SimpleNamespace) -> None:
    (found,) = view(host, cluster_name="{{ nowhere }}")["findings"]
    assert found.startswith("cluster_name can't be worked out: ")
    assert "nowhere" in found


def test_every_finding_at_once(host: SimpleNamespace) -> None:
    assert len(view(host, etcd__quota_mb="much", kubelet__lables={}, cluster_name="{{ nowhere }}")["findings"]) == 3


def test_a_network_of_someone_elses_is_checked_on_each_host(host: SimpleNamespace) -> None:
    """The lists of plugins are written there; manifests are read where API servers are."""
    args = {"roles": ["cluster", "cni"], "view": {"api_names": []}}
    variables = {"cni__kind": "none", "cni__conf": {"10-mine": {}}, "cni__manifests": ["/nowhere.yaml"]}
    (found,) = host.run_action("inventory_view", args, task_vars=variables)["findings"]
    assert found.startswith("cni__conf: '10-mine' is no file name that containerd reads")
    args["view"]["api_names"] = ["kubernetes"]
    assert any(
        "/nowhere.yaml" in text for text in host.run_action("inventory_view", args, task_vars=variables)["findings"]
    )
    variables = {"cni__conf": {"10-mine.conflist": {}}}
    args["view"]["api_names"] = []
    (found,) = host.run_action("inventory_view", args, task_vars=variables)["findings"]
    assert "cni__conf is set, and cni__kind flannel brings its own network" in found


def test_an_etcd_of_someone_else_is_checked_where_an_api_server_asks_it(host: SimpleNamespace, pki: Any) -> None:
    certificate, key = pki.client("cluster", [], 30, authority="etcd")
    variables = {
        "kube_apiserver__etcd_endpoints": ["https://etcd.example.com:2379"],
        "kube_apiserver__etcd_ca": pki.read("etcd-ca.crt"),
        "kube_apiserver__etcd_certificate": pki.client("another", [], 30)[0],
        "kube_apiserver__etcd_key": key,
    }
    args = {"roles": ["cluster", "kube_apiserver"], "view": {"api_names": ["kubernetes"]}}
    result = host.run_action("inventory_view", args, task_vars=variables)
    (found,) = result["findings"]
    assert "the key does not belong to the certificate" in found
    assert "PRIVATE" not in str(result)
    variables["kube_apiserver__etcd_certificate"] = certificate
    assert host.run_action("inventory_view", args, task_vars=variables)["findings"] == []
    variables["kube_apiserver__etcd_key"] = ""
    args["view"] = {"api_names": []}
    assert host.run_action("inventory_view", args, task_vars=variables)["findings"] == []
