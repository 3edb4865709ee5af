"""Hosts that balance for all: what runs there, who holds the address, and that the cluster asks there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from lab_cluster import BALANCED_API, BALANCER, BALANCERS, HOSTVARS, VIRTUAL_ADDRESS, all_answered, group, holders

pytestmark = pytest.mark.skipif(not BALANCERS, reason="no host balances for others here")

CA = "--cacert /etc/kubernetes/pki/ca.crt"
PORT = BALANCED_API.rpartition(":")[2]
PROGRAM = HOSTVARS[BALANCERS[0]].get("load_balancer__program", "haproxy") if BALANCER == "hybrid" else BALANCER


def test_there_is_more_than_one_balancer():
    """Or these tests would not show that one stands in for another."""
    assert len(BALANCERS) > 1


@pytest.mark.parametrize("name", BALANCERS)
class TestEach:
    """On every balancer's host."""

    def test_it_leads_to_a_ready_api_server(self, on, name):
        """Whether it holds the address or not; the certificate is the API server's own."""
        answer = on(name).check_output(f"curl -s --max-time 5 {CA} https://127.0.0.1:{PORT}/readyz")
        assert answer == "ok"

    def test_what_the_packages_would_run_does_not_run(self, on, name):
        """The units are ours."""
        for unit in ("haproxy", "nginx", "keepalived"):
            assert not on(name).service(unit).is_running

    def test_only_what_was_chosen_is_installed(self, on, name):
        """One program balances."""
        assert on(name).package(PROGRAM).is_installed
        assert not on(name).package("nginx" if PROGRAM == "haproxy" else "haproxy").is_installed
        assert on(name).package("keepalived").is_installed == bool(VIRTUAL_ADDRESS)

    def test_no_key_lies_there(self, on, name):
        """A balancer passes TLS through."""
        assert on(name).check_output("find /etc/kubernetes -name '*.key'") == ""


@pytest.mark.parametrize("name", BALANCERS if VIRTUAL_ADDRESS else [])
def test_checks_of_keepalived_have_no_capability(on, name):
    """What decides whether the address moves runs with nothing but its user."""
    host = on(name)
    script = "cat /proc/self/status"
    unit = f"virtual-address@{os.getpid()}"
    caps = "CAP_NET_ADMIN CAP_NET_RAW CAP_SETGID"
    status = host.check_output(
        f"systemd-run --quiet --wait --pipe --collect --unit={unit} -p User=virtual-address "
        f"-p AmbientCapabilities='{caps}' /usr/bin/setpriv --ambient-caps=-all {script}"
    )
    assert re.search(r"CapEff:\s+0+\n", status), status
    command = re.search(
        r'script "([^"]+)"', host.file("/etc/kubernetes/virtual-address/keepalived.conf").content_string
    )[1]
    assert command.startswith("/usr/bin/setpriv --ambient-caps=-all ")


@pytest.mark.parametrize("address", [VIRTUAL_ADDRESS] if VIRTUAL_ADDRESS else [])
def test_one_host_holds_the_address(on, address):
    """On the interface of its own address, and for itself alone."""
    (holder,) = holders(on)
    own = HOSTVARS[holder]["ansible_host"]
    lines = on(holder).check_output("ip -oneline -4 address show").splitlines()
    interfaces = {line.split()[3].split("/")[0]: line.split()[1] for line in lines}
    assert interfaces[address] == interfaces[own]
    assert any(line.split()[3] == f"{address}/32" for line in lines)


@pytest.mark.parametrize("name", group("kube_node"))
def test_nodes_run_no_balancer(on, name):
    """Whatever they ran before."""
    host = on(name)
    assert not host.file("/etc/systemd/system/load-balancer.service").exists
    assert not host.package("haproxy").is_installed


def test_the_administrator_asks_there():
    """The kubeconfig's first cluster is the address that stands for all."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    endpoint = HOSTVARS[BALANCERS[0]]["cluster_api_endpoint"]
    assert config["clusters"][0]["cluster"]["server"] == f"https://{endpoint}"


def test_every_api_server_answers_behind_the_address(playbook):
    """verify.yml tells them by their certificates."""
    result = playbook("playbooks/verify.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    all_answered(result.stdout, BALANCED_API[8:])
