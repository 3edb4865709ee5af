"""A cluster on virtual machines: what a container, which shares its kernel, can't show. A power cut comes late, what changes it last."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import re
from pathlib import Path

import pytest
import yaml
from lab_cluster import (
    HOSTS,
    HOSTVARS,
    IMAGE,
    NODES,
    REPOSITORY,
    ROLLED_OUT_WITHIN,
    SERVERS,
    await_leader,
    await_servers,
    await_whole,
    changed,
    changes_nothing,
    green,
    lab,
    make_namespace,
    roll_out,
    through,
)
from lab_rules import told_where_they_do_not_follow

EXCEPTIONS = yaml.safe_load((REPOSITORY / "lab" / "exceptions.yml").read_text())


@pytest.mark.parametrize("name", HOSTS)
def test_it_is_a_machine_of_its_own(on, name):
    """A kernel of its own, which is the distribution's, and cgroup v2 alone."""
    host = on(name)
    assert host.check_output("systemd-detect-virt --vm") in ("qemu", "kvm")
    assert host.run("systemd-detect-virt --container").stdout.strip() == "none"
    release = host.check_output("uname -r")
    assert release != platform.release()
    assert host.file(f"/lib/modules/{release}").is_directory
    assert host.check_output("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    wished = json.loads((Path(os.environ["LAB_DIR"]) / "lab.json").read_text())["debian"]
    assert f"VERSION_CODENAME={wished}" in host.check_output("cat /etc/os-release")


def settings(tree, *above):
    """The path of each value in a dict of dicts."""
    if not isinstance(tree, dict):
        return {above}
    return {path for key, below in tree.items() for path in settings(below, *above, key)}


@pytest.mark.parametrize("name", HOSTS)
def test_none_of_the_labs_exceptions_is_in_its_inventory(name):
    """What containers of the lab must be forgiven is set here as on users' hosts."""
    assert EXCEPTIONS
    mine = {variable: HOSTVARS[name].get(variable) for variable in EXCEPTIONS}
    assert settings(EXCEPTIONS) & settings(mine) == set()


@pytest.mark.parametrize("name", NODES)
def test_what_containers_are_forgiven_is_so_here(on, name):
    """Scores for the kernel's choice under memory pressure, its parameters, and the kubelet's own settings."""
    host = on(name)
    for unit in ("kubelet", "containerd"):
        pid = host.check_output(f"systemctl show -P MainPID {unit}")
        assert host.check_output(f"cat /proc/{pid}/oom_score_adj") == "-999"
    for key, value in {
        "vm.overcommit_memory": 1,
        "vm.panic_on_oom": 0,
        "kernel.panic": 10,
        "kernel.panic_on_oops": 1,
        "net.bridge.bridge-nf-call-iptables": 1,
    }.items():
        assert host.sysctl(key) == value, key
    config = yaml.safe_load(host.check_output("cat /etc/kubernetes/kubelet/config.yaml"))
    assert config["protectKernelDefaults"] is True
    assert "featureGates" not in config
    assert "oomScoreAdj" not in config


@pytest.mark.parametrize("name", NODES)
def test_pods_are_in_cgroup_v2_with_their_limits(on, kubectl, name):
    """A pod's limit of memory is the kernel's; without it the kubelet's promise would be empty."""
    host = on(name)
    namespace = f"limits-{name}"
    make_namespace(kubectl, namespace)
    overrides = {
        "spec": {
            "nodeName": name,
            "containers": [
                {
                    "name": "web",
                    "image": IMAGE,
                    "command": ["/agnhost", "pause"],
                    "resources": {"limits": {"memory": "96Mi", "cpu": "100m"}},
                }
            ],
        }
    }
    kubectl("-n", namespace, "run", "web", f"--image={IMAGE}", f"--overrides={json.dumps(overrides)}")
    kubectl("-n", namespace, "wait", "pod/web", "--for=condition=Ready", f"--timeout={ROLLED_OUT_WITHIN}s")
    limits = host.check_output("find /sys/fs/cgroup/kubepods.slice -name memory.max -exec cat '{}' +").split()
    kubectl("delete", "namespace", namespace, "--wait=false")
    assert str(96 << 20) in limits


@pytest.mark.skipif(HOSTVARS[NODES[0]].get("kube_proxy__mode") != "ipvs", reason="for kube-proxy in mode ipvs")
@pytest.mark.parametrize("name", NODES)
def test_services_are_in_the_kernels_ipvs_table(on, kubectl, name):
    """Each Service's address is a virtual server with a real server for each of its ready endpoints."""
    host = on(name)
    table: dict[str, list[str]] = {}
    for line in host.check_output("cat /proc/net/ip_vs").splitlines():
        words = line.split()
        if words[0] in ("TCP", "UDP"):
            servers = table.setdefault(f"{words[0]} {words[1]}", [])
        elif words[0] == "->" and ":" in words[1] and words[1] != "RemoteAddress:Port":
            servers.append(words[1])
    services = json.loads(kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "json"))
    slices = json.loads(
        kubectl("-n", "kube-system", "get", "endpointslices", "-l", "kubernetes.io/service-name=kube-dns", "-o", "json")
    )
    address = services["spec"]["clusterIP"]
    pods = {one for item in slices["items"] for point in item["endpoints"] for one in point["addresses"]}
    assert pods

    def written(text: str, port: int) -> str:
        return f"{int(ipaddress.IPv4Address(text)):08X}:{port:04X}"

    assert {entry.split(":")[0] for entry in table[f"UDP {written(address, 53)}"]} == {
        written(pod, 0).split(":")[0] for pod in pods
    }
    assert f"{address}/32" in host.check_output("ip -brief address show dev kube-ipvs0")


