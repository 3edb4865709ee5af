"""What clients may notice of a loss, in seconds without a good answer, and how a server that is not ready is left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from lab_cluster import await_whole, group, lab

WAITS_AT_MOST = 5.0  # behind balancers that all share
ANSWERS_WITHIN = 8.0  # behind a balancer of each node's own (docs/nodes.md, docs/operations.md)
READS_WITHIN = 20.0  # for what is in etcd, when most that may be lost is
# Of what takes connections and says nothing: 6 s (docs/load-balancers.md), and a question that began before, which gives up after 3 s.
HUNG_WITHIN = 9.0
ENDED_WITHIN = 2.0  # of one that says before that it ends
LOOKS_ON = 10  # a client goes on for so long
NOTICES_WITHIN = 5  # after which no balancer may lead to a server that is not ready


def wait_without(
    name: str,
    asking: Any,
    playbook: Any,
    what: str,
    url: str,
    *arguments: str,
    meanwhile: Callable[[], None] = lambda: None,
) -> float:
    """Takes a host's power away for a while; gives how long a worker's client waited. With power again the cluster is whole."""
    asker = asking(group("worker")[0], url)
    lab("stop", name)
    try:
        meanwhile()
        waited = asker.longest_wait(what, LOOKS_ON)
    finally:
        lab("start", name)
    await_whole(playbook, *arguments)
    return waited


@contextlib.contextmanager
def stopped(host: Any, unit: str) -> Iterator[None]:
    """A unit is off for a while."""
    host.check_output(f"systemctl stop {unit}")
    try:
        yield
    finally:
        host.check_output(f"systemctl start {unit}")


@contextlib.contextmanager
def unreachable(host: Any, addresses: list[str]) -> Iterator[None]:
    """For a while what a host sends to others in its network gets lost: nobody there has this hardware address."""
    interface = f"$(ip -oneline route get {addresses[0]} | sed 's/.* dev \\([^ ]*\\).*/\\1/')"
    for address in addresses:
        host.check_output(f"ip neigh replace {address} lladdr 02:00:00:00:00:01 nud permanent dev {interface}")
    try:
        yield
    finally:
        for address in addresses:
            host.check_output(f"ip neigh del {address} dev {interface}")


def ends(host: Any, client: Any, what: str) -> None:
    """An API server ends: no request of a client's fails."""
    with stopped(host, "kube-apiserver"):
        assert client.longest_wait(what, LOOKS_ON) < ENDED_WITHIN
    assert client.failed == []


def hangs(host: Any, client: Any, what: str) -> None:
    """An API server takes connections and says nothing."""
    host.check_output("systemctl kill --signal=STOP kube-apiserver")
    try:
        assert client.longest_wait(what, LOOKS_ON) < HUNG_WITHIN
    finally:
        host.check_output("systemctl kill --signal=CONT kube-apiserver")


def leaves_out_who_is_not_ready(host: Any, client: Any, playbook: Any, what: str, *arguments: str) -> None:
    """Without its etcd member an API server lives and is not ready: soon no connection of a client's that asks for that leads to it.

    verify.yml says so of the server, and nothing of the balancers.
    """
    with stopped(host, "etcd"):
        assert client.longest_wait(what, LOOKS_ON) < HUNG_WITHIN
        itself = "curl -s --max-time 5 -o /dev/null -w '%{http_code}' --cacert /etc/kubernetes/pki/ca.crt"
        assert host.check_output(f"{itself} https://127.0.0.1:6443/readyz") == "500"
        result = playbook("playbooks/verify.yml", *arguments)
    assert "led to no ready API server" not in result.stdout, result.stdout[-4000:]
    assert result.returncode == 2
    assert "is not ready" in result.stdout
    unready = [float(line.split()[0]) for line in client.failed]
    assert not unready or unready[-1] - unready[0] < NOTICES_WITHIN, client.failed
