"""Hosts leave and come back: a worker and the first control-plane host, alive and dead, while a client asks all the while."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from lab_cluster import (
    HOSTVARS,
    IMAGE,
    INVENTORY,
    NAME,
    await_rolled_out,
    await_whole,
    changed,
    changes_nothing,
    green,
    group,
    lab,
    make_namespace,
    processes,
    restarted,
    through,
    units,
)
from lab_losses import ANSWERS_WITHIN
from lab_removal import is_bare, members, nodes, old_data_is_moved_away, removal, words

CONTROL_PLANE = group("kube_apiserver")
WORKERS = group("worker")
HOSTS = group("kube_node")
NAMESPACE = "come-and-go"
# Seconds; each run goes on where the last one was killed, after some 5 s of looking.
KILLED_AFTER = [5, 8, 11, 14, 17, 20]
pytestmark = pytest.mark.usefixtures("healed")


def without(folder: Path, name: str) -> list[str]:
    """Options that give the lab's inventory without a host."""
    hosts = {host: dict(variables) for host, variables in HOSTVARS.items() if host != name}
    children = {}
    for title, listed in INVENTORY.items():
        if title not in ("_meta", "all"):
            members = {host: {} for host in listed.get("hosts", []) if host != name}
            children[title] = {"hosts": members, "children": {child: {} for child in listed.get("children", [])}}
    path = folder / "smaller.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts, "children": children}}))
    return ["-i", str(path)]


def two_pods_on(name: str, kubectl) -> None:
    """A Deployment whose pods are both on one worker; each takes some seconds until it is ready. Elsewhere they may go later."""
    others = [worker for worker in WORKERS if worker != name]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "initialDelaySeconds": 4, "periodSeconds": 1}
    container = {"name": "web", "image": IMAGE, "args": ["netexec"], "readinessProbe": probe}
    pods = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 2},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": pods}
    metadata = {"name": "web", "namespace": NAMESPACE}
    wish = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    make_namespace(kubectl, NAMESPACE)
    for other in others:
        kubectl("cordon", other)
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(wish))
        await_rolled_out(kubectl, NAMESPACE)
    finally:
        for other in others:
            kubectl("uncordon", other)


@pytest.fixture
def namespace_goes(kubectl):
    """Whatever a test leaves in the namespace goes with it."""
    yield
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true", "--timeout=120s")


@pytest.mark.usefixtures("namespace_goes")
def test_a_worker_that_lives(on, playbook, kubectl, tmp_path):
    """A budget that keeps a pod stops the run in time; one that only delays is waited for; back again by --limit."""
    lost = WORKERS[-1]
    rest = [name for name in HOSTS if name != lost]
    before = processes(on, rest)
    two_pods_on(lost, kubectl)
    kubectl("-n", NAMESPACE, "create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
    alone = {"apiVersion": "v1", "spec": {"nodeName": lost}}
    kubectl("-n", NAMESPACE, "run", "alone", f"--image={IMAGE}", f"--overrides={json.dumps(alone)}", "--", "pause")

    refused = playbook(*removal(lost))
    assert refused.returncode == 2, refused.stdout[-4000:]
    assert f"{lost}: runs pods that nobody makes anew elsewhere: {NAMESPACE}/alone" in words(refused)
    changes_nothing(refused)
    kubectl("-n", NAMESPACE, "delete", "pod", "alone", "--grace-period=1")

    kept = playbook(*removal(lost, "kubelet__drain_within=15"))
    assert kept.returncode == 2, kept.stdout[-4000:]
    assert f"not everything has left {lost} within 15 s" in words(kept)
    assert re.search(rf"{NAMESPACE}/web-\S+ on {lost}: is kept: .*disruption budget web", words(kept)), words(kept)[
        -2000:
    ]
    assert json.loads(kubectl("get", "node", lost, "-o", "json"))["spec"]["unschedulable"] is True
    assert [unit for unit in units(lost) if not on(lost).service(unit).is_running] == []

    kubectl("-n", NAMESPACE, "patch", "pdb", "web", "--type=merge", "-p", '{"spec": {"minAvailable": 1}}')
    shown = green(playbook, *removal(lost), "--check", "--diff")
    assert sum(changed(shown.stdout).values()) > 0
    assert f"pod {NAMESPACE}/web-" in words(shown)
    assert lost in nodes(kubectl)
    green(playbook, *removal(lost))
    assert nodes(kubectl) == sorted(rest)
    await_rolled_out(kubectl, NAMESPACE)
    is_bare(on, lost)
    assert on(lost).file("/var/lib/kubelet").exists  # data stays unless it is named
    assert restarted(before, processes(on, rest)) == set()

    changes_nothing(green(playbook, *removal(lost)))
    changes_nothing(green(playbook, *without(tmp_path, lost), "site.yml"))
    green(playbook, *without(tmp_path, lost), "playbooks/verify.yml")

    added = green(playbook, "site.yml", "--limit", lost)
    assert set(changed(added.stdout)) == {lost}
    kubectl("wait", "node", lost, "--for=condition=Ready", "--timeout=60s")
    assert not json.loads(kubectl("get", "node", lost, "-o", "json"))["spec"].get("unschedulable")
    assert restarted(before, processes(on, rest)) == set()
    await_whole(playbook)


def test_the_first_control_plane_host_is_replaced(on, playbook, kubectl, tmp_path, asking):
    """Removed with its data and added again as a new host. Only balancers are restarted, and the API answers."""
    lost = CONTROL_PLANE[0]
    rest = [name for name in HOSTS if name != lost]
    stays = CONTROL_PLANE[1]
    elsewhere = through(kubectl, stays)
    before = processes(on, rest)
    client = asking(WORKERS[0])
    data = [f"remove_data={lost}"]
    refused = playbook(*removal(lost, *data))
    assert refused.returncode == 2, refused.stdout[-4000:]
    assert f"-e remove_confirm={NAME}" in words(refused)
    green(playbook, *removal(lost, *data, f"remove_confirm={NAME}"))
    assert members(on, stays) == sorted(CONTROL_PLANE[1:])
    assert nodes(elsewhere) == sorted(rest)
    is_bare(on, lost)
    assert on(lost).run("ls -A /var/lib/etcd 2>/dev/null").stdout == ""
    assert restarted(before, processes(on, rest)) == {(name, "load-balancer") for name in rest}
    for name in rest:
        assert (
            HOSTVARS[lost]["ansible_host"]
            not in on(name).file("/etc/kubernetes/load-balancer/haproxy.cfg").content_string
        )
    assert nodes(kubectl) == sorted(rest)  # the kubeconfig has another server now

    changes_nothing(green(playbook, *removal(lost)))
    even = playbook(*without(tmp_path, lost), "site.yml")
    assert even.returncode == 2
    assert "has 2 members, an even number" in words(even)

    before = processes(on, rest)
    alone = green(playbook, "site.yml", "--limit", lost)
    assert set(changed(alone.stdout)) == {lost}
    assert members(on, stays) == sorted(CONTROL_PLANE)
    assert restarted(before, processes(on, rest)) == set()
    green(playbook, "site.yml")  # the others' balancers learn of it
    assert client.longest_wait(f"{lost} was replaced") < ANSWERS_WITHIN
    assert restarted(before, processes(on, rest)) == {(name, "load-balancer") for name in rest}
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)


