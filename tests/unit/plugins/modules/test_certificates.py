"""The host's half of certificates, with the real openssl."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki
from cryptography import x509
from cryptography.hazmat.primitives import serialization


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def wish(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "ca": "etcd",
        "common_name": "cp1",
        "sans": ["cp1", "127.0.0.1"],
        "usages": ["server"],
        **more,
    }


@pytest.fixture
def leaf(users: Any, tmp_path: Path) -> Path:
    users["etcd"] = users["root"]
    return tmp_path / "etc" / "etcd" / "pki" / "server"


def beside(leaf: Path, ending: str) -> Path:
    return leaf.with_name(leaf.name + ending)


def install(host: SimpleNamespace, pki: Pki, wished: dict[str, Any]) -> dict[str, Any]:
    """Bring a leaf to the host as the action plugin does."""
    found = host.run_module("certificates", {"step": "request", "certificates": [wished]})
    signed = {wished["path"]: pki.sign_request(wished, found["requests"][wished["path"]], 30)}
    return host.run_module("certificates", {"step": "install", "certificates": [wished], "signed": signed})


def test_inspect_of_a_bare_host_makes_key_and_request(host: SimpleNamespace, leaf: Path) -> None:
    result = host.run_module("certificates", {"certificates": [wish(leaf, owner="etcd")]})
    found = result["found"][str(leaf)]
    assert (found["certificate"], found["public_key"]) == (None, None)
    request = x509.load_pem_x509_csr(found["request"].encode())
    assert request.is_signature_valid
    assert os.listdir(leaf.parent) == ["server.key.new"]
    assert mode(beside(leaf, ".key.new")) == 0o600
    assert mode(leaf.parent) == 0o750
    assert "PRIVATE" not in str(result)


@pytest.mark.parametrize(
    ("key_type", "words"),
    [("ecdsa-p256", "prime256v1"), ("ecdsa-p384", "secp384r1"), ("rsa-2048", "2048 bit")],
)
def test_key_types(host: SimpleNamespace, leaf: Path, key_type: str, words: str) -> None:
    host.run_module("certificates", {"certificates": [wish(leaf)], "key_type": key_type})
    shown = subprocess.run(
        ["openssl", "pkey", "-in", str(leaf) + ".key.new", "-noout", "-text"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert words in shown.stdout


def test_install_puts_the_pair_in_place(host: SimpleNamespace, pki: Pki, leaf: Path) -> None:
    result = install(host, pki, wish(leaf, owner="etcd"))
    assert sorted(os.listdir(leaf.parent)) == ["server.crt", "server.key"]
    assert (mode(beside(leaf, ".key")), mode(beside(leaf, ".crt"))) == (0o600, 0o644)
    assert "PRIVATE" not in str(result)
    found = host.run_module("certificates", {"certificates": [wish(leaf, owner="etcd")]})
    assert not found["changed"]
    seen = found["found"][str(leaf)]
    assert "request" not in seen
    assert pki.why_renew(wish(leaf), seen["certificate"], seen["public_key"]) is None
    assert "PRIVATE" not in str(found)


def test_pairs_that_serve_take_no_process(
    host: SimpleNamespace, pki: Pki, leaf: Path, request: pytest.FixtureRequest
) -> None:
    install(host, pki, wish(leaf))
    commands = request.getfixturevalue("commands")  # from here on
    host.run_module("certificates", {"certificates": [wish(leaf)]})
    assert commands.ran == []


def test_a_new_request_leaves_the_serving_pair_alone(host: SimpleNamespace, pki: Pki, leaf: Path) -> None:
    install(host, pki, wish(leaf))
    before = beside(leaf, ".key").read_bytes(), beside(leaf, ".crt").read_bytes()
    host.run_module("certificates", {"step": "request", "certificates": [wish(leaf)]})
    assert (beside(leaf, ".key").read_bytes(), beside(leaf, ".crt").read_bytes()) == before


def test_each_request_has_a_key_of_its_own(host: SimpleNamespace, leaf: Path) -> None:
    keys = set()
    for _ in range(2):
        result = host.run_module("certificates", {"step": "request", "certificates": [wish(leaf)]})
        request = x509.load_pem_x509_csr(result["requests"][str(leaf)].encode())
        keys.add(
            request.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    assert len(keys) == 2


@pytest.mark.parametrize("lost", [".crt", ".key"])
def test_a_pair_that_lost_a_half_asks_for_a_new_one(host: SimpleNamespace, pki: Pki, leaf: Path, lost: str) -> None:
    install(host, pki, wish(leaf))
    beside(leaf, lost).unlink()
    seen = host.run_module("certificates", {"certificates": [wish(leaf)]})["found"][str(leaf)]
    assert "request" in seen


def test_a_garbled_key_asks_for_a_new_one(host: SimpleNamespace, pki: Pki, leaf: Path) -> None:
    install(host, pki, wish(leaf))
    beside(leaf, ".key").write_text("garbage")
    seen = host.run_module("certificates", {"certificates": [wish(leaf)]})["found"][str(leaf)]
    assert seen["public_key"] is None
    assert "request" in seen


def test_a_key_that_others_can_read_is_mended(host: SimpleNamespace, pki: Pki, leaf: Path) -> None:
    install(host, pki, wish(leaf))
    beside(leaf, ".key").chmod(0o644)
    result = host.run_module("certificates", {"certificates": [wish(leaf)]})
    assert result["changed"]
    assert mode(beside(leaf, ".key")) == 0o600
    assert "PRIVATE" not in str(result)


def test_parents_stay_open_for_the_components_users(host: SimpleNamespace, tmp_path: Path, users: Any) -> None:
    leaves = [tmp_path / "kubernetes" / name / "pki" / "client" for name in ("kubelet", "kube-scheduler", "kube-proxy")]
    host.run_module("certificates", {"certificates": [wish(leaf) for leaf in leaves]})
    assert [oct(mode(leaf.parent)) for leaf in leaves] == ["0o750"] * 3
    assert [oct(mode(leaf.parent.parent)) for leaf in leaves] == ["0o755"] * 3


def test_authorities_and_users_are_made(
    host: SimpleNamespace, users: Any, commands: Any, pki: Pki, tmp_path: Path
) -> None:
    path = tmp_path / "pki" / "ca.crt"
    authority = {"ca": "kubernetes", "path": str(path), "content": pki.read("kubernetes-ca.crt")}
    result = host.run_module("certificates", {"authorities": [authority], "users": ["etcd"]})
    assert result["changed"]
    assert path.read_text() == pki.read("kubernetes-ca.crt")
    assert mode(path) == 0o644
    assert [line for line in commands.ran if line.startswith("useradd") and line.endswith(" etcd")]
    users["etcd"] = users["root"]
    assert not host.run_module("certificates", {"authorities": [authority], "users": ["etcd"]})["changed"]


def test_a_host_that_trusts_another_authority_stops(
    host: SimpleNamespace, users: Any, commands: Any, pki: Pki, tmp_path: Path
) -> None:
    path, new = tmp_path / "ca.crt", tmp_path / "new.crt"
    path.write_text(pki.read("etcd-ca.crt"))
    wishes = [
        {"ca": "kubernetes", "path": str(target), "content": pki.read("kubernetes-ca.crt")} for target in (path, new)
    ]
    leaf = tmp_path / "leaf"
    result = host.run_module("certificates", {"authorities": wishes, "users": ["x"], "certificates": [wish(leaf)]})
    assert result["failed"]
    assert "another authority" in result["msg"]
    assert str(path) in result["msg"]
    assert "cluster_controller_dir" in result["msg"]
    assert path.read_text() == pki.read("etcd-ca.crt")
    assert os.listdir(tmp_path) and not new.exists()
    assert commands.ran == []


def test_check_mode_changes_nothing(host: SimpleNamespace, pki: Pki, leaf: Path, tmp_path: Path) -> None:
    authority = {"ca": "etcd", "path": str(tmp_path / "ca.crt"), "content": pki.read("etcd-ca.crt")}
    args = {"authorities": [authority], "certificates": [wish(leaf)]}
    result = host.run_module("certificates", args, True)
    assert result["changed"]
    assert result["found"][str(leaf)] == {"certificate": None, "public_key": None}
    assert [path.name for path in tmp_path.iterdir()] == ["controller"]
