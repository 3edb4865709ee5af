"""Labels and taints: ours are kept and taken back, everyone else's are left alone."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.modules.cluster_nodes import ANNOTATION, merge, not_ready

ROLE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}


def node(name: str = "cp1", ready: str = "True", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "resourceVersion": "7",
            "labels": more.get("labels", {"kubernetes.io/hostname": name}),
            "annotations": more.get("annotations", {}),
        },
        "spec": {"taints": more["taints"]} if "taints" in more else {},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "container runtime is down"}]},
    }


def kept(labels: list[str] = (), taints: list[tuple[str, str]] = ()) -> dict[str, str]:
    return {ANNOTATION: json.dumps({"labels": sorted(labels), "taints": sorted(map(list, taints))}, sort_keys=True)}


def apply(present: dict[str, Any], wish: dict[str, Any]) -> dict[str, Any]:
    """The node once the patch is in."""
    patch = merge(present, wish) or {}
    labels = {**present["metadata"]["labels"], **patch.get("metadata", {}).get("labels", {})}
    annotations = {**present["metadata"]["annotations"], **patch.get("metadata", {}).get("annotations", {})}
    return node(
        labels={key: value for key, value in labels.items() if value is not None},
        annotations=annotations,
        taints=patch.get("spec", {}).get("taints", present["spec"].get("taints") or []),
    )


# ---- merging ----


def test_nothing_wished_and_nothing_ours_is_no_change() -> None:
    assert merge(node(), {"labels": {}, "taints": []}) is None
    assert merge(node(taints=[UNREACHABLE]), {"labels": {}, "taints": []}) is None


def test_a_labels_value_is_text_as_kubernetes_writes_it() -> None:
    patch = merge(node(), {"labels": {"gpu": True, "rack": 7, "none": None}, "taints": []})
    assert patch
    assert {key: patch["metadata"]["labels"].get(key) for key in ("gpu", "rack", "none")} == {
        "gpu": "true",
        "rack": "7",
        "none": None,
    }


def test_labels_and_taints_are_set_and_then_stay() -> None:
    wish = {"labels": {"zone": "a", "rack": 4}, "taints": [ROLE]}
    patch = merge(node(taints=[UNREACHABLE]), wish)
    assert patch["metadata"]["labels"] == {"zone": "a", "rack": "4"}
    assert patch["spec"]["taints"] == [UNREACHABLE, ROLE]
    after = apply(node(taints=[UNREACHABLE]), wish)
    assert after["metadata"]["labels"]["kubernetes.io/hostname"] == "cp1"
    assert merge(after, wish) is None


def test_what_the_kubelet_registered_already_only_gets_its_note() -> None:
    present = node(labels={"zone": "a"}, taints=[ROLE])
    patch = merge(present, {"labels": {"zone": "a"}, "taints": [ROLE]})
    assert set(patch) == {"metadata"}
    assert set(patch["metadata"]) == {"annotations"}


def test_what_we_set_and_no_longer_wish_goes_and_others_stay() -> None:
    present = node(
        labels={"zone": "a", "theirs": "x"},
        taints=[UNREACHABLE, ROLE, {"key": "theirs", "effect": "NoSchedule"}],
        annotations=kept(["zone"], [(ROLE["key"], ROLE["effect"])]),
    )
    after = apply(present, {"labels": {}, "taints": []})
    assert after["metadata"]["labels"] == {"theirs": "x"}
    assert after["spec"]["taints"] == [UNREACHABLE, {"key": "theirs", "effect": "NoSchedule"}]
    assert merge(after, {"labels": {}, "taints": []}) is None


def test_a_label_that_went_already_is_not_taken_away_again() -> None:
    patch = merge(node(annotations=kept(["zone"])), {"labels": {}, "taints": []})
    assert "labels" not in patch["metadata"]


def test_a_value_that_someone_changed_is_set_right() -> None:
    wish = {"labels": {"zone": "a"}, "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}
    present = apply(node(), wish)
    present["metadata"]["labels"]["zone"] = "b"
    present["spec"]["taints"][0] = {"key": "gpu", "value": "no", "effect": "NoSchedule"}
    patch = merge(present, wish)
    assert patch["metadata"]["labels"] == {"zone": "a"}
    assert patch["spec"]["taints"] == wish["taints"]


def test_the_same_key_with_another_effect_is_another_taint() -> None:
    theirs = {"key": "gpu", "effect": "NoExecute"}
    patch = merge(node(taints=[theirs]), {"labels": {}, "taints": [{"key": "gpu", "effect": "NoSchedule"}]})
    assert patch["spec"]["taints"] == [theirs, {"key": "gpu", "effect": "NoSchedule"}]


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_value_is_no_value(empty: str | None) -> None:
    wish = {"labels": {}, "taints": [dict(ROLE, value=empty)]}
    assert "spec" not in merge(node(taints=[ROLE]), wish)


def test_a_host_that_is_back_gets_pods_again() -> None:
    """It was given up, and the run that did it never took its node away. Somebody else's taint of that key is theirs."""
    given_up = {"key": "node.kubernetes.io/out-of-service", "value": "hardway.kubernetes", "effect": "NoExecute"}
    theirs = {**given_up, "value": "nodeshutdown"}
    wish = {"labels": {}, "taints": []}
    patch = merge(node(taints=[UNREACHABLE, {**given_up, "timeAdded": "2026-01-01T00:00:00Z"}]), wish)
    assert patch == {"spec": {"taints": [UNREACHABLE]}}
    assert merge(node(ready="Unknown", taints=[given_up]), wish) is None
    assert merge(node(taints=[theirs]), wish) is None


