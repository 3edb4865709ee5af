"""Authorities are made once, and never beside hosts that trust others or that could not be asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki

SILENT: dict[str, list[str]] = {"cp1": [], "cp2": []}


@pytest.fixture
def present(host: SimpleNamespace, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def present(check: bool = False, **more: Any) -> dict[str, Any]:
        args = {
            "pki_dir": str(tmp_path / "pki"),
            "state": "present",
            "cluster_name": "example",
            "hosts": ["cp1", "cp2"],
            "founders": ["cp1"],
            "found": SILENT,
            **more,
        }

        def never(_name: str, _args: dict[str, Any]) -> dict[str, Any]:
            raise AssertionError("no host is asked")

        return host.run_action("authorities", args, check, execute=never)

    return present


def test_the_first_run_makes_them_where_every_host_trusts_none(present: Callable[..., Any], tmp_path: Path) -> None:
    result = present(days=100, key_type="ecdsa-p384", passphrase="secret")
    assert result["changed"]
    assert "PRIVATE" not in str(result)
    pki = Pki(str(tmp_path / "pki"), "secret")
    assert pki.state() == "whole"
    assert pki.authority_key("etcd").key_size == 384
    life = pki.authority("etcd").not_valid_after_utc - pki.authority("etcd").not_valid_before_utc
    assert life.days == 100


def test_the_second_run_changes_nothing(present: Callable[..., Any], tmp_path: Path) -> None:
    present()
    before = {name: (tmp_path / "pki" / name).read_bytes() for name in os.listdir(tmp_path / "pki")}
    result = present(found={"cp1": ["/etc/kubernetes/pki/ca.crt"]})
    assert not result["changed"]
    assert {name: (tmp_path / "pki" / name).read_bytes() for name in os.listdir(tmp_path / "pki")} == before


def test_a_lost_folder_beside_hosts_that_trust_is_a_stop(present: Callable[..., Any], tmp_path: Path) -> None:
    found = {"cp1": [], "cp2": ["/etc/kubernetes/pki/ca.crt"]}
    for check in (False, True):
        result = present(check, found=found)
        assert result["failed"]
        assert "cp2" in result["msg"]
        assert "cp1" not in result["msg"]
        assert "backup" in result["msg"]
        assert os.listdir(tmp_path) == []


def test_a_host_that_did_not_answer_is_a_stop(present: Callable[..., Any], tmp_path: Path) -> None:
    for found in ({"cp1": []}, {}):
        result = present(found=found)
        assert result["failed"]
        assert "cp2" in result["msg"]
        assert "A first run needs every host" in result["msg"]
        assert os.listdir(tmp_path) == []


def test_who_only_joins_a_cluster_makes_none(present: Callable[..., Any], tmp_path: Path) -> None:
    result = present(founders=[])
    assert result["failed"]
    assert "Point cluster_controller_dir at it" in result["msg"]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_lost_a_file_is_a_stop_and_stays_as_it_is(present: Callable[..., Any], tmp_path: Path) -> None:
    present()
    (tmp_path / "pki" / "kubernetes-ca.key").unlink()
    before = sorted(os.listdir(tmp_path / "pki"))
    result = present()
    assert result["failed"]
    assert "kubernetes-ca.key" in result["msg"]
    assert sorted(os.listdir(tmp_path / "pki")) == before


def test_a_wrong_passphrase_is_a_stop(present: Callable[..., Any]) -> None:
    present(passphrase="right")
    result = present(passphrase="wrong")
    assert result["failed"]
    assert "cluster_ca_passphrase" in result["msg"]


def test_check_mode_makes_nothing(present: Callable[..., Any], tmp_path: Path) -> None:
    result = present(check=True)
    assert result["changed"]
    assert result["diff"][0]["after"] == "three authorities\n"
    assert os.listdir(tmp_path) == []


def test_hosts_are_asked_only_while_there_is_no_folder(
    host: SimpleNamespace, present: Callable[..., Any], tmp_path: Path
) -> None:
    trusted = tmp_path / "ca.crt"
    trusted.write_text("x")
    paths = [str(trusted), str(tmp_path / "none.crt")]
    args = {"pki_dir": str(tmp_path / "pki"), "state": "inspected", "paths": paths}
    assert host.run_action("authorities", args)["found"] == [str(trusted)]
    present()

    def never(_name: str, _args: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("no host is asked")

    assert host.run_action("authorities", args, execute=never)["found"] == []


def test_an_unreachable_host_stays_unreachable(host: SimpleNamespace, tmp_path: Path) -> None:
    args = {"pki_dir": str(tmp_path / "pki"), "state": "inspected", "paths": []}
    result = host.run_action("authorities", args, execute=lambda name, args: {"unreachable": True, "msg": "gone"})
    assert result["unreachable"]
    assert "found" not in result
