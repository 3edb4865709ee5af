"""Filters for networks: routes between nodes, and what users hand over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hardway.kubernetes.plugins.filter.manifests import FilterModule as Manifests
from ansible_collections.hardway.kubernetes.plugins.filter.plugin_lists import FilterModule as PluginLists
from ansible_collections.hardway.kubernetes.plugins.filter.plugin_releases import FilterModule as PluginReleases
from ansible_collections.hardway.kubernetes.plugins.filter.pod_routes import FilterModule as PodRoutes

manifests = Manifests().filters()["manifests"]
plugin_lists = PluginLists().filters()["plugin_lists"]
plugin_releases = PluginReleases().filters()["plugin_releases"]
pod_routes = PodRoutes().filters()["pod_routes"]

HOSTVARS: dict[str, dict[str, Any]] = {
    "a": {
        "ansible_host": "10.0.0.1",
        "cluster_address_v6": "fd00::0:1",
        "cni__pod_cidr": "10.244.1.0/24, fd00:1:0::/64",
    },
    "b": {"ansible_host": "b", "cluster_address": "10.0.0.2", "cni__pod_cidr": "10.244.2.0/24"},
    "c": {"ansible_host": "10.0.0.3"},
}


def test_routes_are_in_the_kernels_form_and_of_one_family() -> None:
    assert pod_routes(["a", "b", "c"], HOSTVARS) == [
        "10.244.1.0/24 10.0.0.1",
        "fd00:1::/64 fd00::1",
        "10.244.2.0/24 10.0.0.2",
    ]
    assert pod_routes([], HOSTVARS) == []


@pytest.mark.parametrize("wrong", [{"cni__pod_cidr": "10.244.1.1/24"}, {"cluster_address_v6": ""}])
def test_a_route_that_is_none_names_the_host(wrong: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="pod_routes: a: "):
        pod_routes(["a"], {"a": {**HOSTVARS["a"], **wrong}})


def test_a_plugin_that_is_a_file_of_its_own() -> None:
    found = plugin_releases([{"name": "mine", "version": "1.2.0", "url": "https://x/mine-{arch}", "checksum": "ab"}])
    (entry,) = found["files"]
    assert entry["checksums"] == {"amd64": "ab", "arm64": "ab"}
    assert (entry["file_name"], entry["members"]) == ("mine", {})
    assert entry["checksum_url"] == "https://x/mine-{arch}.sha256"
    assert found["links"] == {"/opt/cni/bin/mine": "/opt/hardway/cni/mine/1.2.0/mine"}


def test_plugins_of_an_archive_without_a_checksum() -> None:
    release = {
        "name": "more",
        "version": 2,
        "url": "u",
        "checksum_url": "sums",
        "checksum": None,
        "members": {"b/x": "y"},
    }
    found = plugin_releases([release], "/srv")
    assert (found["files"][0]["checksums"], found["files"][0]["checksum_url"]) == ({}, "sums")
    assert found["links"] == {"/opt/cni/bin/y": "/srv/cni/more/2/y"}
    assert plugin_releases([]) == {"files": [], "links": {}}


def test_lists_of_plugins_need_no_restart() -> None:
    found = plugin_lists({"20-b.conf": "{}\n", "10-a.conflist": {"name": "a"}})
    assert [entry["path"] for entry in found] == ["/etc/cni/net.d/10-a.conflist", "/etc/cni/net.d/20-b.conf"]
    assert found[0]["content"] == '{\n  "name": "a"\n}\n'
    assert {(entry["mode"], entry["restart"]) for entry in found} == {("0600", False)}


def test_manifests_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / name).write_text(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n")
    found = manifests([str(tmp_path / name) for name in "ba"])
    assert [entry["metadata"]["name"] for entry in found] == ["b", "a"]
    with pytest.raises(AnsibleFilterError, match="can't be read"):
        manifests([str(tmp_path / "c")])
