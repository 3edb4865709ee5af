"""Turns between runs of several controllers: one has it, a killed one loses it, and no API leaves everyone to the gates."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import kube_api
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import ApiError
from ansible_collections.hardway.kubernetes.plugins.module_utils.lease import Lease, free, held

PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


class Server:
    """An API that keeps one Lease and refuses a version that is not the newest."""

    def __init__(self) -> None:
        self.found: dict[str, Any] | None = None
        self.down = False
        self.absent = False
        self.fails = 0  # so many requests

    def get(self, path: str) -> dict[str, Any] | None:
        assert path == PATH + "/turns"
        if self.down:
            raise ApiError(0, "no API server answered")
        if self.absent:
            raise ApiError(0, "no API server answered", absent=True)
        self._fail()
        return self.found

    def _fail(self) -> None:
        if self.fails:
            self.fails -= 1
            raise ApiError(500, "etcdserver: request timed out")

    def request(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.down:
            raise ApiError(0, "no API server answered")
        self._fail()
        version = (self.found or {"metadata": {}})["metadata"].get("resourceVersion")
        if (method, path) != (("PUT", PATH + "/turns") if self.found else ("POST", PATH)):
            raise ApiError(409, "exists")
        if body["metadata"].get("resourceVersion") != version:
            raise ApiError(409, "conflict")
        self.found = {**body, "metadata": {**body["metadata"], "resourceVersion": str(int(version or 0) + 1)}}
        return self.found


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves; its one entry is the time in seconds."""
    clock = [100.0]
    monkeypatch.setattr(kube_api.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(kube_api.time, "sleep", lambda seconds: clock.append(clock.pop() + seconds))
    return clock


@pytest.fixture
def server(now: list[float]) -> Server:
    return Server()


def lease(server: Server, holder: str, seconds: int = 60) -> Lease:
    return Lease(server, "turns", holder, seconds)


def test_one_has_it_until_it_is_given_back(server: Server) -> None:
    first, second = lease(server, "a"), lease(server, "b")
    assert first.take() is None
    assert second.take() == "a"
    first.give_back()
    assert second.take() is None
    assert server.found and server.found["spec"]["holderIdentity"] == "b"


def test_two_at_the_same_moment(server: Server) -> None:
    """Both saw it free; the API takes one."""
    first, second = lease(server, "a"), lease(server, "b")
    assert first.take() is None
    first.give_back()
    seen = dict(server.found or {})
    assert first.take() is None
    server.get = lambda path: seen  # type: ignore[method-assign]
    assert second.take() == "another run, just now"


def test_what_a_killed_run_had_is_free_once_its_time_is_over(server: Server) -> None:
    lease(server, "killed", 60).take()
    assert server.found
    now = datetime.datetime.now(datetime.timezone.utc)
    assert not free(server.found, now + datetime.timedelta(seconds=65))  # clocks may differ
    assert free(server.found, now + datetime.timedelta(seconds=75))


def test_it_is_given_back_when_the_work_fails(server: Server) -> None:
    with pytest.raises(SystemExit), held(lease(server, "a"), 10) as other:
        assert other is None
        raise SystemExit
    assert lease(server, "b").take() is None


def test_after_the_wait_it_is_told_who_has_it(server: Server) -> None:
    lease(server, "a").take()
    with held(lease(server, "b"), 0) as other:
        assert other == "a"
    assert server.found and server.found["spec"]["holderIdentity"] == "a"


def test_without_an_api_the_gate_decides_alone(server: Server) -> None:
    server.down = True
    with held(lease(server, "a"), 60) as other:
        assert other is None


def test_an_api_that_refuses_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise ApiError(403, "forbidden")

    monkeypatch.setattr(server, "get", refuse)
    with pytest.raises(ApiError, match="forbidden"), held(lease(server, "a"), 10):
        raise AssertionError("it went on")


def test_a_write_that_fails_beside_a_restart_of_etcd_is_tried_again(server: Server) -> None:
    """Otherwise everyone would wait until the Lease's time is over."""
    server.fails = 2
    with held(lease(server, "a"), 10) as other:
        assert other is None
        assert server.found and server.found["spec"]["holderIdentity"] == "a"
        server.fails = 3
    assert server.found["spec"]["holderIdentity"] == ""


def test_an_api_that_goes_on_failing_leaves_it_to_the_gate(server: Server, now: list[float]) -> None:
    """Its etcd may be what the run comes to mend. But a question that three servers leave unanswered takes 15 s by itself."""
    server.fails = 10**6
    with held(lease(server, "a"), 600) as other:
        assert other is None
        assert 60 <= now[0] - 100 < 65


def test_where_nobody_listens_it_is_left_sooner(server: Server, now: list[float]) -> None:
    """Such as after an installation that was killed."""
    server.absent = True
    with held(lease(server, "a"), 600) as other:
        assert other is None
        assert 15 <= now[0] - 100 < 20


def test_one_failure_after_a_long_wait_gives_nobody_the_turn(server: Server, now: list[float]) -> None:
    """The one who has it is restarting etcd, which is why the API fails."""
    lease(server, "a", 150).take()
    take = server.get

    def get(path: str) -> dict[str, Any] | None:
        server.fails = int(20 < now[0] - 100 < 30)
        return take(path)

    server.get = get  # type: ignore[method-assign]
    with held(lease(server, "b"), 60) as other:
        assert other == "a"
    assert now[0] - 100 > 60


def test_a_write_that_went_well_but_was_answered_with_a_failure(server: Server, now: list[float]) -> None:
    """etcd took it and was restarted before it said so: nobody waits for himself."""
    request = server.request

    def unsure(*args: Any) -> None:
        request(*args)
        server.request = request  # type: ignore[method-assign]
        raise ApiError(500, "etcdserver: request timed out")

    server.request = unsure  # type: ignore[method-assign]
    with held(lease(server, "a"), 60) as other:
        assert other is None
    assert now[0] - 100 < 5
    assert server.found and server.found["spec"]["holderIdentity"] == ""


def test_what_another_has_by_now_is_not_taken_back(server: Server) -> None:
    first, second = lease(server, "a"), lease(server, "b")
    first.take()
    server.found = {**(server.found or {}), "metadata": {"resourceVersion": "7"}}
    first.give_back()
    assert server.found["spec"]["holderIdentity"] == "a"
    assert second.take() == "a"
