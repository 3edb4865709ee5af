"""The shapes of the sample inventories, and what is told where one is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hardway.kubernetes.plugins.filter.shape_findings import FilterModule

PARTS = ("etcd", "kube_apiserver", "kube_controller_manager", "kube_scheduler", "kube_node")
NAMES = {part: part for part in (*PARTS, "load_balancer")}
SHAPES = ("single", "stacked", "external_etcd", "fully_manual")
INVENTORIES = Path(__file__).resolve().parents[4] / "inventory"

shape_findings = FilterModule().filters()["shape_findings"]


def sample(name: str) -> dict[str, list[str]]:
    """Groups of a sample inventory."""
    tree = yaml.safe_load((INVENTORIES / name / "hosts.yml").read_text())["all"]["children"]

    def hosts(group: dict[str, Any]) -> list[str]:
        found = list(group.get("hosts") or {})
        for child in group.get("children") or {}:
            found += hosts(tree[child])
        return found

    return {group: hosts(content) for group, content in tree.items()}


def find(shape: str, given: bool = False, **groups: list[str]) -> list[str]:
    return shape_findings(shape, {**sample(shape), **groups}, NAMES, given)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sample_has_its_shape_and_no_other(shape: str) -> None:
    assert [other for other in SHAPES if not shape_findings(other, sample(shape), NAMES)] == [shape]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("other", SHAPES)
def test_another_shape_names_groups_hosts_and_a_way_out(shape: str, other: str) -> None:
    for sentence in shape_findings(other, sample(shape), NAMES):
        assert any(part in sentence for part in PARTS)
        assert "site.yml" in sentence


def test_groups_of_other_names() -> None:
    groups = {f"my_{name}": hosts for name, hosts in sample("stacked").items()}
    assert shape_findings("stacked", groups, {part: f"my_{part}" for part in PARTS}) == []
    (found,) = shape_findings(
        "external_etcd", sample("external_etcd") | {"e": ["cp1", "x", "y"]}, NAMES | {"etcd": "e"}
    )[:1]
    assert found.startswith("the groups e and kube_apiserver both hold cp1.")


@pytest.mark.parametrize(
    ("shape", "groups", "words"),
    [
        ("single", {"kube_apiserver": ["cp1", "cp2"]}, "the group kube_apiserver has 2 hosts (cp1, cp2)"),
        ("single", {"etcd": ["cp2"]}, "the groups etcd and kube_apiserver hold different hosts (cp1, cp2)"),
        (
            "single",
            {"kube_scheduler": ["cp1", "cp2"]},
            "the groups kube_scheduler and kube_apiserver hold different hosts (cp2)",
        ),
        (
            "stacked",
            {"etcd": ["cp1", "cp2", "etcd1"]},
            "hold different hosts (cp3, etcd1). Stacked means etcd beside each API server",
        ),
        (
            "stacked",
            {"kube_controller_manager": ["cp1"]},
            "kube_controller_manager and kube_apiserver hold different hosts (cp2, cp3)",
        ),
        (
            "external_etcd",
            {"etcd": ["etcd1"]},
            "the group etcd has only 1 of the hosts. External etcd needs three or five",
        ),
        ("external_etcd", {"etcd": ["etcd1", "etcd2", "cp3"]}, "the groups etcd and kube_apiserver both hold cp3"),
        ("external_etcd", {"etcd": ["etcd1", "etcd2", "worker1"]}, "the groups etcd and kube_node both hold worker1"),
        (
            "external_etcd",
            {"kube_scheduler": ["cp1"]},
            "kube_scheduler and kube_apiserver hold different hosts (cp2, cp3)",
        ),
        ("fully_manual", {"kube_node": ["worker1", "cp1"]}, "the groups kube_apiserver and kube_node both hold cp1"),
        ("fully_manual", {"etcd": ["cp1", "etcd2", "etcd3"]}, "the groups etcd and kube_apiserver both hold cp1"),
        ("fully_manual", {"kube_scheduler": ["etcd1"]}, "the groups etcd and kube_scheduler both hold etcd1"),
        ("external_etcd", {"load_balancer": ["etcd1"]}, "the groups etcd and load_balancer both hold etcd1"),
        ("fully_manual", {"kube_scheduler": ["worker2"]}, "the groups kube_scheduler and kube_node both hold worker2"),
    ],
)
def test_what_is_mixed_is_named(shape: str, groups: dict[str, list[str]], words: str) -> None:
    found = find(shape, **groups)
    assert any(words in sentence for sentence in found), found


def test_too_few_for_a_stacked_cluster() -> None:
    two = dict.fromkeys(PARTS, ["cp1", "cp2"])
    (found,) = find("stacked", **two)
    assert found.startswith("the group kube_apiserver has only 2 of the hosts. Stacked needs three or more")


def test_the_control_plane_on_three_hosts_is_fully_manual_too() -> None:
    hosts = sample("fully_manual")["kube_apiserver"]
    assert find("fully_manual", kube_controller_manager=hosts, kube_scheduler=hosts) == []


@pytest.mark.parametrize("shape", ["external_etcd", "fully_manual"])
def test_an_etcd_of_someone_else_needs_no_hosts(shape: str) -> None:
    assert find(shape, given=True, etcd=[]) == []


def test_a_single_cluster_with_workers() -> None:
    assert find("single", kube_node=["cp1", "worker1"]) == []
