"""Objects of the API: applied, compared by what matters, awaited, removed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.modules import api_objects

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "coredns", "namespace": "kube-system"},
    "data": {"Corefile": "a"},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "token"},
    "data": {"token": "c2VjcmV0"},
    "stringData": {"more": "hidden"},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coredns", "namespace": "kube-system"},
    "spec": {"replicas": 2},
}


# ---- helpers ----


def test_essence_is_what_a_person_wished() -> None:
    found = {
        "kind": "ConfigMap",
        "metadata": {
            "name": "a",
            "labels": {"x": "y"},
            "uid": "1",
            "resourceVersion": "2",
            "generation": 3,
            "managedFields": [],
            "creationTimestamp": "now",
        },
        "status": {"a": 1},
        "data": {"k": "v"},
    }
    assert api_objects.essence(found) == {
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "data": {"k": "v"},
    }
    assert found["status"] == {"a": 1}
    assert found["metadata"]["uid"] == "1"
    assert api_objects.essence(None) == {}


def test_a_diff_shows_no_secret() -> None:
    assert "Corefile" in api_objects.readable(CONFIG)
    text = api_objects.readable(SECRET)
    assert "token" in text
    assert "c2VjcmV0" not in text
    assert "hidden" not in text
    assert api_objects.readable({}) == ""


# ---- the module ----


def run(host: SimpleNamespace, api: Any, *objects: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    return host.run_module("api_objects", {**api.params, "objects": list(objects), **more}, check)


def test_objects_are_applied_once(host: SimpleNamespace, api: Any) -> None:
    result = run(host, api, CONFIG, SECRET)
    assert result["applied"] == ["ConfigMap coredns", "Secret token"]
    path = "/api/v1/namespaces/kube-system/configmaps/coredns"
    assert api.objects[path]["data"] == {"Corefile": "a"}
    assert "c2VjcmV0" not in str(result["diff"])
    again = run(host, api, CONFIG, SECRET)
    assert (again["changed"], again["applied"], again["diff"]) == (False, [], [])
    result = run(host, api, dict(CONFIG, data={"Corefile": "b"}), SECRET)
    assert result["applied"] == ["ConfigMap coredns"]
    assert '"a"' in result["diff"][0]["before"]
    assert '"b"' in result["diff"][0]["after"]


def test_check_mode_keeps_nothing(host: SimpleNamespace, api: Any) -> None:
    result = run(host, api, CONFIG, check=True, available=600)
    assert result["applied"] == ["ConfigMap coredns"]
    assert api.objects == {}
    assert api.writes() == []


def test_check_mode_where_nobody_listens_yet(host: SimpleNamespace, api: Any) -> None:
    api.server.stop()
    result = run(host, api, CONFIG, check=True)
    assert not result.get("failed")
    assert (result["changed"], result["applied"]) == (True, [])
    assert "there is no cluster yet" in result["msg"]
    assert run(host, api, CONFIG)["failed"]


def test_absent(host: SimpleNamespace, api: Any) -> None:
    run(host, api, CONFIG)
    assert run(host, api, CONFIG, check=True, state="absent")["changed"]
    assert api.objects
    assert run(host, api, CONFIG, state="absent")["applied"] == ["ConfigMap coredns"]
    assert api.objects == {}
    assert not run(host, api, CONFIG, state="absent")["changed"]


def test_a_refusal_tells_what_was_applied_before(host: SimpleNamespace, api: Any) -> None:
    api.refuse["PATCH /api/v1/namespaces/default/secrets/token"] = (403, "secrets is forbidden")
    result = run(host, api, CONFIG, SECRET)
    assert result["failed"]
    assert "secrets is forbidden" in result["msg"]
    assert result["applied"] == ["ConfigMap coredns"]


def test_a_workload_that_does_not_come_up_is_told(host: SimpleNamespace, api: Any) -> None:
    result = run(host, api, CONFIG, DEPLOYMENT, available=1)
    assert result["failed"]
    assert "coredns: not seen by its controller yet" in result["msg"]
    assert "kubectl describe" in result["msg"]


def test_a_workload_that_is_up_is_not_waited_for(host: SimpleNamespace, api: Any) -> None:
    status = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    status["conditions"] = [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "True"}]
    api.objects["/apis/apps/v1/namespaces/kube-system/deployments/coredns"] = {**DEPLOYMENT, "status": status}
    result = run(host, api, DEPLOYMENT, available=5)
    assert (result["changed"], result.get("failed")) == (False, None)


# ---- kinds that are defined on the way ----

POOLS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "pools.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Pool", "plural": "pools"},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True}, {"name": "v1beta1", "served": False}],
    },
}
POOL = {"apiVersion": "example.com/v1", "kind": "Pool", "metadata": {"name": "mine"}, "spec": {"cidr": "10.244.0.0/16"}}
LISTING = "/apis/example.com/v1"


@pytest.fixture
def defining(api: Any) -> Any:
    """An API that serves a kind some looks after it was defined, and tells so a moment later."""
    answer, looks = api.answer, []

    def late(method: str, path: str, *more: Any) -> tuple[int, Any]:
        defined = api.objects.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pools.example.com")
        if defined and method == "GET" and "pools.example.com" in path:
            looks.append(path)
            if len(looks) > 2:
                defined["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        if defined and path == LISTING and len(looks) > 3:
            return 200, {"resources": [{"kind": "Pool", "name": "pools", "namespaced": True}]}
        return answer(method, path, *more)

    api.answer = late
    return api


def test_an_object_of_a_kind_that_is_defined_before_it(host: SimpleNamespace, defining: Any) -> None:
    result = run(host, defining, POOLS, POOL)
    assert result["applied"] == ["CustomResourceDefinition pools.example.com", "Pool mine"], result
    assert defining.objects[LISTING + "/namespaces/default/pools/mine"]["spec"] == {"cidr": "10.244.0.0/16"}
    assert not run(host, defining, POOLS, POOL)["changed"]


def test_check_mode_knows_kinds_that_would_be_defined(host: SimpleNamespace, defining: Any) -> None:
    result = run(host, defining, POOLS, POOL, check=True)
    assert result["applied"] == ["CustomResourceDefinition pools.example.com", "Pool mine"]
    assert defining.writes() == []
    refused = run(host, defining, POOL, check=True)
    assert refused["failed"]


def test_a_kind_that_is_never_served(host: SimpleNamespace, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_objects, "DEFINED_WITHIN", 0)
    result = run(host, api, POOLS, POOL)
    assert result["msg"] == "a CustomResourceDefinition after 0 s: pools.example.com: not established"


def test_what_secrets_hold_comes_apart(host: SimpleNamespace, api: Any) -> None:
    bare = {key: value for key, value in SECRET.items() if key not in ("data", "stringData")}
    result = run(host, api, CONFIG, bare, secrets={"1": {"data": SECRET["data"]}})
    assert result["applied"] == ["ConfigMap coredns", "Secret token"]
    assert api.objects["/api/v1/namespaces/default/secrets/token"]["data"] == {"token": "c2VjcmV0"}
