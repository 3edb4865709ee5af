"""What a host's unit tells of the API server that it has."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hardway.kubernetes.plugins.filter.to_flags import to_flags
from ansible_collections.hardway.kubernetes.plugins.filter.to_unit import to_unit
from ansible_collections.hardway.kubernetes.plugins.module_utils import api_server


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unit of one that has served."""
    monkeypatch.setattr(api_server.systemd, "UNIT_DIRECTORY", str(tmp_path))
    log, release, link = tmp_path / "audit.log", tmp_path / "k8s-1.2.3" / "1.36.3", tmp_path / "kube-apiserver"
    release.mkdir(parents=True)
    (release / link.name).write_text("binary")
    link.symlink_to(release / link.name)
    log.write_text("{}\n")
    flags = {
        "etcd-servers": ["https://b:2379", "https://a:2379"],
        "audit-log-path": str(log),
        "secure-port": 6443,
        "service-cluster-ip-range": "10.96.0.0/16,fd00:96::/112",
    }
    path = tmp_path / "kube-apiserver.service"
    path.write_text(to_unit({"Service": {"ExecStart": [str(link), *to_flags([flags])]}}))
    return path


def test_one_that_has_served(unit: Path) -> None:
    assert api_server.stores() == ["https://a:2379", "https://b:2379"]
    assert api_server.settled() == {
        "cluster_api_port": "6443",
        "cluster_service_cidr": "10.96.0.0/16,fd00:96::/112",
        "cluster_version": "1.36.3",
    }


def test_one_that_writes_no_audit_log_may_have_served(unit: Path) -> None:
    unit.write_text(unit.read_text().replace(str(unit.parent / "audit.log"), "-"))
    assert len(api_server.stores()) == 2
    assert api_server.settled()["cluster_api_port"] == "6443"


@pytest.mark.parametrize("what", ["has never served", "is somebody else's", "is not there", "has never begun"])
def test_none_that_has_served(unit: Path, what: str) -> None:
    if what == "has never served":
        (unit.parent / "audit.log").write_text("")
    elif what == "has never begun":
        (unit.parent / "audit.log").unlink()
    elif what == "is somebody else's":
        unit.write_text(unit.read_text().partition("\n")[2])
    else:
        unit.unlink()
    assert api_server.stores() == []
    assert api_server.settled() == {}


def test_a_program_without_a_version_in_its_path(unit: Path) -> None:
    (unit.parent / "kube-apiserver").unlink()
    assert "cluster_version" not in api_server.settled()
