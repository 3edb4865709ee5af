"""What follows from the inventory: addresses, probes, nodes, archives."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hardway.kubernetes.plugins.filter.addresses import addresses
from ansible_collections.hardway.kubernetes.plugins.filter.image_archives import image_archives
from ansible_collections.hardway.kubernetes.plugins.filter.nth_address import nth_address
from ansible_collections.hardway.kubernetes.plugins.filter.probes import probes
from ansible_collections.hardway.kubernetes.plugins.filter.release_directories import release_directories
from ansible_collections.hardway.kubernetes.plugins.filter.role_variables import role_variables
from ansible_collections.hardway.kubernetes.plugins.filter.wished_nodes import ROLE, wished_nodes

TAINT = {"key": ROLE, "effect": "NoSchedule"}


def test_addresses_in_the_order_of_hosts() -> None:
    hostvars: dict[str, Any] = {
        "a": {"cluster_address": "10.0.0.1", "ansible_host": "1.2.3.4"},
        "b": {"ansible_host": "10.0.0.2"},
        "10.0.0.3": {"cluster_address": ""},
    }
    assert addresses(["b", "10.0.0.3", "a"], hostvars) == ["10.0.0.2", "10.0.0.3", "10.0.0.1"]
    assert addresses([], hostvars) == []


@pytest.mark.parametrize(
    ("network", "position", "address"),
    [
        ("10.96.0.0/16", 10, "10.96.0.10"),
        ("10.96.0.0/16", 1, "10.96.0.1"),
        ("10.96.0.0/16", 256, "10.96.1.0"),
        ("fd00::/108", 10, "fd00::a"),
        ("10.96.0.0/16,fd00::/108", 10, "10.96.0.10"),
    ],
)
def test_nth_address(network: str, position: int, address: str) -> None:
    assert nth_address(network, position) == address


@pytest.mark.parametrize(
    ("network", "position"), [("services", 1), ("10.96.0.0/30", 9), ("", 1), (None, 1), ("10.0.0.0/99", 1)]
)
def test_nth_address_of_no_network_is_told(network: str | None, position: int) -> None:
    with pytest.raises(AnsibleFilterError, match=f"nth_address: {network} has no address {position}"):
        nth_address(network, position)


def test_probes() -> None:
    assert probes(["10.0.0.1", "fd00::1"], "https://{}:6443/readyz", ca="/ca", expect="ok") == [
        {"url": "https://10.0.0.1:6443/readyz", "ca": "/ca", "expect": "ok"},
        {"url": "https://[fd00::1]:6443/readyz", "ca": "/ca", "expect": "ok"},
    ]
    assert probes([], "https://{}") == []
    assert probes(["10.0.0.1", "fd00::1"], tcp="{}:6443") == [{"tcp": "10.0.0.1:6443"}, {"tcp": "[fd00::1]:6443"}]


def test_control_plane_nodes_are_labelled_and_tainted_unless_told_otherwise() -> None:
    hostvars: dict[str, Any] = {
        "cp1": {},
        "cp2": {"kubelet__taints": [], "kubelet__labels": {"zone": "a"}},
        "cp3": {"kubelet__taints": [{"key": "x", "effect": "NoExecute"}], "kubelet__labels": {ROLE: "mine"}},
        "W1": {"kubelet__labels": {"gpu": "yes"}, "kubelet__taints": [{"key": "gpu", "effect": "NoSchedule"}]},
        "w2": {"cluster_node_name": "w2.example.com"},
    }
    assert wished_nodes(["cp1", "cp2", "cp3", "W1", "w2"], hostvars, ["cp1", "cp2", "cp3"]) == [
        {"name": "cp1", "labels": {ROLE: ""}, "taints": [TAINT]},
        {"name": "cp2", "labels": {"zone": "a", ROLE: ""}, "taints": []},
        {"name": "cp3", "labels": {ROLE: "mine"}, "taints": [{"key": "x", "effect": "NoExecute"}]},
        {"name": "w1", "labels": {"gpu": "yes"}, "taints": [{"key": "gpu", "effect": "NoSchedule"}]},
        {"name": "w2.example.com", "labels": {}, "taints": []},
    ]
    assert hostvars["cp2"]["kubelet__labels"] == {"zone": "a"}


def test_image_archives_are_release_files_and_loads() -> None:
    archive = {"name": "pause", "version": 3.1, "url": "https://m/pause.tar", "images": ["registry.k8s.io/pause:3.1"]}
    found = image_archives(
        [archive, dict(archive, name="dns", checksum="f" * 64, checksum_url="https://m/sums")], "/srv"
    )
    assert found["archives"] == [
        {"path": "/srv/images/pause/3.1/image.tar", "images": ["registry.k8s.io/pause:3.1"]},
        {"path": "/srv/images/dns/3.1/image.tar", "images": ["registry.k8s.io/pause:3.1"]},
    ]
    first, second = found["files"]
    assert (first["checksum_url"], first["checksums"]) == ("https://m/pause.tar.sha256", {})
    assert (first["version"], first["directory"], first["file_name"]) == ("3.1", "/srv/images/pause/3.1", "image.tar")
    assert second["checksum_url"] == "https://m/sums"
    assert second["checksums"] == {"amd64": "f" * 64, "arm64": "f" * 64}


def test_the_folders_of_all_versions_once_each() -> None:
    files = [{"directory": f"/opt/hardway/{name}"} for name in ("etcd/3.6.14", "runc/1.4.3", "etcd/3.5.0")]
    assert release_directories(files) == [{"path": "/opt/hardway/etcd"}, {"path": "/opt/hardway/runc"}]
    assert release_directories([]) == []


def test_the_name_of_one_variable_for_each_role() -> None:
    assert role_variables(["kube_apiserver", "etcd"], "component") == [
        "__kube_apiserver__component",
        "__etcd__component",
    ]
    assert role_variables([], "component") == []
