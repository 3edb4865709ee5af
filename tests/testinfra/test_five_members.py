"""Three members of etcd become five, one learner after the other; two are lost, the leader among them; two leave in one run."""

from __future__ import annotations

import json

import pytest
from lab_cluster import (
    ETCDCTL,
    HOSTVARS,
    NAME,
    SERVERS,
    await_whole,
    changes_nothing,
    green,
    group,
    lab,
    processes,
    restarted,
    restarted_by_a_run,
    roll_out,
    through,
)
from lab_growth import Learners, grown
from lab_losses import READS_WITHIN
from lab_removal import is_bare, knowing, members, removal, words

THREE, NEW = group("etcd"), [name for name in group("later") if name.startswith("etcd")]
FIVE = THREE + NEW
pytestmark = [pytest.mark.last, pytest.mark.skipif(len(FIVE) != 5, reason="for an inventory with members to grow by")]


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """Options that put the new hosts into the group."""
    return grown(tmp_path_factory.mktemp("five"), etcd=NEW)


def leader(on) -> str:
    """The member that leads."""
    endpoints = ",".join(f"https://{HOSTVARS[name]['ansible_host']}:2379" for name in FIVE)
    told = on(FIVE[0]).check_output(f"{ETCDCTL.replace('https://127.0.0.1:2379', endpoints)} endpoint status -w json")
    states = {entry["Endpoint"]: entry["Status"] for entry in json.loads(told)}
    (found,) = [url for url, state in states.items() if state["leader"] == state["header"]["member_id"]]
    return next(name for name in FIVE if found == f"https://{HOSTVARS[name]['ansible_host']}:2379")


def test_nobody_joins_a_cluster_that_is_not_healthy(on, playbook, five):
    """Two of three serve, of which none could be missed once a fourth counts: refused, and nothing is changed."""
    on(THREE[1]).check_output("systemctl stop etcd")
    try:
        refused = playbook(*five, "site.yml")
    finally:
        on(THREE[1]).check_output("systemctl start etcd")
        await_whole(playbook)
    assert refused.returncode == 2, refused.stdout[-4000:]
    assert "can't join etcd while so many of its members do not serve" in words(refused)
    changes_nothing(refused)
    assert not on(NEW[0]).file("/etc/etcd").exists


def test_two_join_one_after_the_other(on, playbook, five):
    """Each is a learner first, and a voter before the next one comes; a run for all restarts API servers, which learn of them."""
    before = processes(on, THREE + SERVERS)
    with Learners(THREE[0]) as learners:
        green(playbook, *five, "site.yml", "--limit", ",".join(NEW))
    assert max(len(listed) for listed in learners.seen) == 1, learners.seen
    assert len(set().union(*learners.seen)) == len(NEW), learners.seen
    assert members(on, THREE[0]) == sorted(FIVE)
    assert restarted(before, processes(on, THREE + SERVERS)) == set()
    green(playbook, *five, "site.yml")
    assert restarted_by_a_run(before, processes(on, THREE + SERVERS)) == {(name, "kube-apiserver") for name in SERVERS}
    assert knowing(on, NEW[0], SERVERS) == set(SERVERS)
    changes_nothing(green(playbook, *five, "site.yml"))
    await_whole(playbook, *five)


def test_two_of_five_are_lost(on, playbook, kubectl, five, asking):
    """The leader and another one have no power, and the cluster works on."""
    first = leader(on)
    lost = [first, next(name for name in FIVE if name != first)]
    client = asking(group("worker")[0], reads=True)
    lab("stop", *lost)
    try:
        others = through(kubectl, SERVERS[0])
        roll_out(others, "two-of-five")
        assert client.longest_wait(f"{' and '.join(lost)} lost, of five members of etcd", READS_WITHIN) < READS_WITHIN
    finally:
        lab("start", *lost)
    await_whole(playbook, *five)


def test_two_leave_in_one_run(on, playbook, five):
    """Both names at once; three are left, and the inventory without them finds nothing to do."""
    before = processes(on, THREE + SERVERS)
    leaves = removal(",".join(NEW), f"remove_data={','.join(NEW)}", f"remove_confirm={NAME}")
    green(playbook, *five, *leaves)
    assert members(on, THREE[0]) == sorted(THREE)
    for name in NEW:
        is_bare(on, name, ["etcd"])
        assert knowing(on, name, SERVERS) == set()
    assert restarted_by_a_run(before, processes(on, THREE + SERVERS)) == {(name, "kube-apiserver") for name in SERVERS}
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)
