"""Pods leave a node: budgets are respected, some stay, a dead node is given up, and the wait has an end."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import kube_api
from ansible_collections.hardway.kubernetes.plugins.modules import node_drain

TAINT = {"key": "node.kubernetes.io/out-of-service", "value": "hardway.kubernetes", "effect": "NoExecute"}
THEIRS = {"key": "theirs", "effect": "NoSchedule"}
NODE = "/api/v1/nodes/w1"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries; some tries make a second."""
    clock = itertools.count(0, 0.4)
    monkeypatch.setattr(node_drain, "NOTICED_WITHIN", 6)
    monkeypatch.setattr(
        kube_api, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: time.sleep(0.001))
    )


class Cluster:
    """The node w1 with pods, and the module that drains it."""

    def __init__(self, host: SimpleNamespace, api: Any) -> None:
        self.host, self.api = host, api
        self.node()

    def node(self, ready: str = "True", name: str = "w1", **spec: Any) -> None:
        self.api.objects[f"/api/v1/nodes/{name}"] = {
            "metadata": {"name": name, "resourceVersion": "7"},
            "spec": spec,
            "status": {"conditions": [{"type": "Ready", "status": ready, "message": "silent"}]},
        }

    def pod(self, name: str, kind: str | None = "ReplicaSet", **more: Any) -> str:
        path = f"/api/v1/namespaces/shop/pods/{name}"
        spec = {"nodeName": more.pop("node", "w1"), **more.pop("spec", {})}
        phase = {"phase": more.pop("phase", "Running")}
        owners = [{"kind": kind, "controller": True}] if kind else []
        metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "ownerReferences": owners, **more}
        self.api.objects[path] = {"metadata": metadata, "spec": spec, "status": phase}
        return path

    def run(self, check: bool = False, dead: bool = False, **more: Any) -> dict[str, Any]:
        nodes = [{"name": "w1", "dead": dead}]
        return self.host.run_module("node_drain", {**self.api.params, "nodes": nodes, "within": 4, **more}, check)

    def spec(self) -> dict[str, Any]:
        return self.api.objects[NODE]["spec"]


@pytest.fixture
def cluster(host: SimpleNamespace, api: Any) -> Cluster:
    return Cluster(host, api)


def test_a_node_is_cordoned_and_its_pods_are_evicted(cluster: Cluster) -> None:
    gone = cluster.pod("web")
    elsewhere = cluster.pod("other", node="w2")
    result = cluster.run()
    assert (result["changed"], result["evicted"]) == (True, ["shop/web"])
    assert cluster.spec()["unschedulable"] is True
    assert gone not in cluster.api.objects
    assert elsewhere in cluster.api.objects
    assert [entry["before_header"] for entry in result["diff"]] == ["node w1", "pod shop/web"]
    again = cluster.run()
    assert (again["changed"], again["evicted"], again["diff"]) == (False, [], [])


def test_who_stays(cluster: Cluster) -> None:
    stay = [
        cluster.pod("agent", "DaemonSet"),
        cluster.pod("static", None, annotations={"kubernetes.io/config.mirror": "x"}),
        cluster.pod("done", "Job", phase="Succeeded"),
        cluster.pod("broken", "Job", phase="Failed"),
    ]
    assert cluster.run()["evicted"] == []
    assert [path for path in stay if path in cluster.api.objects] == stay


def test_a_budget_that_lets_go_in_time_only_delays(cluster: Cluster) -> None:
    gone = cluster.pod("web")
    cluster.api.budgets["web"] = (3, "The disruption budget web needs 2 healthy pods and has 2 currently")
    assert cluster.run()["evicted"] == ["shop/web"]
    assert gone not in cluster.api.objects
    assert len([line for line in cluster.api.writes() if line.endswith("/eviction")]) == 4


def test_a_budget_that_does_not_is_named_with_its_pod(cluster: Cluster) -> None:
    kept = cluster.pod("web")
    cluster.api.budgets["web"] = (10**6, "The disruption budget web needs 2 healthy pods and has 2 currently")
    result = cluster.run()
    assert (result["failed"], result["changed"]) == (True, True)
    words = (
        "not everything has left w1 within 4 s: shop/web on w1: is kept: The disruption budget web needs 2 healthy pods"
    )
    assert words in result["msg"]
    for word in ("kubelet__drain_within", "kubectl uncordon", "nothing else was changed"):
        assert word in result["msg"]
    assert kept in cluster.api.objects
    assert cluster.spec()["unschedulable"] is True


def test_pods_that_take_too_long_to_end(cluster: Cluster) -> None:
    cluster.pod("slow", deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=600)
    result = cluster.run()
    assert "shop/slow on w1: is ending, and has 600 s for it" in result["msg"]
    assert cluster.api.writes() == [f"PATCH {NODE}"]


@pytest.mark.parametrize("status", [403, 500, 503])
def test_what_may_pass_is_tried_again(cluster: Cluster, status: int) -> None:
    path = cluster.pod("web")
    cluster.api.refuse[f"POST {path}/eviction"] = (status, "This pod has more than one PodDisruptionBudget")
    result = cluster.run()
    assert "shop/web on w1: is kept: POST" in result["msg"]
    assert "more than one PodDisruptionBudget" in result["msg"]


