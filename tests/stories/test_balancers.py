"""Balancers on hosts of their own, one of them lost at a time, and a host behind them: what a client notices."""

from __future__ import annotations

import contextlib
import time

import pytest
from lab_cluster import (
    BALANCERS,
    HOSTVARS,
    SERVERS,
    await_whole,
    changes_nothing,
    green,
    group,
    holders,
    lab,
    processes,
    restarted,
)
from lab_losses import HUNG_WITHIN, LOOKS_ON, WAITS_AT_MOST, stopped, unreachable

pytestmark = pytest.mark.skipif(not BALANCERS, reason="no host balances for others here")
WORKER = group("worker")[0]


def holder(on, names: list[str] = BALANCERS) -> str:
    """The host that has the virtual address, once one has."""
    end = time.monotonic() + 30
    while True:
        found = holders(on, names)
        if len(found) == 1 or time.monotonic() > end:
            break
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def asker(asking):
    """A client on a worker, at the address that all share."""
    return asking(WORKER)


def test_a_balancers_host_without_power(asker, on, playbook):
    """The address moves; a run finishes for the rest and restarts nothing; with power again it stays where it is."""
    lost = holder(on)
    rest = [name for name in group("kube_node") + BALANCERS if name != lost]
    before = processes(on, rest)
    lab("stop", lost)
    try:
        gap = asker.longest_wait("a balancer's host lost", LOOKS_ON)
        now = holder(on, [name for name in BALANCERS if name != lost])
        assert gap < WAITS_AT_MOST
        result = playbook("site.yml")
        assert result.returncode == 4, result.stdout[-4000:]
        assert f"fatal: [{lost}]: UNREACHABLE!" in result.stdout
    finally:
        lab("start", lost)
    await_whole(playbook)
    assert holder(on) == now
    changes_nothing(green(playbook, "site.yml"))
    assert restarted(before, processes(on, rest)) == set()


def test_a_balancer_whose_process_is_killed(asker, on):
    """The process comes back by itself; before it does, the address has moved or nobody noticed."""
    on(holder(on)).check_output("systemctl kill --signal=KILL load-balancer")
    assert asker.longest_wait("a balancer's process killed", LOOKS_ON) < WAITS_AT_MOST


def test_keepalived_killed(asker, on):
    """It had no time to give the address back: the unit does."""
    name = holder(on)
    on(name).check_output("systemctl kill --signal=KILL virtual-address")
    assert asker.longest_wait("keepalived killed", LOOKS_ON) < WAITS_AT_MOST
    assert holder(on)


def test_an_address_that_is_moved_on_purpose(asker, on):
    """The way to work on a host: stop the unit that holds the address."""
    name = holder(on)
    on(name).check_output("systemctl stop virtual-address")
    try:
        assert asker.longest_wait("the address moved on purpose", LOOKS_ON) < 2.0
        assert holder(on) != name
    finally:
        on(name).check_output("systemctl start virtual-address")


def test_a_balancer_that_hangs(asker, on):
    """It holds the address and leads nowhere, so that the address moves."""
    name = holder(on)
    on(name).check_output("systemctl kill --signal=STOP load-balancer")
    try:
        assert asker.longest_wait("a balancer hung", LOOKS_ON) < HUNG_WITHIN
        assert holder(on) != name
    finally:
        on(name).check_output("systemctl kill --signal=CONT load-balancer")


def test_a_balancer_with_no_way_to_the_api_servers(asker, on):
    """It notices by itself that they are silent, and gives the address away: another host's balancer leads somewhere."""
    name = holder(on)
    with unreachable(on(name), [HOSTVARS[server]["ansible_host"] for server in SERVERS]):
        assert asker.longest_wait("a balancer's way to all API servers lost", LOOKS_ON) < HUNG_WITHIN
        assert holder(on) != name


def test_no_api_server_at_all(on, playbook):
    """The address stays where it is: no other host would do better."""
    name = holder(on)
    with contextlib.ExitStack() as off:
        for server in SERVERS:
            off.enter_context(stopped(on(server), "kube-apiserver"))
        end = time.monotonic() + LOOKS_ON
        while time.monotonic() < end:
            assert holders(on) == [name]
    await_whole(playbook)


def test_an_api_servers_host_without_power(asker, playbook):
    """Nobody refuses anything: the balancer notices by itself."""
    lab("stop", SERVERS[0])
    try:
        assert asker.longest_wait("an API server's host lost", LOOKS_ON) < WAITS_AT_MOST
    finally:
        lab("start", SERVERS[0])
    await_whole(playbook)
