"""What a host's disk and the members of etcd say, asked over real TLS; and how a member is announced and let vote."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import etcd, kube_api
from ansible_collections.hardway.kubernetes.plugins.module_utils.etcd import Etcd, EtcdError

NOT_READY = (400, "etcdserver: can only promote a learner member which is in sync with leader")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr(kube_api, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: None))


@pytest.fixture
def connect(fake_etcd: Any, etcd_tls: SimpleNamespace) -> Callable[..., Etcd]:
    """A client of some members."""

    def connect(*names: str) -> Etcd:
        texts = [Path(path).read_text() for path in (etcd_tls.ca, etcd_tls.client_crt, etcd_tls.client_key)]
        return Etcd([fake_etcd.url(name) for name in names], *texts, timeout=2)

    return connect


def wish(fake_etcd: Any, tls: SimpleNamespace, tmp_path: Path, *names: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "cp2",
        "peer_url": fake_etcd.peer("cp2"),
        "servers": [fake_etcd.url(name) for name in names],
        "wal_dir": str(tmp_path / "wal"),
        "bootstrap": str(tmp_path / "bootstrap.env"),
        "ca": Path(tls.ca).read_text(),
        "client_certificate": Path(tls.client_crt).read_text(),
        **more,
    }


# ---- asking ----


def test_members_are_told_as_etcd_lists_them(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    url = fake_etcd.member("cp1")
    fake_etcd.members.append({"ID": "9", "peerURLs": ["https://cp2:2380"], "isLearner": True})
    told = connect("cp1").members()
    assert told["cluster"] == "77"
    assert told["members"] == [
        {"id": "1000", "name": "cp1", "peer_urls": ["https://cp1:2380"], "client_urls": [url], "learner": False},
        {"id": "9", "name": "", "peer_urls": ["https://cp2:2380"], "client_urls": [], "learner": True},
    ]
    assert fake_etcd.asked == [("cp1", "/v3/cluster/member/list", {"linearizable": True})]


def test_whether_anything_is_stored(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("cp1")
    assert connect("cp1").empty()
    fake_etcd.keys = 3
    assert not connect("cp1").empty()


def test_a_member_tells_its_own_state(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("cp1")
    assert connect("cp1").status() == {"leader": "1000", "errors": []}
    fake_etcd.dead.add("cp1")
    fake_etcd.alarms = ["memberID:1000 alarm:NOSPACE"]
    assert connect("cp1").status() == {"leader": None, "errors": ["memberID:1000 alarm:NOSPACE"]}


def test_a_dead_member_a_learner_and_one_without_a_leader_are_passed_over(
    fake_etcd: Any, connect: Callable[..., Etcd]
) -> None:
    fake_etcd.member("learner", isLearner=True)
    fake_etcd.member("lonely")
    fake_etcd.member("cp1")
    fake_etcd.dead.add("lonely")
    assert len(connect("dead", "learner", "lonely", "cp1").members()["members"]) == 3


def test_when_none_answers_each_is_told_with_its_reason(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("lonely")
    fake_etcd.dead.add("lonely")
    with pytest.raises(EtcdError) as caught:
        connect("dead", "lonely").members()
    assert caught.value.passes
    assert "no member of etcd can do it now" in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "request timed out" in str(caught.value)
    with pytest.raises(EtcdError, match="no member of etcd answers"):
        connect("dead").members()


def test_a_server_of_another_authority_is_not_trusted(
    fake_etcd: Any, etcd_tls: SimpleNamespace, tls: SimpleNamespace
) -> None:
    url = fake_etcd.member("cp1")
    texts = [Path(path).read_text() for path in (tls.ca, etcd_tls.client_crt, etcd_tls.client_key)]
    with pytest.raises(EtcdError, match="certificate verify failed"):
        Etcd([url], *texts).members()
    assert fake_etcd.asked == []


def test_an_answer_that_is_no_json_is_shown(serve: Callable[..., Any], etcd_tls: SimpleNamespace, connect: Any) -> None:
    server = serve(etcd_tls, True)
    server.status, server.body = 404, "404 page not found"
    client = connect()
    client.servers = [server.url]
    with pytest.raises(EtcdError, match="404 page not found"):
        client.members()


def test_who_does_not_serve_among_those_that_vote(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("well")
    fake_etcd.member("ill")
    fake_etcd.member("learner", isLearner=True)
    fake_etcd.dead.update(["ill", "learner"])
    fake_etcd.members.append({"ID": "9", "peerURLs": ["https://new:2380"]})
    fake_etcd.members.append(
        {"ID": "8", "name": "off", "peerURLs": ["https://off:2380"], "clientURLs": [fake_etcd.nobody]}
    )
    client = connect("well")
    unhealthy = client.unhealthy(client.members()["members"])
    assert sorted(unhealthy) == ["https://new:2380", "ill", "off"]
    assert unhealthy["https://new:2380"] == "it has never served"
    assert "RAFT NO LEADER" in unhealthy["ill"]
    assert "Connection refused" in unhealthy["off"]


# ---- announcing and promoting ----


def test_a_new_member_is_announced_as_a_learner_and_starts_with_exactly_the_listed_ones(
    fake_etcd: Any, etcd_tls: SimpleNamespace, connect: Callable[..., Etcd], tmp_path: Path
) -> None:
    fake_etcd.member("cp1")
    cluster = etcd.announced(connect("dead", "cp1"), wish(fake_etcd, etcd_tls, tmp_path), 5)
    assert fake_etcd.verbs() == ["add"]
    assert fake_etcd.entry("cp2")["isLearner"] is True
    assert cluster == "member-1000=https://cp1:2380,cp2=https://cp2:2380"


def test_a_member_that_is_listed_is_not_announced_again(
    fake_etcd: Any, etcd_tls: SimpleNamespace, connect: Callable[..., Etcd], tmp_path: Path
) -> None:
    fake_etcd.member("cp1")
    fake_etcd.members.append({"ID": "9", "peerURLs": ["https://cp2:2380"]})
    fake_etcd.members.append({"ID": "8", "peerURLs": ["https://cp3:2380"]})
    cluster = etcd.announced(connect("cp1"), wish(fake_etcd, etcd_tls, tmp_path), 5)
    assert fake_etcd.verbs() == []
    assert cluster == "member-1000=https://cp1:2380,cp2=https://cp2:2380,member-8=https://cp3:2380"


@pytest.mark.parametrize(
    "refusal",
    [
        (503, "etcdserver: unhealthy cluster"),
        (400, "etcdserver: too many learner members in cluster"),
        (400, "etcdserver: re-configuration failed due to not enough started members"),
        (503, "etcdserver: leader changed"),
        (400, "etcdserver: Peer URLs already exists"),
    ],
)
def test_what_passes_is_waited_for(
    fake_etcd: Any,
    etcd_tls: SimpleNamespace,
    connect: Callable[..., Etcd],
    tmp_path: Path,
    refusal: tuple[int, str],
) -> None:
    fake_etcd.member("cp1")
    fake_etcd.refusals["add"] = [refusal, refusal]
    assert "cp2=" in etcd.announced(connect("cp1"), wish(fake_etcd, etcd_tls, tmp_path), 5)
    assert fake_etcd.verbs() == ["add", "add", "add"]


def test_it_is_not_waited_for_ever_and_not_for_what_stays(
    fake_etcd: Any, etcd_tls: SimpleNamespace, connect: Callable[..., Etcd], tmp_path: Path
) -> None:
    fake_etcd.member("cp1")
    fake_etcd.refusals["add"] = [(503, "etcdserver: unhealthy cluster")] * 1000
    with pytest.raises(EtcdError, match="unhealthy cluster"):
        etcd.announced(connect("cp1"), wish(fake_etcd, etcd_tls, tmp_path), 0)
    fake_etcd.refusals["add"] = [(403, "etcdserver: permission denied")]
    with pytest.raises(EtcdError, match="permission denied"):
        etcd.announced(connect("cp1"), wish(fake_etcd, etcd_tls, tmp_path), 600)


def test_a_learner_votes_once_it_has_read_what_the_leader_has(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("cp2", isLearner=True)
    fake_etcd.member("cp1")
    fake_etcd.refusals["promote"] = [NOT_READY, NOT_READY]
    assert etcd.voting(connect("cp1"), fake_etcd.peer("cp2"), 5) is True
    assert fake_etcd.verbs() == ["promote"] * 3
    assert ("cp1", "/v3/cluster/member/promote", {"ID": "1000"}) in fake_etcd.asked
    assert etcd.voting(connect("cp1"), fake_etcd.peer("cp2"), 5) is False
    assert fake_etcd.verbs() == ["promote"] * 3


def test_a_learner_that_never_gets_there_and_one_that_is_removed(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("cp1")
    fake_etcd.member("cp2", isLearner=True)
    fake_etcd.refusals["promote"] = [NOT_READY] * 1000
    with pytest.raises(EtcdError, match="in sync with leader"):
        etcd.voting(connect("cp1"), fake_etcd.peer("cp2"), 0)
    fake_etcd.members.pop()
    with pytest.raises(EtcdError, match="somebody removed it"):
        etcd.voting(connect("cp1"), fake_etcd.peer("cp2"), 600)


def test_another_run_that_was_quicker_to_promote_is_no_error(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    fake_etcd.member("cp1")
    connect("cp1").promote("1000")
    with pytest.raises(EtcdError, match="member not found"):
        connect("cp1").promote("5")


# ---- looking ----


def test_a_bare_host_knows_nothing_and_is_not_touched(
    fake_etcd: Any, etcd_tls: SimpleNamespace, tmp_path: Path
) -> None:
    options = wish(fake_etcd, etcd_tls, tmp_path, "cp1", ca=None, client_certificate=None)
    seen = etcd.look(options)
    assert (seen["data"], seen["begun"], seen["members"]) == (False, None, None)
    assert list(tmp_path.iterdir()) == []


def test_only_a_log_is_data(tmp_path: Path) -> None:
    wal = tmp_path / "a [b]" / "wal"
    assert not etcd.has_data(str(wal))
    wal.mkdir(parents=True)
    (wal / "0.tmp").touch()
    (wal.parent / "snap").mkdir()
    assert not etcd.has_data(str(wal))
    (wal / "0000000000000000-0000000000000000.wal").touch()
    assert etcd.has_data(str(wal))


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        (None, None),
        ("", None),
        ("ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER=a=https://1:2380\n", None),
        (
            "ETCD_INITIAL_CLUSTER_STATE=new\nETCD_INITIAL_CLUSTER=b=https://2:2380,a=https://1:2380\n",
            ["https://1:2380", "https://2:2380"],
        ),
    ],
)
def test_with_whom_a_new_cluster_was_begun(tmp_path: Path, text: str | None, begun: list[str] | None) -> None:
    path = tmp_path / "bootstrap.env"
    if text is not None:
        path.write_text(text)
    assert etcd.begun_with(str(path)) == begun


def test_a_host_that_is_to_join_also_asks_who_is_healthy(
    fake_etcd: Any, etcd_tls: SimpleNamespace, tmp_path: Path
) -> None:
    fake_etcd.member("cp1")
    fake_etcd.member("cp3")
    fake_etcd.dead.add("cp3")
    key = Path(etcd_tls.client_key).read_text()
    options = wish(fake_etcd, etcd_tls, tmp_path, "cp2", "cp1")
    seen = etcd.look(options, key)
    assert (seen["data"], seen["cluster"], seen["reason"]) == (False, "77", None)
    assert list(seen["unhealthy"]) == ["cp3"]
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "1.wal").touch()
    assert etcd.look(options, key)["unhealthy"] == {}
    assert fake_etcd.verbs() == []


def test_why_no_member_answers_is_told(fake_etcd: Any, etcd_tls: SimpleNamespace, tmp_path: Path) -> None:
    seen = etcd.look(wish(fake_etcd, etcd_tls, tmp_path, "cp1"), Path(etcd_tls.client_key).read_text())
    assert seen["members"] is None
    assert "Connection refused" in seen["reason"]


# ---- leaving ----


def test_a_member_is_taken_out_once(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    for name in ("cp1", "cp2", "cp3"):
        fake_etcd.member(name)
    etcd.removed(connect("cp1", "cp2"), fake_etcd.entry("cp3")["ID"], 5)
    assert [entry["name"] for entry in fake_etcd.members] == ["cp1", "cp2"]
    etcd.removed(connect("cp1", "cp2"), "1002", 5)
    assert fake_etcd.verbs() == ["remove", "remove"]


def test_a_cluster_that_keeps_a_member_for_a_moment_is_asked_again(
    fake_etcd: Any, connect: Callable[..., Etcd]
) -> None:
    for name in ("cp1", "cp2", "cp3"):
        fake_etcd.member(name)
    fake_etcd.refusals["remove"] = [(503, "etcdserver: unhealthy cluster"), (503, "etcdserver: leader changed")]
    etcd.removed(connect("cp1"), fake_etcd.entry("cp3")["ID"], 5)
    assert fake_etcd.verbs() == ["remove"] * 3


def test_those_that_are_left_must_serve(fake_etcd: Any, connect: Callable[..., Etcd]) -> None:
    for name in ("cp1", "cp2", "cp3"):
        fake_etcd.member(name)
    fake_etcd.dead.add("cp2")
    with pytest.raises(EtcdError) as caught:
        etcd.removed(connect("cp1"), fake_etcd.entry("cp3")["ID"], 0)
    assert "too few of the members that are left serve: cp2: " in str(caught.value)
    assert fake_etcd.verbs() == []


def test_a_look_at_health_asks_every_member(fake_etcd: Any, etcd_tls: SimpleNamespace, tmp_path: Path) -> None:
    fake_etcd.member("cp1")
    fake_etcd.member("cp2")
    fake_etcd.dead.add("cp2")
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "0.wal").touch()
    key = Path(etcd_tls.client_key).read_text()
    asked = wish(fake_etcd, etcd_tls, tmp_path, "cp1")
    assert etcd.look(asked, key)["unhealthy"] == {}
    assert list(etcd.look({**asked, "health": True}, key)["unhealthy"]) == ["cp2"]


@pytest.mark.parametrize(
    ("where", "folders"),
    [
        ({"wal_dir": "/var/lib/etcd/member/wal", "data_dir": "/var/lib/etcd"}, ["/var/lib/etcd/member"]),
        ({"wal_dir": "/fast", "data_dir": "/var/lib/etcd"}, ["/fast", "/var/lib/etcd/member"]),
        ({"wal_dir": "/fast"}, ["/fast"]),
    ],
)
def test_where_a_members_data_is(where: dict[str, str], folders: list[str]) -> None:
    assert etcd.folders(where) == folders