def test_what_does_not_pass_ends_at_once(cluster: Cluster) -> None:
    path = cluster.pod("web")
    cluster.api.refuse[f"POST {path}/eviction"] = (401, "Unauthorized")
    result = cluster.run()
    assert result["failed"]
    assert "Unauthorized" in result["msg"]
    assert cluster.api.writes().count(f"POST {path}/eviction") == 1


def test_volumes_are_detached_before_the_node_goes(cluster: Cluster) -> None:
    source = {"persistentVolumeName": "pv-7"}
    path = "/apis/storage.k8s.io/v1/volumeattachments/csi-1"
    cluster.api.objects[path] = {"metadata": {"name": "csi-1"}, "spec": {"nodeName": "w1", "source": source}}
    other = "/apis/storage.k8s.io/v1/volumeattachments/csi-2"
    cluster.api.objects[other] = {"metadata": {"name": "csi-2"}, "spec": {"nodeName": "w2", "source": source}}
    assert "volume pv-7 of w1: is still attached" in cluster.run()["msg"]
    claims = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    cluster.pod("agent", "DaemonSet", spec={"volumes": claims})
    assert not cluster.run().get("failed")
    del cluster.api.objects[path]
    assert not cluster.run().get("failed")


def test_a_dead_node_is_given_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.node("Unknown", taints=[THEIRS])
    gone = cluster.pod("web", deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=30)
    cluster.pod("tolerant", spec={"tolerations": [{"operator": "Exists"}]})
    real = cluster.api.answer

    def collects(method: str, path: str, *more: Any) -> tuple[int, Any]:
        """kube-controller-manager deletes what is on a node with the taint."""
        if method == "GET" and path == "/api/v1/pods" and TAINT in (cluster.spec().get("taints") or []):
            cluster.api.objects.pop(gone, None)
        return real(method, path, *more)

    monkeypatch.setattr(cluster.api, "answer", collects)
    result = cluster.run(dead=True)
    assert (result["changed"], result["evicted"]) == (True, [])
    assert cluster.spec() == {"taints": [THEIRS, TAINT]}
    assert not [line for line in cluster.api.writes() if "eviction" in line]
    assert cluster.run(dead=True)["changed"] is False


def test_a_dead_nodes_pods_that_nobody_deletes(cluster: Cluster) -> None:
    cluster.node("Unknown")
    cluster.pod("web")
    said = cluster.run(dead=True)["msg"]
    assert "shop/web on w1: has not been deleted by kube-controller-manager yet" in said
    assert "kubectl taint node NAME node.kubernetes.io/out-of-service-" in said
    assert "uncordon" not in said
    assert "nothing else was changed" not in said


def test_a_node_that_changed_meanwhile_is_read_anew(cluster: Cluster) -> None:
    cluster.api.conflicts = 1
    assert len(cluster.run()["diff"]) == 1
    assert cluster.spec()["unschedulable"] is True


def test_a_node_that_is_gone_is_passed_over(cluster: Cluster) -> None:
    del cluster.api.objects[NODE]
    assert cluster.run()["changed"] is False
    assert cluster.run(state="inspected")["nodes"] == {}


def test_check_mode_names_the_pods_and_touches_nothing(cluster: Cluster) -> None:
    cluster.pod("web")
    cluster.pod("agent", "DaemonSet")
    result = cluster.run(check=True)
    assert (result["changed"], result["evicted"]) == (True, ["shop/web"])
    assert cluster.api.writes() == []


@pytest.mark.parametrize("check", [False, True])
def test_a_look(cluster: Cluster, check: bool) -> None:
    cluster.pod("web")
    cluster.pod("alone", None)
    cluster.pod("agent", "DaemonSet")
    result = cluster.run(check=check, state="inspected")
    told = {"ready": True, "why": None, "pods": ["shop/alone", "shop/web"], "bare": ["shop/alone"]}
    assert (result["changed"], result["nodes"]) == (False, {"w1": told})
    assert cluster.api.writes() == []


def test_a_look_at_a_dead_node_waits_until_the_api_has_noticed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    real = cluster.api.answer

    def notices(method: str, path: str, *more: Any) -> tuple[int, Any]:
        if path == NODE and next(looks) == 3:
            cluster.node("Unknown")
        return real(method, path, *more)

    monkeypatch.setattr(cluster.api, "answer", notices)
    told = cluster.run(state="inspected", dead=True)["nodes"]["w1"]
    assert (told["ready"], told["why"]) == (False, "silent")


def test_a_dead_node_that_stays_ready_is_told_so(cluster: Cluster) -> None:
    assert cluster.run(state="inspected", dead=True)["nodes"]["w1"]["ready"] is True


def test_an_api_that_does_not_answer_fails_in_time(cluster: Cluster, closed_port: int) -> None:
    result = cluster.run(servers=[f"https://127.0.0.1:{closed_port}"])
    assert result["failed"]
    assert "no API server answered" in result["msg"]


def test_a_node_without_conditions_is_not_ready() -> None:
    assert node_drain.why_not_ready({"metadata": {}}) == "it has never said that it is"
