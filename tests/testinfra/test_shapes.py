"""The control plane on three hosts that are no nodes, behind a pair of HAProxy: the other fully manual shape, from bare hosts."""

from __future__ import annotations

import pytest
from lab_cluster import MANAGERS, NAME, SERVERS, await_whole, changes_nothing, green, group, lab, roll_out, told

pytestmark = [
    pytest.mark.last,
    pytest.mark.skipif(
        bool(set(MANAGERS) & set(SERVERS)), reason="for an inventory with managers on hosts of their own"
    ),
]
ENDPOINT = "192.168.60.30:6443"
EXTRA = told(
    cluster_kube_controller_manager_group="kube_apiserver",
    cluster_kube_scheduler_group="kube_apiserver",
    # The managers' hosts are free in this shape.
    cluster_load_balancer_group="kube_controller_manager",
    load_balancer__kind="haproxy",
    cluster_api_endpoint=ENDPOINT,
)
BALANCERS = group("kube_controller_manager")


def test_it_is_built_and_a_second_run_changes_nothing(playbook, on):
    """The three services on each of the three hosts, each asking the API server beside it, and nothing of a node."""
    green(playbook, "playbooks/fully_manual.yml", "--check", *EXTRA)
    for name in SERVERS + BALANCERS:
        assert not on(name).file("/etc/kubernetes").exists
    green(playbook, "playbooks/fully_manual.yml", *EXTRA)
    for more in ([], ["--check"]):
        changes_nothing(green(playbook, "playbooks/fully_manual.yml", *more, *EXTRA))
    green(playbook, "playbooks/verify.yml", *EXTRA)
    for name in SERVERS:
        host = on(name)
        for unit in ("kube-controller-manager", "kube-scheduler"):
            assert host.service(unit).is_running
            assert "server: https://127.0.0.1:6443" in host.check_output(f"cat /etc/kubernetes/{unit}/kubeconfig")
        for unit in ("load-balancer", "kubelet", "containerd"):
            assert not host.file(f"/etc/systemd/system/{unit}.service").exists
    for name in BALANCERS:
        units = on(name).check_output("ls /etc/systemd/system").split()
        assert {"load-balancer.service", "virtual-address.service"} <= set(units)
        assert not {"kube-controller-manager.service", "kubelet.service"} & set(units)
    for name in group("kube_node"):
        config = on(name).check_output("cat /etc/kubernetes/kubelet/kubeconfig")
        assert f"server: https://{ENDPOINT}" in config


@pytest.mark.parametrize("lost", [SERVERS[0], group("etcd")[0], *BALANCERS[:1]])
def test_one_of_its_hosts_lost(playbook, kubectl, lost):
    """New pods still run; with power again all is well."""
    context = f"{NAME}-{next(name for name in SERVERS if name != lost)}"
    lab("stop", lost)
    try:
        roll_out(lambda *words: kubectl("--context", context, *words), f"lost-{lost}")
    finally:
        lab("start", lost)
    # Till then an API server that starts answers, and knows nobody's rights yet.
    await_whole(playbook, *EXTRA)


def test_it_is_taken_away_again(playbook):
    """The last one leaves bare hosts."""
    green(playbook, "playbooks/reset.yml", "-e", f"reset_confirm={NAME}", "-e", "reset_data=true", *EXTRA)