def test_a_removal_that_is_killed(on, playbook, kubectl, kill_after):
    """At one point after the other; the next run finishes it, and the host comes back as a new one."""
    lost, stays = CONTROL_PLANE[-1], CONTROL_PLANE[0]
    rest = [name for name in HOSTS if name != lost]
    leaves = removal(lost, f"remove_data={lost}", f"remove_confirm={NAME}")
    killed = [kill_after(seconds, *leaves) for seconds in KILLED_AFTER]
    assert killed.count(True) >= len(KILLED_AFTER) // 2, killed
    green(playbook, *leaves)
    assert members(on, stays) == sorted(CONTROL_PLANE[:-1])
    assert nodes(through(kubectl, stays)) == sorted(rest)
    is_bare(on, lost)
    changes_nothing(green(playbook, *leaves))
    green(playbook, "site.yml")
    assert members(on, stays) == sorted(CONTROL_PLANE)
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)


def test_a_worker_that_is_dead(playbook, kubectl):
    """Silence is not enough. Named dead, its pods are given up and it is gone; with power again it is added by a run."""
    lost = WORKERS[-1]
    lab("stop", lost)
    try:
        refused = playbook(*removal(lost))
        assert refused.returncode == 2, refused.stdout[-4000:]
        assert f"-e remove_dead={lost}" in words(refused)
        changes_nothing(refused)
        green(playbook, *removal(lost, f"remove_dead={lost}"))
        assert lost not in nodes(kubectl)
        changes_nothing(green(playbook, *removal(lost, f"remove_dead={lost}")))
    finally:
        lab("start", lost)
    green(playbook, "site.yml")
    kubectl("wait", "node", lost, "--for=condition=Ready", "--timeout=120s")
    await_whole(playbook)


def test_a_control_plane_host_that_is_dead(on, playbook, kubectl, asking):
    """It goes from etcd, the API and the balancers. With power again its old data is in the way, and the run says how to mend it."""
    lost = CONTROL_PLANE[0]
    rest = [name for name in HOSTS if name != lost]
    stays = CONTROL_PLANE[1]
    client = asking(WORKERS[0])
    lab("stop", lost)
    try:
        green(playbook, *removal(lost, f"remove_dead={lost}"))
        assert client.longest_wait(f"{lost} died and was removed") < ANSWERS_WITHIN
        assert members(on, stays) == sorted(CONTROL_PLANE[1:])
        assert nodes(through(kubectl, stays)) == sorted(rest)
    finally:
        lab("start", lost)
    before = processes(on, rest)
    old_data_is_moved_away(on, playbook, lost)
    green(playbook, "site.yml")
    assert members(on, stays) == sorted(CONTROL_PLANE)
    on(lost).check_output("rm -r /var/lib/etcd/member.removed")
    assert restarted(before, processes(on, rest)) == {(name, "load-balancer") for name in rest}
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)


def test_a_member_that_is_needed_stays(on, playbook):
    """With one member off no other leaves, and nothing is changed."""
    off, asked = CONTROL_PLANE[-1], CONTROL_PLANE[0]
    rest = [name for name in HOSTS if name != off]
    before = processes(on, rest)
    lab("stop", off)
    try:
        refused = playbook(*removal(asked))
        assert refused.returncode == 4, refused.stdout[-4000:]  # a host that stays could not be reached
        assert f"{asked}: can't leave etcd: of the 2 members that would be left 1 serve" in words(refused)
        changes_nothing(refused)
        assert restarted(before, processes(on, rest)) == set()
    finally:
        lab("start", off)
    await_whole(playbook)
