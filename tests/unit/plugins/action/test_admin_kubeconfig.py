"""The administrator's kubeconfig: made, kept, renewed, and its context kept on a server that answers."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki
from cryptography import x509


@pytest.fixture
def keep(host: SimpleNamespace, pki: Pki, serve: Callable[..., Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the task for a cluster of two servers, which are loopback servers."""
    servers = {name: serve() for name in ("cp1", "cp2")}

    def run(check: bool = False, **more: Any) -> dict[str, Any]:
        args = {
            "path": str(tmp_path / "home" / "admin.kubeconfig"),
            "pki_dir": pki.folder,
            "cluster_name": "example",
            "servers": {name: server.url.replace("http:", "https:") for name, server in servers.items()},
            "user": "kim",
            **more,
        }
        result = host.run_action("admin_kubeconfig", args, check, execute=lambda name, args: 1 / 0)
        assert "PRIVATE" not in str(result)
        return result

    run.servers = servers
    run.path = tmp_path / "home" / "admin.kubeconfig"
    return run


def load(keep: Any) -> dict[str, Any]:
    return yaml.safe_load(keep.path.read_text())


def certificate(keep: Any) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(load(keep)["users"][0]["user"]["client-certificate-data"]))


def test_it_is_made_for_its_owner_alone(keep: Any, pki: Pki) -> None:
    result = keep()
    assert (result["changed"], result["path"]) == (True, str(keep.path))
    assert stat.S_IMODE(keep.path.stat().st_mode) == 0o600
    assert [entry.name for entry in keep.path.parent.iterdir()] == ["admin.kubeconfig"]
    config = load(keep)
    assert [entry["name"] for entry in config["contexts"]] == ["example-cp1", "example-cp2"]
    assert config["current-context"] == "example-cp1"
    ca = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    assert ca == pki.read("kubernetes-ca.crt")
    found = certificate(keep)
    found.verify_directly_issued_by(pki.authority("kubernetes"))
    assert found.subject.rfc4514_string() == "CN=kim,O=hardway:cluster-admins"


def test_the_second_run_changes_nothing(keep: Any) -> None:
    keep()
    before = keep.path.read_bytes()
    result = keep()
    assert (result["changed"], result["diff"]) == (False, [])
    assert keep.path.read_bytes() == before


def test_an_endpoint_comes_first(keep: Any) -> None:
    keep(endpoint=f"127.0.0.1:{keep.servers['cp2'].server_port}")
    config = load(keep)
    assert [entry["name"] for entry in config["clusters"]] == ["example", "example-cp1", "example-cp2"]
    assert config["current-context"] == "example"


def test_the_context_moves_only_away_from_a_server_that_is_down(keep: Any) -> None:
    keep()
    text = keep.path.read_text().replace("current-context: example-cp1", "current-context: example-cp2")
    keep.path.write_text(text)
    assert not keep()["changed"]
    assert load(keep)["current-context"] == "example-cp2"
    keep.servers["cp2"].stop()
    assert keep()["changed"]
    assert load(keep)["current-context"] == "example-cp1"


def test_with_all_servers_down_it_is_still_written(keep: Any) -> None:
    for server in keep.servers.values():
        server.stop()
    assert keep()["changed"]
    assert load(keep)["current-context"] == "example-cp1"


def test_a_certificate_near_its_end_is_renewed(keep: Any, pki: Pki) -> None:
    keep(days=0.02)
    before = certificate(keep)
    result = keep(days=90)
    assert result["changed"]
    assert "days are left" in result["diff"]["after"]
    assert certificate(keep).serial_number != before.serial_number


def test_another_user_gets_another_certificate(keep: Any) -> None:
    keep()
    assert keep(user="alex")["changed"]
    assert "CN=alex" in certificate(keep).subject.rfc4514_string()


def test_a_host_that_came_is_added_without_a_new_certificate(keep: Any) -> None:
    keep()
    before = certificate(keep)
    servers = {name: server.url.replace("http:", "https:") for name, server in keep.servers.items()}
    assert keep(servers={**servers, "cp3": "https://127.0.0.1:1"})["changed"]
    assert len(load(keep)["clusters"]) == 3
    assert certificate(keep).serial_number == before.serial_number


def test_check_mode_writes_nothing(keep: Any, tmp_path: Path) -> None:
    assert keep(True)["changed"]
    assert not keep.path.parent.exists()
    assert keep(True, pki_dir=str(tmp_path / "none"))["changed"]


def test_missing_authorities_are_a_stop(keep: Any, tmp_path: Path) -> None:
    result = keep(pki_dir=str(tmp_path / "none"))
    assert result["failed"]
    assert "can't be read" in result["msg"]
    assert not keep.path.exists()


@pytest.mark.parametrize("content", ["{", "just words", "[1, 2]", "clusters: 7\nusers: x\n"])
def test_a_file_that_is_no_kubeconfig_is_told_or_made_anew(keep: Any, content: str) -> None:
    keep.path.parent.mkdir()
    keep.path.write_text(content)
    result = keep()
    if result.get("failed"):
        assert "Move it away" in result["msg"]
        assert keep.path.read_text() == content
    else:
        assert load(keep)["kind"] == "Config"


