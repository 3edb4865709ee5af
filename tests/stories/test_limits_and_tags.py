"""A part of the cluster, or a part of the work: --limit and --tags do that and touch nothing else."""

from __future__ import annotations

import json
import re
import time

from lab_cluster import HOSTVARS, REPOSITORY, changed, group, processes, restarted

HOSTS = group("kube_node")
WORKERS = group("worker")


def hosts_of(output: str) -> set[str]:
    """Hosts that a run had to do with."""
    return set(changed(output))


def test_limit_to_any_one_host_of_a_running_cluster(on, playbook):
    """Nothing to change, on no host, and no other host in the recap."""
    for name in HOSTS:
        result = playbook("site.yml", "--limit", name)
        assert result.returncode == 0, result.stdout[-4000:]
        assert changed(result.stdout) == {name: 0}, result.stdout[-4000:]


def test_a_worker_that_is_taken_away_and_added(on, playbook, kubectl, tell):
    """With --limit only its host is touched, on the way out and in; no process of another host is restarted."""
    lost = WORKERS[-1]
    rest = [name for name in HOSTS if name != lost]
    before = processes(on, rest)
    confirm = f"reset_confirm={HOSTVARS[lost]['cluster_name']}"
    away = playbook("playbooks/reset.yml", "--limit", lost, "-e", "reset_data=true", "-e", confirm)
    assert away.returncode == 0, away.stdout[-4000:]
    assert hosts_of(away.stdout) == {lost}
    kubectl("delete", "node", lost)
    start = time.monotonic()
    added = playbook("site.yml", "--limit", lost)
    tell("a worker was added", time.monotonic() - start)
    assert added.returncode == 0, added.stdout[-4000:]
    assert hosts_of(added.stdout) == {lost}
    assert restarted(before, processes(on, rest)) == set()
    kubectl("wait", "node", lost, "--for=condition=Ready", "--timeout=60s")
    verified = playbook("playbooks/verify.yml")
    assert verified.returncode == 0, verified.stdout[-4000:]


def test_a_components_tag_leaves_the_others_alone(on, playbook):
    """Two changes in the inventory, one tag: one of them is made, and the other is still to do."""
    both = json.dumps({"kube_scheduler__flags": {"v": 1}, "kube_controller_manager__flags": {"v": 1}})
    before = processes(on, HOSTS)
    result = playbook("site.yml", "-e", both, "--tags", "kube_scheduler")
    assert result.returncode == 0, result.stdout[-4000:]
    assert restarted(before, processes(on, HOSTS)) == {(name, "kube-scheduler") for name in group("kube_scheduler")}
    shown = playbook("site.yml", "-e", both, "--check")
    assert {name for name, count in changed(shown.stdout).items() if count} == set(group("kube_controller_manager"))
    assert playbook("site.yml").returncode == 0


def test_the_tag_certificates_renews_and_restarts_nothing(on, playbook):
    """A new name in a certificate: issued with the tag; the processes are replaced by the next run, or with the tag restart."""
    new = f"tagged-{time.time_ns()}.example"  # certificates keep the names of an earlier run
    name = json.dumps({"kube_apiserver__extra_sans": [new]})
    before = processes(on, HOSTS)
    result = playbook("site.yml", "-e", name, "--tags", "certificates")
    assert result.returncode == 0, result.stdout[-4000:]
    serving = on(group("kube_apiserver")[0]).check_output(
        "openssl x509 -noout -ext subjectAltName -in /etc/kubernetes/kube-apiserver/pki/serving.crt"
    )
    assert new in serving
    assert restarted(before, processes(on, HOSTS)) == set()
    result = playbook("site.yml", "-e", name, "--tags", "restart")
    assert result.returncode == 0, result.stdout[-4000:]
    assert restarted(before, processes(on, HOSTS)) == {(host, "kube-apiserver") for host in group("kube_apiserver")}
    assert playbook("site.yml").returncode == 0


def test_the_tag_config_brings_no_certificates(on, playbook):
    """Settings are made; names in certificates are left to a run without it."""
    extra = {"kube_scheduler__flags": {"v": 1}, "kube_apiserver__extra_sans": ["config.example"]}
    before = processes(on, HOSTS)
    result = playbook("site.yml", "-e", json.dumps(extra), "--tags", "config")
    assert result.returncode == 0, result.stdout[-4000:]
    assert restarted(before, processes(on, HOSTS)) == {(name, "kube-scheduler") for name in group("kube_scheduler")}
    serving = on(group("kube_apiserver")[0]).check_output(
        "openssl x509 -noout -ext subjectAltName -in /etc/kubernetes/kube-apiserver/pki/serving.crt"
    )
    assert "config.example" not in serving
    assert playbook("site.yml").returncode == 0


def test_every_tag_that_is_documented_is_there(playbook):
    """docs/operations.md and the playbook agree."""
    text = (REPOSITORY / "docs" / "operations.md").read_text().split("## Tags")[1].split("\n## ")[0]
    documented = {
        tag
        for line in text.splitlines()
        if line.startswith("| `")
        for tag in re.findall("`([a-z_]+)`", line.split("|")[1])
    }
    listed = playbook("site.yml", "--list-tags").stdout
    there = {tag for line in re.findall(r"TASK TAGS: \[(.*)\]", listed) for tag in line.split(", ") if tag} - {"always"}
    assert documented == there
