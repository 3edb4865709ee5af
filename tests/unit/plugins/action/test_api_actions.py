"""The actions that give a module an hour's access to the API."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki
from cryptography import x509

ACTIONS = ["api_objects", "cluster_nodes", "cluster_check"]


@pytest.mark.parametrize("name", ACTIONS)
def test_the_module_gets_a_certificate_that_ends_soon(host: SimpleNamespace, pki: Pki, name: str) -> None:
    asked = []

    def execute(module: str, args: dict[str, Any]) -> dict[str, Any]:
        asked.append((module, args))
        return {"changed": False}

    args = {"pki_dir": pki.folder, "passphrase": None, "servers": ["https://127.0.0.1:6443"]}
    result = host.run_action(name, args, execute=execute)
    assert result == {"changed": False}
    ((module, given),) = asked
    assert module == name
    assert given["ca"] == pki.read("kubernetes-ca.crt")
    assert given["servers"] == ["https://127.0.0.1:6443"]
    assert not {"pki_dir", "passphrase"} & set(given)
    certificate = x509.load_pem_x509_certificate(given["client_certificate"].encode())
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=55) < left <= datetime.timedelta(hours=1)
    assert certificate.subject.rfc4514_string() == "CN=hardway.kubernetes,O=system:masters"
    assert "PRIVATE KEY" in given["client_key"]
    assert args == {"pki_dir": pki.folder, "passphrase": None, "servers": ["https://127.0.0.1:6443"]}


@pytest.mark.parametrize("name", ACTIONS)
def test_without_authorities_nothing_is_asked(host: SimpleNamespace, tmp_path: Path, name: str) -> None:
    args = {"pki_dir": str(tmp_path / "none"), "servers": []}
    result = host.run_action(name, args, execute=lambda *_: 1 / 0)
    assert result["failed"]
    assert "none, is missing" in result["msg"]
    assert host.run_action(name, args, check=True, execute=lambda *_: 1 / 0)["changed"]


@pytest.mark.parametrize("name", ACTIONS)
def test_a_folder_that_lost_a_key_is_told(host: SimpleNamespace, pki: Pki, name: str) -> None:
    os.unlink(f"{pki.folder}/kubernetes-ca.key")
    result = host.run_action(name, {"pki_dir": pki.folder}, execute=lambda *_: 1 / 0)
    assert result["failed"]
    assert "kubernetes-ca.key" in result["msg"]


def test_it_works_with_a_real_module(host: SimpleNamespace, pki: Pki, api: Any) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}}
    args = {"pki_dir": pki.folder, "servers": [api.server.url], "objects": [config]}
    assert host.run_action("api_objects", args)["applied"] == ["ConfigMap a"]
    assert not host.run_action("api_objects", args)["changed"]
