"""What a verification says of one host."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.filter.to_unit import to_unit
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def run(host: SimpleNamespace, **more: Any) -> dict[str, Any]:
    result = host.run_module("host_check", {"paths": [], **more})
    assert not result.get("failed"), result
    assert not result["changed"]
    return result


@pytest.mark.parametrize(
    ("shown", "holds"), [("3: eth1    inet 192.168.60.30/32 scope global eth1\n", True), ("", False)]
)
def test_who_holds_the_virtual_address(host: SimpleNamespace, commands: Any, shown: str, holds: bool) -> None:
    commands.answers = {"ip -oneline address show to 192.168.60.30": (0, shown, "")}
    result = run(host, virtual_address="192.168.60.30")
    assert (result["holds_virtual_address"], result["findings"]) == (holds, [])
    assert "holds_virtual_address" not in run(host)


def test_a_host_with_nothing_wrong(host: SimpleNamespace, commands: Any) -> None:
    commands.answers = {"systemctl show": (0, "ActiveState=active\nSubState=running\nMainPID=12\n", "")}
    result = run(host, units=["etcd"])
    assert (result["findings"], result["certificate_days"]) == ([], None)


def test_a_unit_that_does_not_run_is_told_with_its_log(host: SimpleNamespace, commands: Any) -> None:
    commands.answers = {
        "systemctl show": (0, "ActiveState=failed\nSubState=failed\nMainPID=0\n", ""),
        "journalctl": (0, host.journal("a", "one", "unknown flag: --x", unit="kubelet.service"), ""),
    }
    (found,) = run(host, units=["kubelet"])["findings"]
    assert found.startswith("kubelet.service is failed (failed)")
    assert "unknown flag: --x" in found
    assert "journalctl -u kubelet" in found


def test_systemd_is_asked_once_for_all_units(host: SimpleNamespace, commands: Any) -> None:
    well, ill = "ActiveState=active\nSubState=running\nMainPID=12\n", "ActiveState=inactive\nSubState=dead\nMainPID=0\n"
    commands.answers = {"systemctl show": (0, f"{well}\n{ill}\n{well}", ""), "journalctl": (0, "", "")}
    (found,) = run(host, units=["etcd", "kubelet", "containerd"])["findings"]
    assert found.startswith("kubelet.service is inactive (dead)")
    (asked,) = [line for line in commands.ran if "show" in line]
    assert asked.endswith(" etcd.service kubelet.service containerd.service")


def test_what_a_host_goes_on_running_that_left_a_group(
    host: SimpleNamespace, commands: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.load("module_utils", "systemd"), "UNIT_DIRECTORY", str(tmp_path))
    well, ill = (
        "ActiveState=active\nSubState=running\nMainPID=12\n",
        "ActiveState=activating\nSubState=start\nMainPID=0\n",
    )
    unwanted = {"etcd": "members", "kubelet": "kube_node", "kube-proxy": "kube_node"}
    assert run(host, unwanted_units=unwanted)["findings"] == []
    for name in ("etcd", "kubelet"):
        (tmp_path / f"{name}.service").write_text(to_unit({"Service": {"User": "root"}}))
    (tmp_path / "kube-proxy.service").write_text("# somebody else's\n")
    commands.answers = {"systemctl show": (0, f"{well}\n{well}", "")}
    assert run(host, unwanted_units=unwanted)["findings"] == [
        "has the unit kubelet, and is not in the group kube_node: what a host ran stays when it leaves one group only. Put it back into "
        "the group, or take that part away: docs/nodes.md."
    ]
    commands.answers = {"systemctl show": (0, f"{ill}\n{well}", "")}
    assert "has the unit etcd, and is not in the group members" in run(host, unwanted_units=unwanted)["findings"][0]


def test_a_probe_that_gets_no_answer(
    host: SimpleNamespace, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = SimpleNamespace(monotonic=lambda: time.monotonic() * 20, sleep=time.sleep)
    monkeypatch.setattr(host.load("module_utils", "probe"), "time", hasty)
    well, ill = serve(), serve()
    ill.status, ill.body = 500, "etcd failed"
    probes = [{"name": "etcd", "url": well.url}, {"name": "kube-apiserver", "url": ill.url}]
    (found,) = run(host, probes=probes)["findings"]
    assert found == f"kube-apiserver does not answer at {ill.url}: HTTP 500: etcd failed"


def test_a_slow_host_may_be_given_longer(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[tuple[float, float]] = []
    probing = host.load("module_utils", "probe")
    monkeypatch.setattr(probing, "_ask", lambda probe, timeout: waited.append((probe["within"], timeout)))
    probes = [{"name": "etcd", "url": "http://127.0.0.1:2381/health"}]
    for told in ({}, {"answers_within": 30}):
        assert run(host, probes=probes, **told)["findings"] == []
    assert waited == [(5, 5), (30, 30)]


def ending(days: int) -> str:
    """A certificate that ends after so many days and an hour."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1).not_valid_before(now - timedelta(days=9))
    made = builder.not_valid_after(now + timedelta(days=days, hours=1)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("days", "words"),
    [(100, None), (14, None), (13, "ends in 13 days"), (0, "ends in 0 days"), (-3, "has expired 3 days ago")],
)
def test_certificates(host: SimpleNamespace, tmp_path: Path, days: int, words: str | None) -> None:
    (tmp_path / "server.crt").write_text(ending(days))
    result = run(host, certificates=[str(tmp_path / "server")], minimum_days=14)
    assert result["certificate_days"] == days
    if words is None:
        assert result["findings"] == []
    else:
        assert f"{tmp_path}/server.crt {words}" in result["findings"][0]
        assert "tag certificates" in result["findings"][0]