def test_an_endpoint_that_is_new_becomes_the_current_context(
    keep: Any, serve: Callable[..., Any], closed_port: int
) -> None:
    keep()
    assert load(keep)["current-context"] == "example-cp1"
    keep(endpoint=f"127.0.0.1:{closed_port}")  # it does not answer
    assert load(keep)["current-context"] == "example-cp1"
    keep()
    keep(endpoint=serve().url.removeprefix("http://"))
    assert load(keep)["current-context"] == "example"
    text = keep.path.read_text().replace("current-context: example\n", "current-context: example-cp2\n")
    keep.path.write_text(text)
    keep(endpoint=serve().url.removeprefix("http://"))
    assert load(keep)["current-context"] == "example-cp2"  # somebody's choice


def test_a_file_that_holds_other_access_is_neither_replaced_nor_joined(keep: Any) -> None:
    """Such as ~/.kube/config: what is in it is nobody else's to lose."""
    keep()
    config = load(keep)
    assert not keep()["changed"]
    config["clusters"].append({"name": "prod", "cluster": {"server": "https://prod:6443"}})
    config["users"].append({"name": "boss", "user": {"token": "t"}})
    keep.path.write_text(yaml.safe_dump(config))
    before = keep.path.read_text()
    result = keep(user="pat")
    assert result["failed"]
    assert "admin.kubeconfig holds more than this cluster's access (prod, boss), and is written whole" in result["msg"]
    assert keep.path.read_text() == before
    config["clusters"], config["users"] = config["clusters"][:-1], config["users"][:-1]
    keep.path.write_text(yaml.safe_dump(config))
    assert keep(user="pat")["changed"]  # the user of before is this cluster's


@pytest.mark.parametrize(
    "authority", [{"certificate-authority-data": "b3RoZXI="}, {"certificate-authority": "/ca.crt"}, {}]
)
def test_another_cluster_whose_name_begins_with_this_ones(keep: Any, authority: dict[str, str]) -> None:
    """example-eu is no host of example: its authority is another one."""
    keep()
    config = load(keep)
    eu = {"server": "https://192.0.2.1:6443", **authority}
    for name in ("example-eu", "example-eu-cp1"):
        config["clusters"].append({"name": name, "cluster": eu})
        config["contexts"].append({"name": name, "context": {"cluster": name, "user": "kim-eu"}})
    config["users"].append({"name": "kim-eu", "user": {"token": "t"}})
    text = yaml.safe_dump(config)
    keep.path.write_text(text)
    result = keep(days=30, user="pat")
    assert result["failed"]
    assert "(example-eu, example-eu-cp1)" in result["msg"]
    assert "(example-eu, example-eu-cp1)" in keep(state="absent")["warnings"][0]
    assert keep.path.read_text() == text


def test_odd_entries_are_no_error(keep: Any) -> None:
    keep(endpoint=f"127.0.0.1:{keep.servers['cp2'].server_port}")
    config = load(keep)
    config["contexts"] += ["words", {"name": ["a", "list"], "context": {"cluster": ["x"], "user": 7}}]
    keep.path.write_text(yaml.safe_dump(config))
    result = keep(endpoint=f"127.0.0.1:{keep.servers['cp2'].server_port}")
    assert "(['a', 'list'])" in result["msg"]


def test_a_host_that_left_is_this_clusters(keep: Any) -> None:
    """Its entry has this cluster's authority; and a cluster of the same name that was made anew has the same names."""
    keep()
    servers = {"cp1": keep.servers["cp1"].url.replace("http:", "https:")}
    assert keep(servers=servers)["changed"]
    assert [entry["name"] for entry in load(keep)["clusters"]] == ["example-cp1"]
    text = keep.path.read_text().replace(load(keep)["clusters"][0]["cluster"]["certificate-authority-data"], "b2xk")
    keep.path.write_text(text)
    assert keep()["changed"]
    assert len(load(keep)["clusters"]) == 2
    assert keep(state="absent", servers=servers)["changed"]
    assert not keep.path.exists()


def test_it_goes_with_its_cluster(keep: Any) -> None:
    """Check mode only says so; what is gone already is no change."""
    keep()
    assert keep(check=True, state="absent")["changed"]
    assert keep.path.exists()
    assert keep(state="absent")["changed"]
    assert not keep.path.exists()
    assert not keep(state="absent")["changed"]


@pytest.mark.parametrize("text", ["strangers", "- no kubeconfig\n", "{"])
def test_what_holds_more_by_then_stays(keep: Any, text: str) -> None:
    """Somebody has put another cluster into it since, or made another file of it."""
    keep()
    if text == "strangers":
        config = load(keep)
        config["clusters"].append({"name": "prod", "cluster": {"server": "https://prod:6443"}})
        text = yaml.safe_dump(config)
    keep.path.write_text(text)
    result = keep(state="absent")
    assert not result["changed"]
    assert not result.get("failed")
    assert f"{keep.path} " in result["warnings"][0]
    assert "left there" in result["warnings"][0]
    assert keep.path.read_text() == text
