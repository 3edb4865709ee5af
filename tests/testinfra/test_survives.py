"""The failures that a topology promises to survive: any one host of the control plane, here one of each kind."""

from __future__ import annotations

import json

import pytest
from lab_cluster import (
    BALANCERS,
    HOSTS,
    NODES,
    SERVERS,
    UNITS,
    WORKERS,
    ask,
    await_whole,
    changed,
    changes_nothing,
    group,
    lab,
    roll_out,
    through,
    units,
)
from lab_losses import READS_WITHIN

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def kinds() -> list[str]:
    """The first host of each kind: hosts that run the same parts of the control plane, and each of them elsewhere too."""
    found: dict[tuple[str, ...], str] = {}
    for name in HOSTS:
        parts = tuple(unit for unit in CONTROL_PLANE if unit in units(name))
        if parts and all(len(UNITS[unit]) > 1 for unit in parts):
            found.setdefault(parts, name)
    return list(found.values())


def most() -> list[str]:
    """What may be lost at once: of etcd as many as leave most of it, and of each other part all but one."""
    lost = group("etcd")[: (len(group("etcd")) - 1) // 2]
    for unit in (*CONTROL_PLANE[1:], *(["load-balancer"] if BALANCERS else [])):
        lost += [name for name in UNITS[unit][:-1] if name not in lost and name not in group("etcd")]
    return lost


class TestOneHostLost:
    """While the host has no power."""

    @pytest.fixture(scope="class", autouse=True, params=kinds())
    def lost(self, request, playbook):
        """The host loses its power, and has it back after the class, which heals without a run."""
        lab("stop", request.param)
        yield request.param
        lab("start", request.param)
        await_whole(playbook)

    def test_the_api_answers_through_a_workers_balancer(self, on, lost):
        """Within seconds every question is answered again (403: a node may not read namespaces, and the API says so)."""
        worker = on(next(name for name in WORKERS if name != lost))
        answers = [worker.run(ask()).stdout for _question in range(12)]
        assert set(answers[-6:]) <= {"200", "403"}, answers

    def test_site_finishes_for_the_rest_and_names_what_it_skipped(self, playbook, lost):
        """The run ends with ansible's code for unreachable hosts, 4; only the administrator's kubeconfig turns elsewhere."""
        result = playbook("site.yml", "--diff")
        assert result.returncode == 4, result.stdout[-4000:]
        counts = {name: count for name, count in changed(result.stdout).items() if name != lost}
        turned = sum(counts.pop(name) for name in SERVERS if name in counts)
        assert turned <= (lost in SERVERS), result.stdout[-4000:]
        assert set(counts.values()) <= {0}, result.stdout[-4000:]
        assert f"fatal: [{lost}]: UNREACHABLE!" in result.stdout

    def test_a_new_deployment_is_scheduled(self, kubectl, lost):
        """The control plane still works: its leaders moved."""
        roll_out(kubectl, f"survives-{lost}")


@pytest.mark.skipif(len(most()) < 2, reason="no more than one host may be lost here")
def test_all_that_may_be_lost_at_once(playbook, kubectl, asking):
    """What is left of each part carries the cluster: what is in etcd is read, and new pods run."""
    lost = most()
    client = asking(next(name for name in WORKERS if name not in lost), reads=True)
    lab("stop", *lost)
    try:
        roll_out(through(kubectl, next(name for name in SERVERS if name not in lost)), "most-is-lost")
        assert client.longest_wait(f"{', '.join(lost)} lost at once", READS_WITHIN) < READS_WITHIN
    finally:
        lab("start", *lost)
    await_whole(playbook)


@pytest.mark.skipif(not kinds(), reason="nothing stands in for the only host")
def test_afterwards_nothing_is_left_to_do(kubectl, playbook):
    """All nodes are there, and a run finds nothing to do anywhere."""
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    assert len(nodes) == len(NODES)
    healed = playbook("site.yml")
    assert healed.returncode == 0, healed.stdout[-4000:]
    changes_nothing(healed)
