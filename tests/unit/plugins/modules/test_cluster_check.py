"""Trying the cluster as its users do, against an API server whose pods run at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import kube_api
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import ApiError
from ansible_collections.hardway.kubernetes.plugins.modules import cluster_check

NAMESPACE = "/api/v1/namespaces/hardway-verify"


def node(name: str, ready: str = "True", **pressures: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "message": "no network"}]
    conditions += [{"type": kind, "status": status, "message": "full"} for kind, status in pressures.items()]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def pod(name: str, number: int, ready: str = "True") -> dict[str, Any]:
    status = {"podIP": f"10.244.{number}.2", "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
    if ready != "True":
        status["containerStatuses"] = [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]
    return {"metadata": {"name": f"probe-{name}"}, "spec": {"nodeName": name}, "status": status}


@pytest.fixture
def check(host: SimpleNamespace, api: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run it on three nodes; check.failures[node] are the addresses that its pod does not reach."""

    def run(check_mode: bool = False, **more: Any) -> dict[str, Any]:
        wish = {"nodes": ["cp1", "cp2", "w1"], "image": "agnhost", "within": 1, "rules_within": 0, **more}
        result = host.run_module("cluster_check", {**api.params, **wish}, check_mode)
        assert not result["changed"]
        return result

    run.failures = {}
    run.refused = ""
    run.services = []
    run.service = {"clusterIP": "10.96.7.7"}
    run.scripts = {}
    run.tries = {}

    def execute(_api: Any, _namespace: str, name: str, command: list[str], timeout: int) -> tuple[int, str, str]:
        node_name = name.removeprefix("probe-")
        run.scripts[node_name] = command[-1]
        run.tries[node_name] = run.tries.get(node_name, 0) + 1
        lost = run.failures.get(node_name, [])
        if callable(lost):
            lost = lost(run.tries[node_name])
        if isinstance(lost, Exception):
            raise lost
        out = [part.split("echo ")[1] for part in command[-1].split("; ") if any(word in part for word in lost)]
        return 0, "\n".join([*out, "done"]), ""

    apply = cluster_check.Api.apply

    def applied(self: Any, wish: dict[str, Any], *args: Any) -> Any:
        if wish["kind"] == "Service":
            run.services.append(wish)
            return None, dict(wish, spec=dict(run.service))
        if wish["kind"] == run.refused:
            raise cluster_check.ApiError(403, "HTTP 403: denied by a policy")
        if wish["kind"] == "DaemonSet":
            for number, name in enumerate(run.pods):
                api.objects[f"{NAMESPACE}/pods/probe-{name}"] = run.pods[name]
                api.objects[f"{NAMESPACE}/pods/probe-{name}/log"] = {"log": str(number)}
        return apply(self, wish, *args)

    run.pods = {name: pod(name, number) for number, name in enumerate(("cp1", "cp2", "w1"))}
    monkeypatch.setattr(cluster_check.Api, "execute", execute)
    monkeypatch.setattr(cluster_check.Api, "apply", applied)
    api.objects["/readyz"] = {}
    for name in ("cp1", "cp2", "w1"):
        api.objects[f"/api/v1/nodes/{name}"] = node(name)
    return run


def test_a_whole_cluster(check: Callable[..., Any], api: Any) -> None:
    result = check()
    assert result["findings"] == []
    assert result["facts"] == [
        "1 of 1 API servers ready",
        "3 of 3 nodes Ready",
        "pods run on 3 of 3 Ready nodes",
        "DNS, Services, pods on other hosts, logs and exec work from every node",
    ]
    assert NAMESPACE not in api.objects
    assert "kubernetes.default.svc.cluster.local:443" in check.scripts["w1"]
    assert "10.96.7.7:80" in check.scripts["w1"]
    assert "10.244.0.2:8080" in check.scripts["w1"]
    assert "10.244.2.2:8080" not in check.scripts["w1"]


def test_what_a_pod_does_not_reach_is_told(check: Callable[..., Any], api: Any) -> None:
    check.failures = {"w1": ["kubernetes.default", "10.244.0.2"], "cp1": ["10.96.7.7"]}
    assert check()["findings"] == [
        "from a pod on node cp1 a Service does not answer (10.96.7.7:80)",
        "from a pod on node w1 DNS does not resolve a Service of another namespace (kubernetes.default.svc.cluster.local:443)",
        "from a pod on node w1 a pod on cp1 is not reached (10.244.0.2:8080)",
    ]
    assert NAMESPACE not in api.objects


