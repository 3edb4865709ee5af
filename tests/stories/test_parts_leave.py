"""Hosts leave and come back, alive and dead: of etcd, the API, the managers, and balancers; a client asks all the while.

Nodes do so in test_nodes_come_and_go.py; here only one that serves the API behind balancers that all share.
"""

from __future__ import annotations

import pytest
from lab_cluster import (
    BALANCERS,
    HOSTS,
    NAME,
    NODES,
    SERVERS,
    UNITS,
    VIRTUAL_ADDRESS,
    await_whole,
    changes_nothing,
    green,
    group,
    holders,
    lab,
    processes,
    restarted_by_a_run,
    units,
)
from lab_losses import ANSWERS_WITHIN
from lab_removal import is_bare, knowing, members, nodes, old_data_is_moved_away, removal, words

NOT_NOTICED = 2.0  # the same where whoever has the virtual address keeps it
# Service of a part to the service that learns of its hosts, on hosts that stay.
LEARNS = {"etcd": "kube-apiserver", "kube-apiserver": "load-balancer", "virtual-address": "virtual-address"}
RELOADS = {"virtual-address"}  # learn without a restart


def apart() -> list[str]:
    """The first host of each part that is no node; of the API servers one that is, where all share balancers."""
    found: dict[str, str] = {}
    for name in HOSTS:
        for unit in units(name) if name not in NODES or (BALANCERS and name in SERVERS) else []:
            found.setdefault(unit, name)
    return list(dict.fromkeys(found.values()))


APART = apart()
pytestmark = [pytest.mark.usefixtures("healed"), pytest.mark.skipif(not APART, reason="every host is a node here")]


def who(on, name: str) -> str:
    """This host, or of the balancers the one that has the virtual address."""
    return holders(on)[0] if name in BALANCERS and VIRTUAL_ADDRESS else name


def learners(lost: str) -> set[tuple[str, str]]:
    """Other hosts and their services that learn when this one leaves or comes back."""
    learn = {LEARNS[unit] for unit in units(lost) if unit in LEARNS}
    if set(group("etcd")) & set(SERVERS):  # each server asks the member beside it
        learn -= {"kube-apiserver"}
    return {(name, unit) for unit in learn for name in UNITS[unit] if name != lost}


def others_know(on, lost: str, gone: list[str]) -> None:
    """Nobody asks a host that is gone, and all ask one that is there; one of the balancers has the virtual address."""
    assert knowing(on, lost, HOSTS) == (set() if gone else {name for name, _unit in learners(lost)})
    stay = [name for name in group("etcd") if name not in gone]
    assert members(on, stay[0]) == sorted(stay)
    if VIRTUAL_ADDRESS:
        assert len(holders(on, [name for name in BALANCERS if name not in gone])) == 1


def alone_it_would_hold_the_address_too(playbook, name: str) -> None:
    """A run with --limit leaves out who must hear of the new one: nothing is changed, and the words name them."""
    refused = playbook("site.yml", "--limit", name)
    assert refused.returncode == 2, refused.stdout[-4000:]
    changes_nothing(refused)
    assert "The virtual address would have two holders" in words(refused)
    unheard = ", ".join(other for other in BALANCERS if other != name)
    assert f"{name}: runs keepalived anew or with other settings, and this run leaves out {unheard}" in words(refused)


@pytest.mark.parametrize("lost", APART)
def test_one_that_lives(on, playbook, kubectl, asking, lost):
    """Removed with its data, and added again as a new host, alone and then for all; of the balancers, the one with the address."""
    lost = who(on, lost)
    rest = [name for name in HOSTS if name != lost]
    before = processes(on, rest)
    client = asking(group("worker")[0])
    leaves = removal(lost, f"remove_data={lost}", f"remove_confirm={NAME}")
    green(playbook, *leaves)
    is_bare(on, lost)
    others_know(on, lost, [lost])
    assert nodes(kubectl) == sorted(name for name in NODES if name != lost)
    learned = {(name, unit) for name, unit in learners(lost) if unit not in RELOADS}
    assert restarted_by_a_run(before, processes(on, rest)) == learned
    assert client.longest_wait(f"{lost} was removed") < ANSWERS_WITHIN
    changes_nothing(green(playbook, *leaves))

    before = processes(on, rest)
    if lost in BALANCERS and VIRTUAL_ADDRESS:
        alone_it_would_hold_the_address_too(playbook, lost)
    client = asking(group("worker")[0])
    if lost not in BALANCERS or not VIRTUAL_ADDRESS:
        green(playbook, "site.yml", "--limit", lost)
        assert restarted_by_a_run(before, processes(on, rest)) == set()
    green(playbook, "site.yml")
    assert client.longest_wait(f"{lost} was added") < (NOT_NOTICED if lost in BALANCERS else ANSWERS_WITHIN)
    others_know(on, lost, [])
    assert restarted_by_a_run(before, processes(on, rest)) == learned
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)


@pytest.mark.parametrize("lost", APART[1::2] or APART)
def test_one_that_is_dead(on, playbook, kubectl, asking, lost):
    """It is gone from whatever knew it; with power again a run makes it a new host. Of the balancers, the one with the address."""
    lost = who(on, lost)
    lab("stop", lost)
    try:
        client = asking(group("worker")[0])
        green(playbook, *removal(lost, f"remove_dead={lost}"))
        waited = client.longest_wait(f"{lost} was removed after its end")
        assert waited < (NOT_NOTICED if lost in BALANCERS else ANSWERS_WITHIN)
        others_know(on, lost, [lost])
        assert nodes(kubectl) == sorted(name for name in NODES if name != lost)
        changes_nothing(green(playbook, *removal(lost, f"remove_dead={lost}")))
    finally:
        lab("start", lost)
    if "etcd" in units(lost):
        old_data_is_moved_away(on, playbook, lost)
    green(playbook, "site.yml")
    if "etcd" in units(lost):
        on(lost).check_output("rm -r /var/lib/etcd/member.removed")
    others_know(on, lost, [])
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)
