"""What clients may notice of a loss, in seconds without a good answer, and how a server that is not ready is left out."""

from __future__ import annotations

import time
from typing import Any

from lab_cluster import await_whole, group, lab

WAITS_AT_MOST = 5.0  # behind balancers that all share
ANSWERS_WITHIN = 8.0  # behind a balancer of each node's own (docs/nodes.md, docs/operations.md)
READS_WITHIN = 20.0  # for what is in etcd, when most that may be lost is
# Of what takes connections and says nothing: 6 s (docs/load-balancers.md), and a question that began before, which gives up after 3 s.
HUNG_WITHIN = 9.0
LOOKS_ON = 10  # a client goes on for so long
NOTICES_WITHIN = 5  # after which no balancer may lead to a server that is not ready


def wait_without(name: str, asking: Any, playbook: Any, what: str, url: str, *arguments: str) -> float:
    """Takes a host's power away for a while; gives how long a worker's client waited. With power again the cluster is whole."""
    asker = asking(group("worker")[0], url)
    lab("stop", name)
    try:
        waited = asker.longest_wait(what, LOOKS_ON)
    finally:
        lab("start", name)
    await_whole(playbook, *arguments)
    return waited


def leaves_out_who_is_not_ready(on: Any, playbook: Any, server: str, *arguments: str) -> None:
    """Without its etcd member a server lives and is not ready: no connection of verify.yml leads to it."""
    on(server).check_output("systemctl stop etcd")
    end = time.monotonic() + NOTICES_WITHIN
    try:
        while True:
            began = time.monotonic()
            result = playbook("playbooks/verify.yml", *arguments)
            left_out = "led to no ready API server" not in result.stdout
            if left_out or began > end:
                break
    finally:
        on(server).check_output("systemctl start etcd")
    assert left_out, result.stdout[-4000:]
    assert result.returncode == 2
    assert "is not ready" in result.stdout
