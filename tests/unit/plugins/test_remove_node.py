"""playbooks/remove_node.yml as Ansible runs it, with an API and members of etcd on loopback. The host that leaves is off."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_runs import ansible_playbook, one_line

HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
OFF = {"ansible_connection": "ssh", "ansible_port": 1, "ansible_host": "127.0.0.1"}


class Cluster:
    """The stacked sample on this machine: hosts that stay are only looked at, and those that leave do not answer."""

    def __init__(self, api: Any, fake_etcd: Any, pki: Any, folder: Path) -> None:
        self.api, self.etcd, self.folder = api, fake_etcd, folder
        for name in ("cp2", "cp3", "cp1"):
            fake_etcd.member(name)
        fake_etcd.entry("cp1")["peerURLs"] = ["https://127.0.0.11:2380"]
        fake_etcd.dead.add("cp1")
        for name in ("cp1", "worker2"):
            ready = {"type": "Ready", "status": "Unknown", "message": "silent"}
            api.objects[f"/api/v1/nodes/{name}"] = {
                "metadata": {"name": name, "resourceVersion": "7"},
                "spec": {},
                "status": {"conditions": [ready]},
            }
        self.pki_dir = pki.folder

    def describe(self, off: str, other: dict[str, dict[str, Any]] | None = None) -> None:
        """Write the inventory: this host does not answer, all others are this machine; other variables of some of them."""
        hosts = {name: {**HERE, "cluster_address": "127.0.0.1"} for name in ("cp1", "cp2", "cp3", "worker1", "worker2")}
        address = {"cp1": "127.0.0.11", "worker2": "127.0.0.22"}[off]
        hosts[off] = {**OFF, "cluster_address": address}
        for name, variables in (other or {}).items():
            hosts[name].update(variables)
        more = {
            "ansible_become": False,
            "cluster_controller_dir": str(Path(self.pki_dir).parent),
            "cluster_api_port": self.api.server.server_port,
            "etcd__client_port": self.etcd.servers["cp2"].server_port,
        }
        self.inventory = self.folder / "more.yml"
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": more}}))

    def run(self, *arguments: str) -> SimpleNamespace:
        inventories = ["-i", "inventory/stacked", "-i", self.inventory]
        result = ansible_playbook(*inventories, "playbooks/remove_node.yml", *arguments)
        recap = result.stdout.partition("PLAY RECAP")[2]
        changes = {
            line.split()[0]: int(line.split("changed=")[1].split()[0])
            for line in recap.splitlines()
            if "changed=" in line
        }
        return SimpleNamespace(code=result.returncode, output=one_line(result), changed=sum(changes.values()))


@pytest.fixture
def cluster(api: Any, fake_etcd: Any, pki: Any, tmp_path: Path) -> Cluster:
    return Cluster(api, fake_etcd, pki, tmp_path)


def test_a_worker_that_is_off_for_good(cluster: Cluster) -> None:
    """First it is only silent; named dead it goes; and a second run finds nothing to do."""
    cluster.describe("worker2")
    result = cluster.run("-e", "remove_hosts=worker2")
    assert (result.code, result.changed) == (2, 0), result.output
    assert "worker2: does not answer, so nothing can be stopped on it." in result.output
    dead = ["-e", "remove_hosts=worker2", "-e", "remove_dead=worker2"]
    shown = cluster.run(*dead, "--check")
    assert (shown.code, shown.changed) == (0, 2), shown.output
    assert cluster.api.writes() == []
    result = cluster.run(*dead)
    assert (result.code, result.changed) == (0, 2), result.output
    assert "/api/v1/nodes/worker2" not in cluster.api.objects
    assert "worker2: out of the cluster." in result.output
    again = cluster.run(*dead)
    assert (again.code, again.changed) == (0, 0), again.output
    assert cluster.etcd.verbs() == []


def test_a_control_plane_host_that_is_off_for_good(cluster: Cluster) -> None:
    """What would be done: its member, its node, and its name in the kubeconfig. With another member off nothing is."""
    cluster.describe("cp1")
    dead = ["-e", json.dumps({"remove_hosts": ["cp1"], "remove_dead": ["cp1"]})]
    shown = cluster.run(*dead, "--check", "--diff")
    assert (shown.code, shown.changed) == (0, 4), shown.output
    assert "cp1 has the member" in shown.output
    assert "etcd has 2 members left, an even number" in shown.output
    cluster.etcd.dead.add("cp3")
    refused = cluster.run(*dead)
    assert (refused.code, refused.changed) == (2, 0), refused.output
    assert "cp1: can't leave etcd: of the 2 members that would be left 1 serve, and 2 must." in refused.output
    assert cluster.etcd.verbs() == []
    assert cluster.api.writes() == []


# ---- what failed before does not let a later step begin ----


def test_a_member_that_did_not_leave_keeps_its_host(cluster: Cluster) -> None:
    """One host with an API server is lost already: Ansible does not end the run where the last one fails as well."""
    cluster.describe("cp1", {"cp2": OFF})
    cluster.etcd.refusals["remove"] = [(400, "etcdserver: not now")]
    result = cluster.run("-e", "remove_hosts=cp1", "-e", "remove_dead=cp1")
    assert result.code != 0, result.output
    assert "etcdserver: not now" in result.output
    assert "Nothing is removed. What earlier steps did stays as it is" in result.output
    assert "- cp1: the cluster has not let it go" in result.output
    assert "cp1: out of the cluster" not in result.output
    assert "/api/v1/nodes/cp1" in cluster.api.objects


def test_without_the_groups_names_no_host_is_touched(cluster: Cluster) -> None:
    """With --limit no play of the cluster's has a host; the host's own plays have."""
    cluster.describe("worker2")
    names = ["-e", "cluster_kube_node_group=others"]
    result = cluster.run("-e", "remove_hosts=worker2", "--limit", "worker2", *names)
    assert (result.code, result.changed) == (2, 0), result.output
    assert "- worker2: the cluster has not let it go" in result.output
    assert "by those that are told with -e" in result.output


def test_a_host_that_answers_and_can_not_be_worked_on_stays(cluster: Cluster) -> None:
    cluster.describe("worker2", {"worker2": {**HERE, "ansible_python_interpreter": "/nonexistent/python"}})
    result = cluster.run("-e", "remove_hosts=worker2", "-e", "remove_dead=worker2")
    assert (result.code, result.changed) == (2, 0), result.output
    assert "worker2: answers, and nothing can be done on it (" in result.output
    assert cluster.api.writes() == []


def test_pods_of_a_host_that_could_not_end_them_are_not_given_up(cluster: Cluster) -> None:
    """It answers, is named dead, and its removal fails. Nothing is really done: the host is this machine."""
    cluster.describe("worker2", {"worker2": {**HERE, "kubelet__data_dir": "{{ nobody_knows }}"}})
    result = cluster.run("-e", "remove_hosts=worker2", "-e", "remove_dead=worker2", "--check", "--diff")
    assert (result.code, result.changed) == (2, 0), result.output
    assert "nobody_knows" in result.output
    assert "out of service" not in result.output
    assert "worker2: out of the cluster" not in result.output


def test_the_last_balancer_that_works_stays(cluster: Cluster) -> None:
    """The other one of the pair is down, and whoever asks there would lose the API. Nothing is really done."""
    kind = {
        "load_balancer__kind": "haproxy",
        "cluster_api_endpoint": "127.0.0.77:1",
        "virtual_address__interface": "lo",
    }
    cluster.describe("cp1", {"cp1": HERE, "worker1": {"cluster_address": "127.0.0.99"}})
    pair = cluster.folder / "pair.yml"
    pair.write_text(yaml.safe_dump({"all": {"children": {"load_balancer": {"hosts": {"worker1": {}, "worker2": {}}}}}}))
    result = cluster.run("-i", str(pair), "-e", json.dumps(kind), "-e", "remove_hosts=worker2", "--check")
    assert (result.code, result.changed) == (2, 0), result.output
    assert (
        "worker2: is the only balancer that takes connections: port 1 of worker1 does not. Bring one of these up first"
        in result.output
    )
    assert cluster.api.writes() == []


def test_a_host_that_is_named_dead_and_serves_the_api_stays(cluster: Cluster) -> None:
    """Its SSH is broken, and nothing else of it gives a sign."""
    cluster.describe("cp1", {"cp1": {"cluster_address": "127.0.0.1"}})
    cluster.etcd.members[-1]["peerURLs"] = ["https://127.0.0.1:2380"]
    result = cluster.run("-e", "remove_hosts=cp1", "-e", "remove_dead=cp1", "--check")
    assert (result.code, result.changed) == (2, 0), result.output
    assert f"its API server or balancer does (port {cluster.api.server.server_port}): the host lives" in result.output
