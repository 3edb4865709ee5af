"""The summary of a verification."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def verdict(host: SimpleNamespace, hosts: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    args = {"cluster_name": "example", "hosts": hosts, "cluster": cluster, "skipped": cluster.pop("skipped", [])}
    return host.run_action("verdict", args)


def told(days: int | None = 300, leader: str | None = None, *findings: str) -> dict[str, Any]:
    return {"findings": list(findings), "certificate_days": days, "etcd_leader": leader}


def test_all_is_well(host: SimpleNamespace) -> None:
    hosts = {"cp1": told(300, "42"), "cp2": told(20, "42"), "w1": told(None)}
    result = verdict(host, hosts, findings=[], facts=["2 of 2 nodes Ready", "pods run"])
    assert not result["failed"]
    assert result["findings"] == {}
    assert result["summary"] == [
        "cluster example: 2 of 2 nodes Ready; pods run",
        "etcd: 2 members, one leader",
        "certificates: the first to end has 20 days left, on cp2",
    ]


def test_findings_fail_and_all_are_shown(host: SimpleNamespace) -> None:
    result = verdict(host, {"cp1": told(300, None, "kubelet is dead")}, findings=["node w1 is not Ready"], facts=["x"])
    assert result["failed"]
    assert result["msg"].splitlines()[-2:] == ["node w1 is not Ready", "cp1: kubelet is dead"]


def test_hosts_that_were_in_no_play_are_a_finding(host: SimpleNamespace) -> None:
    args = {
        "cluster_name": "example",
        "hosts": {"cp1": told()},
        "cluster": {"facts": ["x"]},
        "outside": ["s1: in no play."],
    }
    result = host.run_action("verdict", args)
    assert result["failed"]
    assert result["findings"] == {"": ["s1: in no play."]}


def test_a_host_that_did_not_answer_is_a_finding(host: SimpleNamespace) -> None:
    result = verdict(host, {"cp1": told()}, skipped=["w1"], facts=["x"])
    assert result["failed"]
    assert "did not answer" in result["findings"]["w1"][0]


def test_members_with_different_leaders_are_a_finding(host: SimpleNamespace) -> None:
    result = verdict(host, {"cp1": told(300, "42"), "cp2": told(300, "43")}, facts=["x"])
    assert result["failed"]
    assert "cp1 knows 42, cp2 knows 43" in result["findings"][""][0]
    assert "one leader" not in "\n".join(result["summary"])


def test_a_cluster_that_was_not_asked(host: SimpleNamespace) -> None:
    result = verdict(host, {})
    assert result["summary"] == ["cluster example: not asked"]


def answered(**servers: int) -> dict[str, Any]:
    return {**told(), "endpoint_answers": {"203.0.113.5:6443": servers}}


def test_who_answered_is_added_up_over_all_hosts(host: SimpleNamespace) -> None:
    hosts = {"cp1": answered(cp1=4), "cp2": answered(cp1=1, cp3=2), "w1": told()}
    result = verdict(host, hosts, facts=["x"], ready_servers=["a", "b", "c"])
    assert result["findings"] == {}
    assert result["summary"][1] == "connections to 203.0.113.5:6443 were answered by: cp1 5, cp3 2"


def test_one_server_for_all_connections_is_no_balance(host: SimpleNamespace) -> None:
    hosts = {"cp1": answered(cp1=4), "cp2": answered(cp1=6)}
    result = verdict(host, hosts, facts=["x"], ready_servers=["a", "b"])
    (found,) = result["findings"][""]
    assert found.startswith("all 10 connections to 203.0.113.5:6443 led to cp1, and 2 API servers are ready.")
    assert "docs/load-balancers.md" in found
    assert verdict(host, hosts, facts=["x"], ready_servers=["a"])["findings"] == {}


def test_an_address_that_led_nowhere(host: SimpleNamespace) -> None:
    result = verdict(host, {"cp1": answered()}, facts=["x"], ready_servers=["a", "b"])
    assert result["summary"][1] == "connections to 203.0.113.5:6443 were answered by: none"


def test_rules_of_services_are_summed_up(host: SimpleNamespace) -> None:
    def node(services: int) -> dict[str, Any]:
        return {**told(None), "service_rules": {"mode": "nftables", "services": services, "endpoints": 20}}

    lines = verdict(host, {"cp1": node(13), "w1": node(13), "etcd1": told(None)}, facts=["x"])["summary"]
    assert lines[1:] == ["rules of Services (nftables): 13 ports with 20 endpoints on 2 nodes"]
    lines = verdict(host, {"cp1": node(13), "w1": node(12)}, facts=["x"])["summary"]
    assert lines[1:] == ["rules of Services (nftables): 12 to 13 ports with 20 endpoints on 2 nodes"]


def test_connections_that_lead_to_a_server_of_before(host: SimpleNamespace) -> None:
    stranger = "an API server that the inventory does not name (0123abcd)"
    hosts = {"w1": answered(**{"cp1": 6, stranger: 4}), "w2": answered(**{"cp1": 5, "an API server (45ef)": 5})}
    (found,) = verdict(host, hosts, facts=["x"])["findings"][""]
    assert found == (
        f"4 connections to 203.0.113.5:6443 led to {stranger}, such as one that was taken out and runs again. Take it out of the "
        "balancer's pool, and reset its host; or put it into the inventory."
    )


def test_two_holders_of_the_virtual_address(host: SimpleNamespace) -> None:
    def holding(holds: bool) -> dict[str, Any]:
        return {**told(), "holds_virtual_address": holds}

    one = {"lb1": holding(True), "lb2": holding(False), "cp1": told()}
    assert verdict(host, one, facts=["x"])["findings"] == {}
    (found,) = verdict(host, {**one, "lb2": holding(True)}, facts=["x"])["findings"][""]
    assert found.startswith(
        "lb1, lb2 all hold the virtual address, so they do not hear one another. Let VRRP, IP protocol 112"
    )
