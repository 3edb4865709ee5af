"""Who may still ask for the API where it asked before a run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.filter.unturned import unturned

ASKING = {"kubelet": ["kubelet"], "cni": ["flanneld"]}


def seen(todo: list[str], unwanted: list[str] | None = None, done: list[str] | None = None) -> dict[str, Any]:
    variables: dict[str, Any] = {"__cluster__survey": {"todo": todo, "unwanted": unwanted or []}}
    return variables if done is None else {**variables, "__cluster__ran": {"done": done}}


@pytest.mark.parametrize(
    ("variables", "still"),
    [
        (seen([]), False),
        (seen(["host", "containerd"]), False),  # what asks is as wished
        (seen(["kubelet", "cni"], done=["kubelet", "cni"]), False),
        (seen(["kubelet", "cni"], done=["cni"]), True),  # --tags cni
        (seen(["kubelet"]), True),  # a tag left the whole task out
        (seen(["kubelet"]) | {"__cluster__ran": {"skipped": True}}, True),
        (seen([], ["load-balancer"]), False),
        (seen([], ["kubelet"]), True),  # a node no more, and not reset
        ({}, True),  # --limit
    ],
)
def test_a_host_is_turned_once_nothing_that_asks_is_left_to_do(variables: dict[str, Any], still: bool) -> None:
    assert unturned(["worker1"], {"worker1": variables}, ["worker1"], ASKING) == (["worker1"] if still else [])


def test_a_host_that_failed_is_not_turned() -> None:
    hostvars = {"a": seen([]), "b": seen([])}
    assert unturned(["b", "a"], hostvars, ["a"], ASKING) == ["b"]
