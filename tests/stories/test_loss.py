"""Hosts without power: any one of the control plane, a worker, and all of them at once."""

from __future__ import annotations

import json
import time

import pytest
from lab_cluster import (
    IMAGE,
    LEADING,
    await_rolled_out,
    await_whole,
    changed,
    changes_nothing,
    group,
    lab,
    leader,
    make_namespace,
    processes,
    restarted,
    roll_out,
    through,
)
from lab_losses import ANSWERS_WITHIN

CONTROL_PLANE = group("kube_apiserver")
WORKERS = group("worker")
MOVES_WITHIN = 120.0  # with a toleration of 10 s; the default toleration is 300 s


@pytest.mark.parametrize("lost", CONTROL_PLANE)
def test_any_control_plane_host(lost, on, playbook, kubectl, asking):
    """The API answers, leaders are elsewhere, new pods run; site.yml finishes for the rest; back, it heals by itself."""
    rest = [name for name in group("kube_node") if name not in (lost, WORKERS[1])]
    elsewhere = through(kubectl, next(name for name in CONTROL_PLANE if name != lost))
    before = processes(on, rest)
    client, reader = asking(WORKERS[0]), asking(WORKERS[0], reads=True)
    lab("stop", lost, WORKERS[1])
    try:
        # Until then new pods may be put where nobody will start them.
        elsewhere("wait", "node", WORKERS[1], "--for=condition=Ready=Unknown", "--timeout=90s")
        roll_out(elsewhere, f"survives-{lost}")
        assert lost not in {leader(elsewhere, unit) for unit in LEADING}
        assert client.longest_wait(f"{lost} lost") < ANSWERS_WITHIN
        assert reader.longest_wait(f"{lost} lost, for what is in etcd") < ANSWERS_WITHIN
        result = playbook("site.yml")
        assert result.returncode == 4, result.stdout[-4000:]
        for off in (lost, WORKERS[1]):
            assert f"fatal: [{off}]: UNREACHABLE!" in result.stdout
        assert restarted(before, processes(on, rest)) == set()
    finally:
        lab("start", lost, WORKERS[1])
    await_whole(playbook)
    healed = playbook("site.yml")
    assert healed.returncode == 0, healed.stdout[-4000:]
    assert sum(changed(healed.stdout).values()) <= 1, healed.stdout[-4000:]  # the kubeconfig's server, at most
    assert restarted(before, processes(on, rest)) == set()


def test_a_worker_that_stays_off_and_comes_back(playbook, kubectl, tell):
    """Its pods move once their toleration is over; back with power, it is Ready without a run."""
    lost, namespace = WORKERS[1], "moves"
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        for key in ("not-ready", "unreachable")
    ]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "tolerations": tolerations,
                    "containers": [{"name": "web", "image": IMAGE, "args": ["netexec"]}],
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": {"app": "web"}},
                        }
                    ],
                },
            },
        },
    }

    def places() -> list[str]:
        listed = json.loads(kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
        return [
            pod["spec"].get("nodeName", "")
            for pod in listed
            if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
        ]

    make_namespace(kubectl, namespace)
    kubectl("apply", "-f", "-", stdin=json.dumps(deployment))
    await_rolled_out(kubectl, namespace)
    assert lost in places()
    lab("stop", lost)
    try:
        start = time.monotonic()
        while len(places()) < 2 or lost in places():
            assert time.monotonic() - start < MOVES_WITHIN, kubectl("-n", namespace, "get", "pods", "-o", "wide")
            time.sleep(1)
        tell("pods of a lost worker ran elsewhere (they tolerate its loss for 10 s)", time.monotonic() - start)
    finally:
        lab("start", lost)
    kubectl("wait", "node", lost, "--for=condition=Ready", "--timeout=120s")
    kubectl("delete", "namespace", namespace, "--wait=false")
    await_whole(playbook)


def test_a_power_cut_of_all_hosts(playbook, tell):
    """All at once, and all back: whole without a run, and a run finds nothing to do."""
    lab("stop", *group("kube_node"))
    lab("start", *group("kube_node"))
    start = time.monotonic()
    await_whole(playbook)
    tell("verify.yml was green after a power cut of all hosts", time.monotonic() - start)
    result = playbook("site.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)
