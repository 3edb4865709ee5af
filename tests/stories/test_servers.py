"""An API server killed, hung, ended or not ready, behind balancers for all or a worker's own: what a client on a worker notices."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab_asker import ASKS_BEFORE
from lab_cluster import BALANCED_API, SERVERS, WORKERS, ask, await_whole, connect
from lab_losses import HUNG_WITHIN, LOOKS_ON, WAITS_AT_MOST, ends, hangs, leaves_out_who_is_not_ready, stopped

SERVER, WORKER = SERVERS[0], WORKERS[0]
WATCHES, WATCHED_FOR = 30, 30  # connections, and seconds


@pytest.fixture(autouse=True)
def whole(playbook):
    """Each one has all servers, and leaves them."""
    yield
    await_whole(playbook)


def test_one_that_is_killed(asking, on):
    """Its host refuses connections, and the balancer takes another server for them."""
    client = asking(WORKER)
    on(SERVER).check_output("systemctl kill --signal=KILL kube-apiserver")
    with stopped(on(SERVER), "kube-apiserver"):
        assert client.longest_wait("an API server killed", LOOKS_ON) < WAITS_AT_MOST


def test_one_that_hangs(asking, on):
    """It takes connections and says nothing: two questions of the balancer's must go without an answer first."""
    hangs(on(SERVER), asking(WORKER), "an API server hung")


def test_one_that_ends(asking, on):
    """It says so for a while before it stops listening: no request fails."""
    ends(on(SERVER), asking(WORKER), "an API server ended")


def test_one_that_is_not_ready(asking, on, playbook):
    """It gets no connection."""
    leaves_out_who_is_not_ready(on(SERVER), asking(WORKER, ready=True), playbook, "an API server not ready")


def test_watches_on_one_that_hangs_are_cut(on):
    """Their clients would wait for news in vain. Those on other servers go on."""
    watch = ask(BALANCED_API, "/api/v1/services?watch=true", WATCHED_FOR)
    began = "began=$(date +%s.%N)"
    one = f'(code=$({watch}); echo "$code $began $(date +%s.%N)") &'
    script = f"{began}; for number in $(seq {WATCHES}); do {one} done; wait"
    with ThreadPoolExecutor() as pool:
        told = pool.submit(connect(WORKER).check_output, "bash -c %s", script)
        time.sleep(ASKS_BEFORE)  # nothing tells from outside that all are open
        on(SERVER).check_output("systemctl kill --signal=STOP kube-apiserver")
        try:
            lines = [line.split() for line in told.result().splitlines()]
        finally:
            on(SERVER).check_output("systemctl kill --signal=CONT kube-apiserver")
    assert {code for code, _, _ in lines} == {"200"}
    lasted = sorted(float(end) - float(start) for _, start, end in lines)
    assert len(lasted) == WATCHES
    cut = [seconds for seconds in lasted if seconds < WATCHED_FOR - 1]
    assert 0 < len(cut) < WATCHES, lasted
    assert ASKS_BEFORE < cut[0], lasted
    assert cut[-1] < ASKS_BEFORE + HUNG_WITHIN, lasted
