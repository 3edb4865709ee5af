"""Runs that are killed, at ten points of a first install and of a change: the next run finishes, and nothing is half done."""

from __future__ import annotations

import json

import pytest
from lab_cluster import changes_nothing, group, units

pytestmark = pytest.mark.first
HOSTS = group("kube_node")
# Seconds after the start; each run goes on where the last one was killed, after some 5 s of looking.
INSTALL = [3, 5, 7, 8, 9, 10, 11, 12, 13, 14]
CHANGE = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14]
SETTINGS = {
    "etcd__flags": {"snapshot-count": 40000},
    "kube_apiserver__flags": {"v": 1},
    "kube_scheduler__flags": {"v": 1},
    "kubelet__flags": {"v": 1},
    "cluster_certificate_days": 200,
    "kube_apiserver__extra_sans": ["killed.example"],
}


def whole(on, playbook, *arguments: str) -> None:
    """What must hold after the run that finishes."""
    result = playbook("site.yml", *arguments)
    assert result.returncode == 0, result.stdout[-4000:]
    again = playbook("site.yml", *arguments)
    changes_nothing(again)
    verified = playbook("playbooks/verify.yml")
    assert verified.returncode == 0, verified.stdout[-4000:]
    for name in HOSTS:
        for unit in units(name):
            written = on(name).check_output(f"cat /var/lib/hardway/{unit}.inputs").strip()
            pid = on(name).check_output(f"systemctl show -P MainPID {unit}")
            environment = on(name).check_output(f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
            assert set(written.splitlines()) <= set(environment), (name, unit)
        left = on(name).run(
            "find /etc/kubernetes /etc/etcd /etc/containerd /opt/hardway /etc/systemd/system /var/lib/hardway "
            "\\( -name '*.new' -o -name '.partial-*' -o -name '.*.inputs.*' -o -name '.*.service.*' \\)"
        )
        assert left.stdout == "", (name, left.stdout)


def test_a_first_install(on, playbook, kill_after):
    """From bare hosts: the scenario has installed nothing before."""
    assert not on(HOSTS[0]).file("/etc/kubernetes").exists, "this story wants bare hosts"
    killed = [kill_after(seconds, "site.yml") for seconds in INSTALL]
    assert killed.count(True) >= 8, killed
    whole(on, playbook)


def test_a_change_of_settings(on, playbook, kill_after):
    """Of several components at once, with new certificates among it."""
    extra = ["-e", json.dumps(SETTINGS)]
    killed = [kill_after(seconds, "site.yml", *extra) for seconds in CHANGE]
    assert killed.count(True) >= 6, killed
    whole(on, playbook, *extra)
    back = playbook("site.yml")
    assert back.returncode == 0, back.stdout[-4000:]
