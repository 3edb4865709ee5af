"""The cluster taken away: only when it is named, data only when that is asked for, and nothing of it left behind."""

from __future__ import annotations

import re

import pytest
from lab_cluster import HOSTS, NAME, VIRTUAL_ADDRESS, changes_nothing, group, units

pytestmark = pytest.mark.last  # nothing is left for other tests

OURS = "etcd|kube-.*|kubelet|containerd|flanneld|load-balancer|virtual-address"
GONE = [
    *("/etc/kubernetes", "/etc/etcd", "/etc/containerd", "/etc/cni", "/opt/hardway", "/opt/cni", "/opt/containerd"),
    *("/var/lib/hardway", "/var/log/kubernetes", "/etc/modules-load.d/hardway-kubernetes.conf", "/run/flannel"),
    *(
        "/etc/sysctl.d/99-zz-hardway-kubernetes.conf",
        "/etc/systemd/logind.conf.d/99-kubelet.conf",
        "/usr/libexec/kubernetes",
    ),
]
DATA = ["/var/lib/cni", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/containerd"]


def reset(playbook, *arguments):
    """Runs the reset playbook."""
    return playbook("playbooks/reset.yml", *arguments)


def test_another_name_is_refused(playbook, on):
    """Nothing is stopped, and the message says how to mean it."""
    result = reset(playbook, "-e", "reset_confirm=production")
    assert result.returncode == 2
    assert f"reset_confirm={NAME}" in result.stdout, result.stdout
    for name in HOSTS:
        assert [unit for unit in units(name) if not on(name).service(unit).is_running] == []


def test_data_stays_and_serves_the_next_cluster(playbook, kubectl, on):
    """Without reset_data everything but the data goes; what was in the API is there again after the next run."""
    kubectl("create", "configmap", "keepsake")
    result = reset(playbook, "-e", f"reset_confirm={NAME}")
    assert result.returncode == 0, result.stdout[-4000:]
    for name in group("etcd"):
        assert on(name).file("/var/lib/etcd/member").is_directory
        assert not on(name).file("/etc/systemd/system/etcd.service").exists
    result = playbook("site.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    assert "keepsake" in kubectl("get", "configmap", "keepsake")
    result = playbook("playbooks/verify.yml")
    assert result.returncode == 0, result.stdout[-4000:]


def test_with_data_everything_goes(playbook):
    """A second reset finds nothing."""
    result = reset(playbook, "-e", f"reset_confirm={NAME}", "-e", "reset_data=true")
    assert result.returncode == 0, result.stdout[-4000:]
    result = reset(playbook, "-e", f"reset_confirm={NAME}", "-e", "reset_data=true")
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)


@pytest.mark.parametrize("name", HOSTS)
class TestNothingIsLeft:
    """On every host, after all data was to go."""

    def test_files(self, on, name):
        """Files, folders and links of ours."""
        assert [path for path in GONE if on(name).file(path).exists] == []
        for path in DATA:  # a disk of its own stays, empty
            assert on(name).run(f"ls -A {path} 2>/dev/null").stdout == "", path
        assert on(name).check_output("find /usr/local/bin -lname '/opt/hardway/*'") == ""

    def test_units_and_users(self, on, name):
        """Units that systemd still knows, and system users."""
        units = on(name).check_output("systemctl list-units --all --plain --no-legend --type=service")
        assert [line for line in units.splitlines() if re.match(rf"({OURS})\.service", line)] == []
        users = on(name).check_output("getent passwd")
        assert [line for line in users.splitlines() if re.match(rf"({OURS}):", line)] == []

    def test_processes(self, on, name):
        """No pod lives on without its kubelet."""
        processes = on(name).check_output("ps -e -o comm=").split()
        assert [word for word in processes if re.match(rf"({OURS}|containerd-shim.*|coredns|pause)$", word)] == []

    def test_network(self, on, name):
        """Interfaces, namespaces and rules of pods and Services; the host's own network works, or this would not run."""
        assert not re.search("cni0|flannel|veth", on(name).check_output("ip -brief link"))
        assert f" {VIRTUAL_ADDRESS or '-'}/" not in on(name).check_output("ip -brief address")
        assert on(name).check_output("ip netns list") == ""
        tables = on(name).run("nft list tables").stdout
        assert not re.search("kube-proxy|flannel|cni", tables), tables
        rules = on(name).run("iptables-save").stdout
        assert not re.search("KUBE-|FLANNEL|CNI-", rules), rules
