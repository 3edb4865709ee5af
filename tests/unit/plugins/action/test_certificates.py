"""The whole exchange of a host's certificates: inspect, sign, install; real keys, the module in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki
from cryptography import x509


@pytest.fixture
def etc(users: Any, tmp_path: Path) -> Path:
    return tmp_path / "etc"


@pytest.fixture
def keep(host: SimpleNamespace, pki: Pki, etc: Path) -> Callable[..., dict[str, Any]]:
    """Run the task with two leaves; steps are remembered."""

    def keep(check: bool = False, execute: Any = None, **more: Any) -> dict[str, Any]:
        keep.steps = []

        def run(name: str, args: dict[str, Any]) -> dict[str, Any]:
            keep.steps.append(args["step"])
            assert "passphrase" not in args
            assert "PRIVATE" not in str(args)
            return (execute or (lambda step, run: run()))(args["step"], lambda: host.run_module(name, args, check))

        leaf = {"ca": "etcd", "common_name": "cp1", "sans": ["cp1"], "usages": ["server", "client"]}
        args = {
            "pki_dir": pki.folder,
            "passphrase": "",
            "authorities": [{"ca": "etcd", "path": f"{etc}/pki/ca.crt"}],
            "certificates": [dict(leaf, path=f"{etc}/pki/server"), dict(leaf, path=f"{etc}/pki/peer")],
            **more,
        }
        result = host.run_action("certificates", args, check, execute=run)
        assert "PRIVATE" not in str(result)
        return result

    return keep


def files(etc: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (etc / "pki").glob("*")} if etc.exists() else {}


def test_a_bare_host_gets_all_in_two_rounds(keep: Callable[..., Any], etc: Path, pki: Pki) -> None:
    result = keep()
    assert result["changed"]
    assert result["issued"] == {f"{etc}/pki/{name}": "there is none yet" for name in ("server", "peer")}
    assert keep.steps == ["inspect", "install"]
    assert sorted(files(etc)) == ["ca.crt", "peer.crt", "peer.key", "server.crt", "server.key"]
    for name in ("server", "peer"):
        certificate = x509.load_pem_x509_certificate(files(etc)[name + ".crt"])
        certificate.verify_directly_issued_by(pki.authority("etcd"))


def test_a_second_run_asks_once_and_changes_nothing(keep: Callable[..., Any], etc: Path) -> None:
    keep()
    before = files(etc)
    result = keep()
    assert keep.steps == ["inspect"]
    assert (result["changed"], result["issued"], result["diff"]) == (False, {}, [])
    assert files(etc) == before


def test_a_name_that_changed_renews_that_one_with_a_new_key(keep: Callable[..., Any], etc: Path) -> None:
    keep()
    before = files(etc)
    leaf = {"ca": "etcd", "common_name": "cp1", "usages": ["server", "client"]}
    wishes = [
        dict(leaf, path=f"{etc}/pki/server", sans=["cp1", "new"]),
        dict(leaf, path=f"{etc}/pki/peer", sans=["cp1"]),
    ]
    result = keep(certificates=wishes)
    assert result["issued"] == {f"{etc}/pki/server": "its names differ: without new"}
    assert keep.steps == ["inspect", "request", "install"]
    changed = {name for name, content in files(etc).items() if before[name] != content}
    assert changed == {"server.key", "server.crt"}
    assert "its names differ" in result["diff"][0]["before"]


def names(etc: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(files(etc)["server.crt"])
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(extension.get_values_for_type(x509.DNSName))


def test_one_that_keeps_its_names_serves_old_and_new_clients(keep: Callable[..., Any], etc: Path) -> None:
    leaf = {"ca": "etcd", "common_name": "cp1", "usages": ["server"], "path": f"{etc}/pki/server", "keep_names": True}
    keep(certificates=[dict(leaf, sans=["cp1", "old"])])
    result = keep(certificates=[dict(leaf, sans=["cp1", "new"])])
    assert result["issued"] == {f"{etc}/pki/server": "its names differ: without new"}
    assert names(etc) == {"cp1", "old", "new"}
    assert not keep(certificates=[dict(leaf, sans=["cp1", "new"])])["changed"]
    assert not keep(certificates=[dict(leaf, sans=["cp1"])])["changed"]
    # The documented way to drop names at once.
    (etc / "pki" / "server.crt").unlink()
    assert keep(check=True, certificates=[dict(leaf, sans=["cp1", "new"])])["changed"]
    assert keep(certificates=[dict(leaf, sans=["cp1", "new"])])["changed"]
    assert names(etc) == {"cp1", "new"}
    assert not keep(certificates=[dict(leaf, sans=["cp1", "new"])])["changed"]


def test_a_run_killed_between_key_and_certificate_is_finished_by_the_next(
    keep: Callable[..., Any], etc: Path, host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep()
    module = host.load("module_utils", "host_certificates")
    leaf = {"path": f"{etc}/pki/server", "ca": "etcd", "common_name": "new", "sans": ["cp1"], "usages": ["server"]}
    real = os.replace

    def killed(source: str, target: str) -> None:
        real(source, target)
        if target == f"{etc}/pki/server.key":
            raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", killed)
        with pytest.raises(ZeroDivisionError):
            keep(certificates=[leaf])
    result = keep(certificates=[leaf])
    assert result["issued"] == {f"{etc}/pki/server": "it does not belong to the key beside it"}
    assert not keep(certificates=[leaf])["changed"]


def test_a_run_killed_before_the_first_certificate_came_is_finished_by_the_next(
    keep: Callable[..., Any], etc: Path
) -> None:
    def killed(step: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if step == "install":
            raise ZeroDivisionError
        return run()

    with pytest.raises(ZeroDivisionError):
        keep(execute=killed)
    assert "server.key.new" in files(etc)
    assert keep()["changed"]
    assert not [name for name in files(etc) if name.endswith(".new")]
    assert not keep()["changed"]


def test_a_swapped_pair_is_issued_anew(keep: Callable[..., Any], etc: Path) -> None:
    keep()
    shutil.copy(etc / "pki" / "peer.key", etc / "pki" / "server.key")
    assert keep()["issued"] == {f"{etc}/pki/server": "it does not belong to the key beside it"}


def test_a_strange_authority_on_the_host_stops(keep: Callable[..., Any], etc: Path, pki: Pki, tmp_path: Path) -> None:
    keep()
    before = files(etc)
    other = Pki(str(tmp_path / "other"))
    other.create("example", 3650, "ecdsa-p256")
    result = keep(pki_dir=other.folder)
    assert result["failed"]
    assert f"{etc}/pki/ca.crt" in result["msg"]
    assert keep.steps == ["inspect"]
    assert files(etc) == before


def test_a_missing_folder_stops_before_any_host_is_asked(keep: Callable[..., Any], etc: Path, tmp_path: Path) -> None:
    result = keep(pki_dir=str(tmp_path / "lost"))
    assert result["failed"]
    assert "lost" in result["msg"]
    assert keep.steps == []


def test_a_folder_that_lost_a_key_stops_before_any_host_is_asked(keep: Callable[..., Any], pki: Pki) -> None:
    os.unlink(f"{pki.folder}/etcd-ca.key")
    result = keep()
    assert result["failed"]
    assert "etcd-ca.key" in result["msg"]
    assert keep.steps == []


def test_a_host_that_goes_away_is_told_as_such(keep: Callable[..., Any]) -> None:
    for lost in ("inspect", "install"):
        result = keep(execute=lambda step, run, lost=lost: {"unreachable": True} if step == lost else run())
        assert result["unreachable"]
        assert not result.get("changed")


def test_check_mode_on_a_bare_host_changes_nothing(keep: Callable[..., Any], etc: Path) -> None:
    result = keep(check=True)
    assert result["changed"]
    assert len(result["issued"]) == 2
    assert keep.steps == ["inspect"]
    assert files(etc) == {}


def test_check_mode_of_a_first_run_without_authorities(keep: Callable[..., Any], etc: Path, tmp_path: Path) -> None:
    result = keep(check=True, pki_dir=str(tmp_path / "none"))
    assert result["changed"]
    assert len(result["diff"]) == 2
    assert keep.steps == []
    assert files(etc) == {}


def test_check_mode_on_a_running_cluster(keep: Callable[..., Any], etc: Path) -> None:
    keep()
    before = files(etc)
    assert not keep(check=True)["changed"]
    leaf = {"path": f"{etc}/pki/server", "ca": "etcd", "common_name": "new", "sans": ["cp1"], "usages": ["server"]}
    result = keep(check=True, certificates=[leaf])
    assert result["changed"]
    assert "its subject is CN=cp1" in result["diff"][0]["before"]
    assert files(etc) == before


def test_days_are_the_leafs_life(keep: Callable[..., Any], etc: Path) -> None:
    keep(days=30)
    certificate = x509.load_pem_x509_certificate(files(etc)["server.crt"])
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 30
