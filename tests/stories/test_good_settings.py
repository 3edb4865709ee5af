"""A good setting restarts its component on its hosts one by one, and no other process; what needs no restart causes none."""

from __future__ import annotations

import json

import pytest
from lab_cluster import BALANCERS, group, processes, restarted

HOSTS = list(dict.fromkeys(group("kube_node") + BALANCERS))
RESTARTS = {
    "etcd": ({"etcd__flags": {"snapshot-count": 20000}}, group("etcd")),
    "kube-apiserver": ({"kube_apiserver__flags": {"v": 1}}, group("kube_apiserver")),
    "kube-controller-manager": ({"kube_controller_manager__flags": {"v": 1}}, group("kube_controller_manager")),
    "kube-scheduler": ({"kube_scheduler__flags": {"v": 1}}, group("kube_scheduler")),
    "containerd": ({"containerd__unit": {"Service": {"LimitNOFILE": 600000}}}, group("kube_node")),
    "flanneld": ({"cni__flannel_flags": {"v": 1}}, group("kube_node")),
    "kubelet": ({"kubelet__flags": {"v": 1}}, group("kube_node")),
    "kube-proxy": ({"kube_proxy__flags": {"v": 1}}, group("kube_node")),
    "load-balancer": ({"load_balancer__unit": {"Service": {"LimitNOFILE": 12000}}}, BALANCERS or group("kube_node")),
}
NONE = {
    "labels and taints": {
        "kubelet__labels": {"disk": "ssd"},
        "kubelet__taints": [{"key": "a", "effect": "PreferNoSchedule"}],
    },
    "settings of DNS": {"cluster_dns__cache_seconds": 31},
    "registries": {"containerd__registries": {"docker.io": {"mirrors": [{"url": "https://mirror.example"}]}}},
    "days of certificates": {"cluster_certificate_days": 360},
}


@pytest.mark.parametrize("unit", RESTARTS)
def test_a_setting_restarts_its_component_and_nothing_else(unit, on, playbook):
    """By process start times, on all hosts."""
    settings, hosts = RESTARTS[unit]
    before = processes(on, HOSTS)
    result = playbook("site.yml", "-e", json.dumps(settings))
    assert result.returncode == 0, result.stdout[-4000:]
    assert restarted(before, processes(on, HOSTS)) == {(name, unit) for name in hosts}
    back = playbook("site.yml")
    assert back.returncode == 0, back.stdout[-4000:]


@pytest.mark.parametrize("what", NONE)
def test_what_needs_no_restart_causes_none(what, on, playbook):
    """Neither on the way there nor back."""
    before = processes(on, HOSTS)
    for extra in (["-e", json.dumps(NONE[what])], []):
        result = playbook("site.yml", *extra)
        assert result.returncode == 0, result.stdout[-4000:]
    assert restarted(before, processes(on, HOSTS)) == set()
