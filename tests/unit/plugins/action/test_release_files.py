"""The controller's half: files of a folder of the controller are handed only to hosts that lack them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def site(host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A controller with local_dir, and a host whose temporary folder is remote."""
    local, remote = tmp_path / "local", tmp_path / "remote"
    (local / "dl.k8s.io").mkdir(parents=True)
    remote.mkdir()
    (local / "dl.k8s.io" / "kubelet").write_bytes(b"kubelet")
    action = host.load("action", "release_files").ActionModule
    sent: list[str] = []

    def transfer(plugin: Any, source: str, target: str) -> None:
        sent.append(source)
        shutil.copy(source, target)

    monkeypatch.setattr(
        action, "_make_tmp_path", lambda plugin: setattr(plugin._connection._shell, "tmpdir", str(remote))
    )
    monkeypatch.setattr(action, "_remove_tmp_path", lambda plugin, path, force=False: shutil.rmtree(path))
    monkeypatch.setattr(action, "_transfer_file", transfer)
    monkeypatch.setattr(host.load("module_utils", "release").platform, "machine", lambda: "x86_64")
    wish = {
        "name": "kubelet",
        "version": "1",
        "url": "https://dl.k8s.io/kubelet",
        "directory": str(tmp_path / "opt" / "1"),
        "checksums": {"amd64": hashlib.sha256(b"kubelet").hexdigest()},
    }

    def run(check: bool = False, **more: Any) -> dict[str, Any]:
        return host.run_action("release_files", {"files": [wish], "local_dir": str(local), **more}, check)

    return SimpleNamespace(run=run, sent=sent, wish=wish, local=local, remote=remote, made=tmp_path / "opt" / "1")


def test_files_travel_once(site: SimpleNamespace) -> None:
    assert site.run()["changed"]
    assert (site.made / "kubelet").read_bytes() == b"kubelet"
    assert site.sent == [str(site.local / "dl.k8s.io" / "kubelet")]
    assert not site.remote.exists()
    assert not site.run()["changed"]
    assert len(site.sent) == 1


def test_check_mode_sends_nothing(site: SimpleNamespace) -> None:
    assert site.run(check=True)["changed"]
    assert site.sent == []
    assert not site.made.exists()


def test_a_folder_that_lacks_a_file_is_told_with_the_path(site: SimpleNamespace) -> None:
    (site.local / "dl.k8s.io" / "kubelet").unlink()
    result = site.run()
    assert result["failed"]
    assert "dl.k8s.io/kubelet" in result["msg"]
    assert str(site.local) in result["msg"]
    assert site.sent == []


def test_a_corrupt_file_is_refused_and_the_hosts_temporary_folder_cleared(site: SimpleNamespace) -> None:
    (site.local / "dl.k8s.io" / "kubelet").write_bytes(b"kubele")
    result = site.run()
    assert result["failed"]
    assert "half downloaded, corrupt" in result["msg"]
    assert not site.made.exists()
    assert not site.remote.exists()


def test_without_local_dir_the_host_fetches_itself(site: SimpleNamespace, host: SimpleNamespace) -> None:
    asked = []

    def execute(name: str, args: dict[str, Any]) -> dict[str, Any]:
        asked.append((name, args))
        return {"changed": False}

    args = {"files": [site.wish], "local_dir": ""}
    assert host.run_action("release_files", args, execute=execute) == {"changed": False}
    assert asked == [("release_files", {"files": [site.wish]})]
    assert site.sent == []
