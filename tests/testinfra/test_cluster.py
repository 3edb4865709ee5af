"""The cluster from its users' side, and a rerun that changes nothing."""

from __future__ import annotations

import json
import subprocess
import urllib.request

import pytest
from lab_cluster import HOSTVARS, NODES, SERVERS, changes_nothing, group


def test_nodes_have_roles_and_taints(kubectl, inventory):
    """Nodes with an API server are tainted unless the inventory says otherwise, workers are not."""
    nodes = {node["metadata"]["name"]: node for node in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]}
    assert sorted(nodes) == sorted(NODES)
    for name, node in nodes.items():
        taints = [taint["key"] for taint in node["spec"].get("taints", [])]
        tainted = name in SERVERS and HOSTVARS[name].get("kubelet__taints") is None
        assert taints == (["node-role.kubernetes.io/control-plane"] if tainted else [])


def test_dns_replicas_are_on_different_hosts_with_a_budget(kubectl):
    """Two replicas, two hosts where there are as many, one may go at a time."""
    pods = json.loads(kubectl("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "json"))["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == min(2, len(NODES))
    budget = json.loads(kubectl("get", "pdb", "-n", "kube-system", "coredns", "-o", "json"))
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["status"]["disruptionsAllowed"] == 1


@pytest.mark.parametrize("name", NODES)
def test_services_are_in_the_kernel(on, name):
    """kube-proxy's own nftables table stands on every node, and no iptables chain of its."""
    host = on(name)
    assert "table ip kube-proxy" in host.check_output("nft list tables").splitlines()
    assert "KUBE-SERVICES" not in host.run("iptables-save").stdout


def test_ports_of_pods_can_be_forwarded():
    """Through API server, kubelet and containerd; no socat is installed on hosts."""
    command = ["kubectl", "--namespace=kube-system", "port-forward", "deployment/coredns", ":8181"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout
            port = forward.stdout.readline().split(" -> ")[0].rsplit(":", 1)[1]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=20) as answer:
                assert answer.status == 200
        finally:
            forward.terminate()


def test_verify_playbook_is_green(playbook):
    """playbooks/verify.yml says so, with its summary."""
    result = playbook("playbooks/verify.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    assert "DNS, Services, pods on other hosts, logs and exec work from every node" in result.stdout


def test_check_mode_on_a_running_cluster_finds_nothing_to_change(playbook):
    """Check and diff mode say that nothing would change."""
    result = playbook("site.yml", "--check", "--diff")
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)


def test_a_change_is_shown_before_it_is_made_and_reaches_only_its_component(playbook, on):
    """A new flag of the scheduler: check mode shows it, a run restarts schedulers and nothing else."""
    hosts = group("kube_scheduler")
    flag = ["-e", '{"kube_scheduler__flags": {"v": 3}}']
    units = "etcd kube-apiserver kube-controller-manager containerd kubelet kube-proxy flanneld load-balancer"
    show = f"systemctl show -P MainPID {units}"
    before = {name: on(name).check_output(show) for name in hosts}
    schedulers = {name: on(name).check_output("systemctl show -P MainPID kube-scheduler") for name in hosts}
    shown = playbook("site.yml", "--check", "--diff", *flag)
    assert "+  --v=3" in shown.stdout or "--v=3" in shown.stdout, shown.stdout[-4000:]
    assert {name: on(name).check_output("systemctl show -P MainPID kube-scheduler") for name in hosts} == schedulers
    made = playbook("site.yml", *flag)
    assert made.returncode == 0, made.stdout[-4000:]
    assert {name: on(name).check_output(show) for name in hosts} == before
    after = {name: on(name).check_output("systemctl show -P MainPID kube-scheduler") for name in hosts}
    assert all(after[name] != schedulers[name] for name in hosts)
    back = playbook("site.yml")
    assert back.returncode == 0, back.stdout[-4000:]