def test_the_order_of_taints_is_no_difference() -> None:
    one, two = {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule"}
    present = apply(node(), {"labels": {}, "taints": [one, two]})
    assert merge(present, {"labels": {}, "taints": [two, one]}) is None


# ---- readiness ----


def test_why_a_node_is_not_ready() -> None:
    assert not_ready(node()) is None
    assert not_ready(None) == "has not registered itself"
    assert not_ready(node(ready="False")) == "container runtime is down"
    assert not_ready({"metadata": {}, "status": {}}) == "has not said yet whether it is Ready"


# ---- the module ----


def run(
    host: SimpleNamespace, api: Any, nodes: list[dict[str, Any]], check: bool = False, **more: Any
) -> dict[str, Any]:
    return host.run_module("cluster_nodes", {**api.params, "nodes": nodes, "ready_within": 1, **more}, check)


def test_nodes_are_patched_once(host: SimpleNamespace, api: Any) -> None:
    for name in ("cp1", "w1"):
        api.objects[f"/api/v1/nodes/{name}"] = node(name)
    wishes = [{"name": "cp1", "labels": {"zone": "a"}, "taints": [ROLE]}, {"name": "w1"}]
    result = run(host, api, wishes)
    assert (result["changed"], result["nodes"]) == (True, ["cp1"])
    assert api.objects["/api/v1/nodes/cp1"]["spec"]["taints"] == [ROLE]
    assert api.patches[0][1]["metadata"]["resourceVersion"] == "7"
    again = run(host, api, wishes)
    assert (again["changed"], again["nodes"], again["diff"]) == (False, [], [])
    assert len(api.writes()) == 1


def test_a_node_that_changed_meanwhile_is_read_anew(host: SimpleNamespace, api: Any) -> None:
    api.objects["/api/v1/nodes/cp1"] = node()
    api.conflicts = 1
    assert run(host, api, [{"name": "cp1", "labels": {"zone": "a"}}])["nodes"] == ["cp1"]
    assert api.objects["/api/v1/nodes/cp1"]["metadata"]["labels"]["zone"] == "a"


def test_a_node_that_does_not_become_ready_is_told_with_its_reason(host: SimpleNamespace, api: Any) -> None:
    api.objects["/api/v1/nodes/cp1"] = node(ready="False")
    result = run(host, api, [{"name": "cp1", "labels": {"zone": "a"}}, {"name": "w1"}])
    assert result["failed"]
    assert "cp1: container runtime is down" in result["msg"]
    assert "w1: has not registered itself" in result["msg"]
    assert result["nodes"] == ["cp1"]


def test_waiting_may_be_left_out(host: SimpleNamespace, api: Any) -> None:
    api.objects["/api/v1/nodes/cp1"] = node(ready="False")
    result = run(host, api, [{"name": "cp1"}, {"name": "w1"}], ready_within=0)
    assert not result.get("failed")


def test_check_mode_waits_for_none_and_patches_none(host: SimpleNamespace, api: Any) -> None:
    api.objects["/api/v1/nodes/cp1"] = node(ready="False")
    result = run(host, api, [{"name": "cp1", "labels": {"zone": "a"}}, {"name": "w1"}], check=True, ready_within=600)
    assert (result["changed"], result["nodes"]) == (True, ["cp1"])
    assert "zone" in result["diff"][0]["after"]
    assert api.writes() == []


DNS = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns", "namespace": "kube-system"}}
DNS_PATH = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"


def dns(available: str) -> dict[str, Any]:
    """Cluster DNS as the API gives it."""
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 0}
    conditions = [{"type": "Available", "status": available}]
    metadata = {**DNS["metadata"], "generation": 1}
    return {**DNS, "metadata": metadata, "spec": {"replicas": 2}, "status": {**status, "conditions": conditions}}