# How many the kernel knows, and the size of its table.
CONNECTIONS = ("/proc/sys/net/netfilter/nf_conntrack_max", "/sys/module/nf_conntrack/parameters/hashsize")


def works_without_root(host):
    """kube-proxy in mode nftables: root has made room in the kernel's table of connections, and the rules are there."""
    process = host.check_output("systemctl show -P MainPID kube-proxy")
    assert host.check_output(f"ps -o user= -p {process}") == "kube-proxy"
    most, table = (int(host.check_output(f"cat {path}")) for path in CONNECTIONS)
    assert most >= 131072
    assert table >= most // 4
    listed = json.loads(host.check_output("nft -j list table ip kube-proxy"))["nftables"]
    assert "service-ips" in {entry["map"]["name"] for entry in listed if "map" in entry}


@pytest.mark.skipif(
    HOSTVARS[NODES[0]].get("kube_proxy__mode", "nftables") != "nftables", reason="for kube-proxy in its default mode"
)
@pytest.mark.parametrize("name", NODES)
def test_kube_proxy_in_its_default_mode(on, name):
    """Containers have no such table of their own to set."""
    works_without_root(on(name))


def test_rules_that_do_not_follow_are_told(on, playbook, kubectl, namespace):
    """verify.yml compares the kernel's table, here of mode ipvs, with EndpointSlices."""
    verified = told_where_they_do_not_follow(on, playbook, kubectl, namespace, NODES[-1])
    mode = HOSTVARS[NODES[0]].get("kube_proxy__mode", "nftables")
    assert re.search(rf"rules of Services \({mode}\): \d+ ports with \d+ endpoints on {len(NODES)} node", verified)


def test_swap_is_turned_off_by_a_run(on, playbook):
    """Now and at the next boot; containers have none of their own."""
    host = on(NODES[0])
    host.check_output("fallocate -l 64M /swap.img && chmod 600 /swap.img && mkswap /swap.img && swapon /swap.img")
    host.check_output("echo '/swap.img none swap sw 0 0' >>/etc/fstab")
    result = green(playbook, "site.yml", "--tags", "host")
    assert changed(result.stdout)[NODES[0]] == 1, result.stdout[-4000:]
    assert host.check_output("cat /proc/swaps").splitlines()[1:] == []
    assert host.run("grep -E '^[^#].*swap' /etc/fstab").stdout == ""


@pytest.mark.skipif(len(SERVERS) < 2, reason="nobody stands in for a single host")
def test_one_host_is_lost(kubectl, playbook):
    """Without its power; the others go on, and it comes back by itself."""
    lost, others = SERVERS[0], through(kubectl, SERVERS[-1])
    lab("stop", lost)
    try:
        await_leader(others)
        if lost in NODES:  # until then pods may be given to it
            others("wait", f"node/{lost}", "--for=condition=Ready=Unknown", f"--timeout={ROLLED_OUT_WITHIN}s")
        roll_out(others, "while-one-is-off")
    finally:
        lab("start", lost)
    await_servers(kubectl)
    await_whole(playbook)


class TestPowerCut:
    """All machines lose their power at once, and get it back."""

    @pytest.fixture(scope="class", autouse=True)
    def cut(self, kubectl, playbook):
        """Something is in the API and runs on a node before it; afterwards all is whole again, without a run."""
        kubectl("create", "configmap", "before-the-cut", "--from-literal=kept=yes")
        lab("stop", "--all")
        lab("start", "--all")
        await_servers(kubectl)
        await_whole(playbook)

    def test_what_was_written_is_there(self, kubectl):
        """etcd had answered, so it is on the disk."""
        assert "yes" in kubectl("get", "configmap", "before-the-cut", "-o", "jsonpath={.data.kept}")

    def test_new_pods_run(self, kubectl):
        """API, controllers, scheduler and nodes work."""
        roll_out(kubectl, "after-the-cut")

    def test_a_run_finds_nothing_to_do(self, playbook):
        """Kernel modules, parameters, cables of pods and services came back by themselves."""
        result = green(playbook, "site.yml")
        changes_nothing(result)
        assert set(changed(result.stdout)) == set(HOSTS)
        assert SERVERS


@pytest.mark.skipif(HOSTVARS[NODES[0]].get("kube_proxy__mode") != "ipvs", reason="for kube-proxy in mode ipvs")
@pytest.mark.parametrize("name", NODES[-1:])
def test_from_ipvs_to_kube_proxys_default_mode(on, playbook, name):
    """From ipvs to nftables: root makes room in the kernel's table of connections, and takes away what the mode before left.

    Containers have no such table of their own to set. Nothing comes after this: the way back would take another run.
    """
    host = on(name)
    host.check_output(f"echo 1024 >{CONNECTIONS[1]} && echo 4096 >{CONNECTIONS[0]}")
    assert host.run("ip link show kube-ipvs0").rc == 0
    green(playbook, "site.yml", "-e", "kube_proxy__mode=nftables")
    works_without_root(host)
    assert host.run("ip link show kube-ipvs0").rc != 0
    for saved in ("iptables-save", "ip6tables-save"):
        assert "KUBE-SERVICES" not in host.check_output(f"{saved} -t nat")
