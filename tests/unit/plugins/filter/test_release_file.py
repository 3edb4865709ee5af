"""Where releases are, and that the lab, the roles and the pinned checksums speak of the same versions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.hardway.kubernetes.plugins.filter.release_file import FilterModule
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import upstream

ROOT = Path(__file__).resolve().parents[4]
release_file = FilterModule().filters()["release_file"]


def default(role: str, name: str) -> str:
    return str(yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())[name])


@pytest.mark.parametrize("name", upstream.KUBERNETES)
def test_a_binary_of_kubernetes(name: str) -> None:
    entry = release_file(name, "1.36.3")
    assert entry["url"] == "https://dl.k8s.io/release/v1.36.3/bin/linux/{arch}/" + name
    assert entry["checksum_url"] == entry["url"] + ".sha256"
    assert entry["directory"] == f"/opt/hardway/{name}/1.36.3"
    assert (entry["name"], entry["version"]) == (name, "1.36.3")
    assert "members" not in entry


def test_an_archive_and_its_members() -> None:
    entry = release_file("etcd", "3.6.14", "/srv")
    assert entry["url"] == "https://github.com/etcd-io/etcd/releases/download/v3.6.14/etcd-v3.6.14-linux-{arch}.tar.gz"
    assert entry["members"]["etcd-v3.6.14-linux-{arch}/etcdctl"] == "etcdctl"
    assert entry["directory"] == "/srv/etcd/3.6.14"
    assert release_file("cni-plugins", "1.9.1")["unpack_all"] is True
    assert release_file("runc", "1.4.3")["file_name"] == "runc"


@pytest.mark.parametrize("name", [*upstream.KUBERNETES, *upstream.GITHUB])
def test_no_version_is_left_to_fill_in(name: str) -> None:
    assert "{v}" not in str(release_file(name, "9.9.9"))


def test_pins_of_ones_own_win() -> None:
    known = release_file("etcd", default("etcd", "etcd__version"))["checksums"]
    pins = {"etcd/" + default("etcd", "etcd__version"): {"amd64": "f" * 64}}
    entry = release_file("etcd", default("etcd", "etcd__version"), "/opt/hardway", pins)
    assert entry["checksums"] == {**known, "amd64": "f" * 64}
    assert release_file("etcd", "0.0.1", "/opt/hardway", pins)["checksums"] == {}
    assert release_file("etcd", default("etcd", "etcd__version"))["checksums"] == known


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(AnsibleFilterError, match="no release is known by the name kubelte"):
        release_file("kubelte", "1.36.3")


def test_pinned_checksums_are_whole() -> None:
    for versions in upstream.PINNED.values():
        for version, checksums in versions.items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)
            assert set(checksums) <= {"amd64", "arm64"}
            assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for checksum in checksums.values())


def test_the_lab_runs_the_roles_default_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "lab"))
    from hwlab.release import Versions

    lab = Versions()
    wished: dict[str, Any] = {
        "kubernetes": default("cluster", "cluster_version"),
        "etcd": default("etcd", "etcd__version"),
        "containerd": default("containerd", "containerd__version"),
        "runc": default("containerd", "containerd__runc_version"),
        "cni_plugins": default("cni", "cni__plugins_version"),
        "flannel": default("cni", "cni__flannel_version"),
        "coredns": default("cluster_dns", "cluster_dns__version"),
        "pause": default("containerd", "containerd__sandbox_image").rpartition(":")[2],
    }
    assert {name: getattr(lab, name) for name in wished} == wished
