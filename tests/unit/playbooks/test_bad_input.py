"""Bad input stops site.yml before any host is touched: the sample's hosts do not exist here, so a touch would be an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


def run(*arguments: str) -> str:
    """Run site.yml on the sample inventory and give its output on one line; it must fail without touching a host."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    result = subprocess.run(
        [str(PLAYBOOK), "-i", "inventory/stacked", "site.yml", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=environment,
    )
    assert result.returncode == 2, result.stdout + result.stderr
    assert "UNREACHABLE" not in result.stdout
    assert "Compare the host with what is wished" not in result.stdout  # the first task that touches a host
    return re.sub(r"\s+", " ", result.stdout + result.stderr)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("cluster_pod_cidr: 10.244.0.0", ["cluster_pod_cidr", "is no network in CIDR notation"]),
        ("cluster_pod_cidr: 10.96.128.0/17", ["cluster_pod_cidr", "cluster_service_cidr", "overlap"]),
        ("cluster_pod_cidr: 192.168.0.0/16", ["holds the address 192.168.60.11 of cp1"]),
        ("cluster_version: 1.22.0", ["cluster_version 1.22.0 is not supported", "1.36"]),
        ("cluster_api_endpoint: nowhere", ["cluster_api_endpoint", "is not host:port"]),
        ("kubelet__confg: {}", ["kubelet__confg is no variable of any role", "Did you mean kubelet__config?"]),
        ("kube_proxy__mode: userspace", ["kube_proxy__mode", "nftables"]),
        ("host__minimum_memory_mb: plenty", ["host__minimum_memory_mb", "int"]),
        ("cluster_etcd_group: stores", ["the group stores is missing or empty"]),
        ("cluster_etcd_group: worker", ["has 2 members, an even number"]),
    ],
)
def test_a_wrong_value_names_variable_and_mend(extra, words):
    """One wrong variable, one sentence."""
    output = run("-e", "{" + extra + "}")
    for word in words:
        assert word in output


def test_all_findings_come_in_one_message():
    """Three mistakes, one run."""
    output = run("-e", "{cluster_pod_cidr: nonsense, cluster_version: 2.0.0, etcd__quotta_mb: 3}")
    for word in ("cluster_pod_cidr", "cluster_version", "Did you mean etcd__quota_mb?"):
        assert word in output


def test_two_hosts_with_one_address(tmp_path):
    """The other host is named."""
    extra = tmp_path / "more.yml"
    extra.write_text("all: {children: {worker: {hosts: {worker3: {ansible_host: 192.168.60.21}}}}}\n")
    output = run("-i", str(extra))
    assert "worker3: cluster_address 192.168.60.21 is also the address of worker1" in output


def test_a_worker_that_is_newer_than_the_api_servers(tmp_path):
    """A kubelet may lag, never lead."""
    extra = tmp_path / "more.yml"
    older = ", ".join(f"{host}: {{cluster_version: 1.35.4}}" for host in ("cp1", "cp2", "cp3"))
    extra.write_text(f"all: {{hosts: {{{older}}}}}\n")
    assert "worker1: cluster_version 1.36.3 is newer than 1.35.4 on cp1" in run("-i", str(extra))


def test_another_shape_is_no_stacked_cluster():
    """stacked.yml says what would make it one."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    command = [str(PLAYBOOK), "-i", "inventory/stacked", "playbooks/stacked.yml", "-e", "cluster_etcd_group=worker"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment)
    assert result.returncode == 2
    assert "Stacked means etcd beside each API server" in re.sub(r"\s+", " ", result.stdout + result.stderr)