def test_a_certificate_that_the_inventory_gives_is_renewed_there(host: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "given.crt").write_text(ending(3))
    given = {str(tmp_path / "given"): "kube_apiserver__etcd_certificate"}
    (found,) = run(host, given_certificates=given)["findings"]
    assert found == (
        f"{tmp_path}/given.crt ends in 3 days. Put a newer one and its key into the inventory "
        "(kube_apiserver__etcd_certificate), then run site.yml."
    )


def test_the_certificate_that_ends_first_counts(host: SimpleNamespace, tls: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(tls.server_crt, tmp_path / "leaf.crt")
    shutil.copy(tls.ca, tmp_path / "ca.crt")
    assert run(host, certificates=[str(tmp_path / "ca"), str(tmp_path / "leaf")])["certificate_days"] == 29


def test_a_certificate_that_is_missing(host: SimpleNamespace, tmp_path: Path) -> None:
    (found,) = run(host, certificates=[str(tmp_path / "none")])["findings"]
    assert "none.crt is missing or unreadable" in found


def test_a_full_disk(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = host.load("modules", "host_check")
    usage = SimpleNamespace(free=50 << 20, total=1000 << 20)
    monkeypatch.setattr(module, "shutil", SimpleNamespace(disk_usage=lambda path: usage))
    (found,) = run(host, paths=[str(tmp_path)])["findings"]
    assert f"{tmp_path} has 5% free (50 MiB)" in found
    assert run(host, paths=[str(tmp_path)], minimum_free_percent=5)["findings"] == []


def test_a_file_system_without_inodes(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = host.load("modules", "host_check")
    few = SimpleNamespace(f_files=1000, f_favail=10)
    monkeypatch.setattr(module, "os", SimpleNamespace(path=os.path, stat=os.stat, statvfs=lambda path: few))
    found = run(host, paths=[str(tmp_path)], minimum_free_percent=0)["findings"]
    assert "inodes" in found[0]


def test_each_file_system_is_looked_at_once(host: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    paths = [str(tmp_path), str(tmp_path / "below"), str(tmp_path / "not there"), "/proc"]
    assert host.load("modules", "host_check").file_systems(paths) == [str(tmp_path), "/proc"]


def test_the_hosts_time_is_told_to_the_controller(host: SimpleNamespace) -> None:
    before = time.time()
    assert before <= run(host)["clock"] <= time.time()


@pytest.fixture
def etcd(host: SimpleNamespace, fake_etcd: Any, etcd_tls: SimpleNamespace) -> Callable[[str], dict[str, Any]]:
    """What is found on the host of a member; the inventory names three."""

    def look(name: str) -> dict[str, Any]:
        paths = {"ca": etcd_tls.ca, "cert": etcd_tls.client_crt, "key": etcd_tls.client_key}
        return run(host, etcd={"endpoint": fake_etcd.url(name), "members": 3, **paths})

    return look


def test_etcd_with_a_leader(fake_etcd: Any, etcd: Callable[[str], dict[str, Any]]) -> None:
    for name in ("a", "b", "c"):
        fake_etcd.member(name)
    result = etcd("b")
    assert (result["findings"], result["etcd_leader"]) == ([], "1000")


def test_etcd_with_a_member_too_few_and_an_alarm(fake_etcd: Any, etcd: Callable[[str], dict[str, Any]]) -> None:
    fake_etcd.member("a")
    fake_etcd.members.append({"ID": "9", "peerURLs": ["https://b:2380"]})
    fake_etcd.alarms = ["memberID:1000 alarm:NOSPACE"]
    assert etcd("a")["findings"] == [
        "etcd has 2 members (a, unnamed) and the inventory names 3. Run site.yml, which makes the missing ones members or says why "
        "not.",
        "etcd reports: memberID:1000 alarm:NOSPACE",
    ]


def test_etcd_with_a_member_that_does_not_vote_yet(fake_etcd: Any, etcd: Callable[[str], dict[str, Any]]) -> None:
    for name in ("a", "b", "c"):
        fake_etcd.member(name, **({"isLearner": True} if name == "b" else {}))
    (found,) = etcd("a")["findings"]
    assert found.startswith("etcd's member b does not vote yet")


def test_etcd_without_a_leader_names_none(
    host: SimpleNamespace, fake_etcd: Any, monkeypatch: pytest.MonkeyPatch, etcd: Callable[[str], dict[str, Any]]
) -> None:
    """It has just lost it: the members were still told."""
    for name in ("a", "b", "c"):
        fake_etcd.member(name)
    told = {"leader": None, "errors": []}
    monkeypatch.setattr(host.load("modules", "host_check").Etcd, "status", lambda self: told)
    result = etcd("a")
    assert result["findings"] == ["etcd has no leader."]
    assert not result["etcd_leader"]


def test_etcd_without_a_majority_says_so(fake_etcd: Any, etcd: Callable[[str], dict[str, Any]]) -> None:
    fake_etcd.member("a")
    fake_etcd.dead.add("a")
    result = etcd("a")
    assert "etcdserver: request timed out" in result["findings"][0]
    assert not result["etcd_leader"]


def test_etcd_that_does_not_answer_and_files_that_are_gone(
    host: SimpleNamespace, etcd: Callable[[str], dict[str, Any]]
) -> None:
    result = etcd("nobody")
    assert "Connection refused" in result["findings"][0]
    assert "journalctl -u etcd" in result["findings"][0]
    assert not result["etcd_leader"]
    gone = {"endpoint": "https://127.0.0.1:1", "ca": "/none/ca", "cert": "/none/crt", "key": "/none/key", "members": 3}
    assert "/none/ca" in run(host, etcd=gone)["findings"][0]


# ---- what stands for all API servers ----


def ask(host: SimpleNamespace, tls: Any, servers: dict[str, Any], *addresses: str, **more: Any) -> dict[str, Any]:
    urls = {name: server.url for name, server in servers.items()}
    return run(host, endpoint={"addresses": list(addresses), "ca": tls.ca, "servers": urls, "asks": 6, **more})


def test_who_answers_behind_an_address(
    host: SimpleNamespace, api_servers: dict[str, Any], tls: Any, balance: Callable[..., Any]
) -> None:
    both = [balance(api_servers.values()).address, balance([api_servers["cp1"]]).address]
    result = ask(host, tls, api_servers, *both)
    assert result["findings"] == []
    assert result["endpoint_answers"] == {both[0]: {"cp1": 2, "cp2": 2, "cp3": 2}, both[1]: {"cp1": 6}}


def test_a_balancer_that_uses_a_server_that_is_not_ready(
    host: SimpleNamespace, api_servers: dict[str, Any], tls: Any, balance: Callable[..., Any]
) -> None:
    api_servers["cp3"].status = 500
    address = balance(api_servers.values()).address
    (found,) = ask(host, tls, api_servers, address)["findings"]
    assert found.startswith(f"2 of 6 connections to {address} led to no ready API server (cp3: HTTP 500).")
    assert "HTTPS GET /readyz" in found
    assert "docs/load-balancers.md" in found


def test_no_authority_to_ask_with(
    host: SimpleNamespace, api_servers: dict[str, Any], tls: Any, tmp_path: Path, closed_port: int
) -> None:
    (found,) = ask(host, tls, api_servers, f"127.0.0.1:{closed_port}", ca=str(tmp_path / "none"))["findings"]
    assert "none is missing; run site.yml" in found
