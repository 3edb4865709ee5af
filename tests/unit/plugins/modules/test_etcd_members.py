"""The host's half of membership, as Ansible runs it: a look, an announcement, a promotion, and words where one fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import lease


class Member:
    """The host cp2, and what it is asked to do."""

    def __init__(self, host: SimpleNamespace, fake_etcd: Any, tls: SimpleNamespace, folder: Path) -> None:
        self.host, self.etcd, self.folder = host, fake_etcd, folder
        self.access = {
            "ca": Path(tls.ca).read_text(),
            "client_certificate": Path(tls.client_crt).read_text(),
            "client_key": Path(tls.client_key).read_text(),
        }

    def run(self, step: str, *servers: str, check: bool = False, **more: Any) -> dict[str, Any]:
        args = {
            "name": "cp2",
            "peer_url": self.etcd.peer("cp2"),
            "servers": [self.etcd.url(name) for name in servers],
            "wal_dir": str(self.folder / "wal"),
            "bootstrap": str(self.folder / "bootstrap.env"),
            "within": 0,
            **self.access,
        }
        return self.host.run_module("etcd_members", {**args, "step": step, **more}, check)


@pytest.fixture
def member(host: SimpleNamespace, fake_etcd: Any, etcd_tls: SimpleNamespace, tmp_path: Path) -> Member:
    fake_etcd.member("cp1")
    return Member(host, fake_etcd, etcd_tls, tmp_path)


@pytest.mark.parametrize("check", [False, True])
def test_a_look_changes_nothing(member: Member, check: bool) -> None:
    result = member.run("look", "cp2", "cp1", check=check)
    assert (result["changed"], result["seen"]["data"]) == (False, False)
    assert [entry["name"] for entry in result["seen"]["members"]] == ["cp1"]
    assert member.etcd.verbs() == []


def test_a_look_without_access_asks_nobody(member: Member) -> None:
    member.access = {}
    assert member.run("look", "cp1")["seen"]["members"] is None
    assert member.etcd.asked == []


def test_announced_and_let_vote(member: Member) -> None:
    result = member.run("announce", "cp1", within=5)
    assert (result["changed"], result["initial_cluster"].count("https://")) == (True, 2)
    result = member.run("promote", "cp1")
    assert (result["changed"], result["promoted"]) == (True, True)
    result = member.run("promote", "cp1")
    assert (result["changed"], result["promoted"]) == (False, False)


@pytest.mark.parametrize(
    ("step", "refusal", "words"),
    [
        ("announce", "etcdserver: unhealthy cluster", "did not take this host as a new member"),
        (
            "promote",
            "etcdserver: can only promote a learner member which is in sync with leader",
            "let this member vote",
        ),
    ],
)
def test_what_fails_says_what_etcd_said_and_where_to_look(member: Member, step: str, refusal: str, words: str) -> None:
    member.etcd.refusals["add" if step == "announce" else "promote"] = [(503, refusal)]
    if step == "promote":
        member.etcd.members.append({"ID": "9", "peerURLs": [member.etcd.peer("cp2")], "isLearner": True})
    result = member.run(step, "cp1")
    assert result["failed"]
    assert words in result["msg"]
    assert refusal in result["msg"]
    assert "journalctl -u etcd" in result["msg"]
    assert "PRIVATE" not in str(result)


def test_another_member_is_taken_out(member: Member) -> None:
    member.etcd.member("cp2")
    member.etcd.member("cp3")
    result = member.run("remove", "cp1", member_id=member.etcd.entry("cp3")["ID"], within=5)
    assert result["changed"]
    assert [entry["name"] for entry in member.etcd.members] == ["cp1", "cp2"]


def held_by(api: Any, holder: str) -> dict[str, Any]:
    """A Lease that somebody has, and options of the module for it."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 3600, "renewTime": "2999-01-01T00:00:00.000000Z"}
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/turns"
    api.objects[path] = {"metadata": {"name": "turns", "resourceVersion": "1"}, "spec": spec}
    turn = {name: api.params[name] for name in ("servers", "ca", "client_certificate")}
    return {"turn": {**turn, "name": "turns", "holder": "this run"}, "turn_key": api.params["client_key"]}


def test_no_other_controller_restarts_a_member_meanwhile(member: Member, api: Any) -> None:
    """The Lease is taken before etcd is asked, and given back."""
    member.etcd.member("cp2")
    result = member.run("remove", "cp1", member_id="1001", within=5, **held_by(api, ""))
    assert result["changed"]
    assert [body["spec"]["holderIdentity"] for _path, body in api.patches] == ["this run", ""]


def test_while_another_controller_restarts_one_nobody_leaves(
    member: Member, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TURN_WAITS", 0)
    member.etcd.member("cp2")
    result = member.run("remove", "cp1", member_id="1001", within=5, **held_by(api, "ann on laptop, run 7, cp1"))
    assert result["failed"]
    assert "ann on laptop, run 7, cp1 has had the turn" in result["msg"]
    assert member.etcd.verbs() == []


def test_a_member_that_etcd_keeps(member: Member) -> None:
    member.etcd.member("cp2")
    member.etcd.refusals["remove"] = [(503, "etcdserver: unhealthy cluster")]
    result = member.run("remove", "cp1", member_id="1001")
    assert result["failed"]
    assert "did not let a member go" in result["msg"]
    assert "unhealthy cluster" in result["msg"]