def test_exec_and_logs_that_do_not_work(check: Callable[..., Any], api: Any) -> None:
    check.failures = {"cp1": ApiError(500, "the kubelet refused"), "cp2": OSError("timed out")}
    api.refuse[f"GET {NAMESPACE}/pods/probe-w1/log"] = (500, "no logs")
    found = check()["findings"]
    assert len(found) == 3
    assert "exec into the pod on node cp1 does not work: the kubelet refused" in found
    assert "exec into the pod on node cp2 does not work: timed out" in found
    assert any("logs of the pod on node w1" in sentence and "no logs" in sentence for sentence in found)


def test_nodes_that_lack_are_not_ready_or_are_under_pressure(check: Callable[..., Any], api: Any) -> None:
    del api.objects["/api/v1/nodes/cp2"], check.pods["cp2"], check.pods["w1"]
    api.objects["/api/v1/nodes/w1"] = node("w1", "False")
    api.objects["/api/v1/nodes/cp1"] = node("cp1", DiskPressure="True", MemoryPressure="False")
    result = check()
    assert result["findings"] == [
        "node cp1 is under DiskPressure: full",
        "node cp2 is not registered. Look at: journalctl -u kubelet there.",
        "node w1 is not Ready: no network",
    ]
    assert "1 of 3 nodes Ready" in result["facts"]


def test_a_pod_that_does_not_run_is_told_with_the_reason(check: Callable[..., Any], api: Any) -> None:
    check.pods["w1"] = pod("w1", 2, "False")
    del check.pods["cp2"]
    found = check()["findings"]
    assert "no pod runs on node w1 after 1 s: ErrImagePull no such image" in found
    assert "no pod runs on node cp2 after 1 s: none was made there" in found
    assert NAMESPACE not in api.objects


def test_what_a_killed_run_left_goes_first(check: Callable[..., Any], api: Any) -> None:
    api.objects[NAMESPACE] = {"metadata": {"name": "hardway-verify", "labels": {cluster_check.OURS: "true"}}}
    assert check()["findings"] == []
    assert api.writes()[0] == f"DELETE {NAMESPACE}"


def test_somebody_elses_namespace_stays(check: Callable[..., Any], api: Any) -> None:
    api.objects[NAMESPACE] = {"metadata": {"name": "hardway-verify", "labels": {"team": "a"}}}
    assert check()["findings"] == [
        "the namespace hardway-verify is there, and no verification made it, so no pods were tried: what is in it would be lost. Set "
        "verify__namespace to a name that nobody uses, or delete it yourself."
    ]
    assert api.writes() == []


def test_a_policy_that_refuses_the_pods_leaves_no_namespace_behind(check: Callable[..., Any], api: Any) -> None:
    check.refused = "DaemonSet"
    assert check()["findings"] == ["the API refused the check: HTTP 403: denied by a policy"]
    assert api.writes()[-1] == f"DELETE {NAMESPACE}"
    assert NAMESPACE not in api.objects


def test_a_service_whose_rules_come_a_little_later(check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """EndpointSlices and the nodes' rules follow the pods; but only those that fail are tried again, and not for ever."""
    monkeypatch.setattr(kube_api, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: None))
    check.failures = {"cp1": lambda tries: ["10.96.7.7"] if tries < 4 else []}
    assert check(rules_within=30)["findings"] == []
    assert check.tries == {"cp1": 4, "cp2": 1, "w1": 1}


def test_a_server_that_is_away_is_a_finding_and_the_rest_is_tried(
    check: Callable[..., Any], api: Any, closed_port: int
) -> None:
    dead = f"https://127.0.0.1:{closed_port}"
    result = check(servers=[dead, api.server.url])
    (found,) = result["findings"]
    assert dead in found
    assert "1 of 2 API servers ready" in result["facts"]
    assert "pods run on 3 of 3 Ready nodes" in result["facts"]


def test_no_server_at_all(check: Callable[..., Any], closed_port: int) -> None:
    found = check(servers=[f"https://127.0.0.1:{closed_port}"])["findings"]
    assert len(found) == 2
    assert "the API refused the check: no API server answered" in found[1]


def test_check_mode_starts_no_pod(check: Callable[..., Any], api: Any) -> None:
    assert check(True)["findings"] == []
    assert api.writes() == []


@pytest.mark.parametrize("peers", [0, 1, 2, 5])
def test_each_pod_connects_to_its_next_neighbours(check: Callable[..., Any], peers: int) -> None:
    check(peers=peers)
    reached = [script.count(":8080") for script in check.scripts.values()]
    assert reached == [min(peers, 2)] * 3


# ---- a balancer that is not ours ----


def counted(api: Any, *counts: int) -> None:
    """The server's metrics: how often it was asked for /readyz, each time they are looked at; the last stays."""
    left = list(counts)

    def respond(handler: Any) -> None:
        if handler.path != "/metrics":
            api.respond(handler)
            return
        count = left.pop(0) if len(left) > 1 else left[0]
        ours = "".join(
            f'apiserver_request_total{{code="{code}",subresource="/readyz",verb="GET"}} {number}\n'
            for code, number in (("200", count), ("500", 2))
        )
        handler.answer(200, '# HELP x\napiserver_request_total{subresource="/livez"} 9e+06\n' + ours)

    api.server.respond = respond