def test_what_the_nodes_bring_up_is_awaited(host: SimpleNamespace, api: Any) -> None:
    api.objects["/api/v1/nodes/cp1"] = node()
    api.objects[DNS_PATH] = dns("False")
    answer, looks = api.answer, []

    def up_at_the_third_look(method: str, path: str, *more: Any) -> tuple[int, Any]:
        if path == DNS_PATH:
            looks.append(path)
            api.objects[path] = dns("True" if len(looks) > 2 else "False")
        return answer(method, path, *more)

    api.answer = up_at_the_third_look
    result = run(host, api, [{"name": "cp1"}], workloads=[DNS], available_within=30)
    assert not result.get("failed")
    assert len(looks) == 3


def test_what_the_nodes_do_not_bring_up_is_told_after_the_labels_are_kept(host: SimpleNamespace, api: Any) -> None:
    api.objects["/api/v1/nodes/cp1"] = node()
    api.objects[DNS_PATH] = dns("False")
    result = run(host, api, [{"name": "cp1", "labels": {"zone": "a"}}], workloads=[DNS], available_within=1)
    assert result["failed"]
    assert "not available after 1 s: coredns: 0 of 2 available. Look at: kubectl describe" in result["msg"]
    assert (result["changed"], result["nodes"]) == (True, ["cp1"])
    assert api.objects["/api/v1/nodes/cp1"]["metadata"]["labels"]["zone"] == "a"


@pytest.mark.parametrize(("ready", "check", "within"), [("True", False, 0), ("True", True, 1), ("False", False, 1)])
def test_workloads_are_not_asked_for_where_there_is_no_waiting_for_them(
    host: SimpleNamespace, api: Any, ready: str, check: bool, within: int
) -> None:
    api.objects["/api/v1/nodes/cp1"] = node(ready=ready)
    result = run(host, api, [{"name": "cp1"}], check, workloads=[DNS], available_within=within)
    assert "coredns" not in result.get("msg", "")
    assert not [line for line in api.server.asked if "deployments" in line]


def test_an_api_that_is_away_is_told(host: SimpleNamespace, api: Any) -> None:
    api.server.stop()
    result = run(host, api, [{"name": "cp1"}])
    assert result["failed"]
    assert "no API server answered" in result["msg"]
    assert "PRIVATE" not in str(result)


def test_check_mode_where_nobody_listens_yet_tells_of_what_is_to_come(host: SimpleNamespace, api: Any) -> None:
    """Such as after a reset, whose authorities stay on the controller."""
    api.server.stop()
    result = run(host, api, [{"name": "cp1"}], check=True)
    assert not result.get("failed")
    assert (result["changed"], result["nodes"]) == (True, [])
    assert "there is no cluster yet: no API server answered" in result["msg"]


def test_check_mode_fails_where_somebody_listens(host: SimpleNamespace, api: Any) -> None:
    api.refuse["GET /api/v1/nodes"] = (500, "etcdserver: no leader")
    assert "no leader" in run(host, api, [{"name": "cp1"}], check=True)["msg"]
    assert run(host, api, [{"name": "cp1"}], check=True)["failed"]