def test_a_balancer_that_asks_for_readiness(check: Callable[..., Any], api: Any) -> None:
    counted(api, 10, 11, 12)
    result = check(balancer="203.0.113.5:6443", balancer_within=5)
    assert result["findings"] == []
    assert result["ready_servers"] == [api.server.url]
    assert result["facts"][-1] == (
        "every API server is asked for /readyz, by the balancer at 203.0.113.5:6443 or another one"
    )


def test_a_balancer_that_does_not_ask_for_readiness(check: Callable[..., Any], api: Any) -> None:
    counted(api, 10)
    (found,) = check(balancer="203.0.113.5:6443", balancer_within=0)["findings"]
    assert found.startswith(
        f"the balancer at 203.0.113.5:6443 has not asked the API server {api.server.url} for /readyz"
    )
    assert "health check HTTPS GET /readyz that expects 200" in found


def test_a_balancer_that_asks_too_seldom(check: Callable[..., Any], api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It notices a server that ends once that is gone; one that says so for longer serves it."""
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda pause: now.__setitem__(0, now[0] + pause))
    for module in (cluster_check, kube_api):
        monkeypatch.setattr(module, "time", clock)
    every_ten = [number // 10 for number in range(40)]
    counted(api, *every_ten)
    (found,) = check(balancer="203.0.113.5:6443", balancer_within=30)["findings"]
    assert "for /readyz twice within 5 s, for which a server that ends says so first" in found
    counted(api, *every_ten)
    assert check(balancer="203.0.113.5:6443", balancer_within=30, shutdown_delay="20s")["findings"] == []


@pytest.mark.parametrize(("written", "seconds"), [("5s", 5), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("0", 0)])
def test_durations(written: str, seconds: float) -> None:
    assert cluster_check.seconds(written) == seconds


def test_metrics_are_not_read_without_such_a_balancer(check: Callable[..., Any], api: Any) -> None:
    check()
    assert "GET /metrics" not in api.server.asked


# ---- both families ----


def dual_pod(name: str, number: int) -> dict[str, Any]:
    found = pod(name, number)
    found["status"]["podIPs"] = [{"ip": f"10.244.{number}.2"}, {"ip": f"fd00:10:244:{number}::2"}]
    return found


@pytest.fixture
def dual(check: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """The same with addresses of both families."""
    check.pods = {name: dual_pod(name, number) for number, name in enumerate(("cp1", "cp2", "w1"))}
    check.service = {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7", "fd00:10:96::77"]}
    return lambda **more: check(families=["IPv4", "IPv6"], **more)


def test_both_addresses_of_pods_and_services_are_tried(dual: Callable[..., Any], check: Any) -> None:
    result = dual()
    assert result["findings"] == []
    assert result["facts"][-1] == (
        "DNS, Services, pods on other hosts (IPv4 and IPv6), logs and exec work from every node"
    )
    script = check.scripts["w1"]
    for address in ("10.96.7.7:80", "[fd00:10:96::77]:80", "10.244.0.2:8080", "[fd00:10:244:0::2]:8080"):
        assert f" {address} " in script
    assert "probe-second.hardway-verify.svc.cluster.local:80" in script
    second, first = check.services
    assert (second["spec"]["ipFamilies"], second["spec"]["ipFamilyPolicy"]) == (["IPv6"], "SingleStack")
    assert first["spec"]["ipFamilyPolicy"] == "PreferDualStack"


def test_a_second_address_that_is_not_reached(dual: Callable[..., Any], check: Any) -> None:
    check.failures = {"w1": ["[fd00:10:244:1::2]", "probe-second"]}
    assert dual()["findings"] == [
        "from a pod on node w1 a Service with an IPv6 address alone does not answer by its name "
        "(probe-second.hardway-verify.svc.cluster.local:80)",
        "from a pod on node w1 a pod on cp2 is not reached ([fd00:10:244:1::2]:8080)",
    ]


def test_a_pod_and_a_service_without_a_second_address(dual: Callable[..., Any], check: Any) -> None:
    check.pods["cp1"] = pod("cp1", 0)
    check.service = {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}
    found = dual()["findings"]
    assert found[0].startswith("a Service gets no IPv6 address (only 10.96.7.7). See cluster_service_cidr")
    assert found[1].startswith("the pod on node cp1 has no IPv6 address (only 10.244.0.2).")
    assert len(found) == 2


def test_one_family_makes_one_service(check: Callable[..., Any]) -> None:
    check()
    assert [service["metadata"]["name"] for service in check.services] == ["probe"]
