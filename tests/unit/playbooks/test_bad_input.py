"""Bad input stops a playbook before any host is touched: the samples' hosts do not exist here, so a touch would be an error."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ansible_runs import ansible_playbook, one_line, refused


def run(*arguments: str, playbook: str = "site.yml", inventory: str = "stacked") -> str:
    """What a playbook says to a sample inventory that it refuses."""
    return refused("-i", f"inventory/{inventory}", playbook, *arguments)


# Each of these is one wrong value in an inventory that is right otherwise. A run takes several, which do not touch one another.
WRONG = [
    {
        "cluster_pod_cidr: 10.244.0.0": ["cluster_pod_cidr '10.244.0.0' is no network in CIDR notation"],
        "cluster_dns__upstream: 10.0.0.53": ["cluster_dns__upstream is a text where a list is expected"],
        "cluster_version: 1.22.0": ["cluster_version 1.22.0 is not supported; these are: 1.34, 1.35, 1.36"],
        "cluster_api_endpoint: nowhere": ["cluster_api_endpoint 'nowhere' is not host:port"],
        "kubelet__confg: {}": ["kubelet__confg is no variable of any role. Did you mean kubelet__config?"],
        "kube_proxy__mode: userspace": ["value of kube_proxy__mode must be one of: nftables, iptables, ipvs"],
        "host__minimum_memory_mb: plenty": ["argument 'host__minimum_memory_mb' is of type str"],
        "cluster_etcd_group: stores": ["the group stores is missing or empty"],
    },
    {
        "cluster_pod_cidr: 10.96.128.0/17": ["cluster_pod_cidr 10.96.128.0/17 and cluster_service_cidr", "overlap"],
        "load_balancer__kind: haproxy": [
            "the group load_balancer has 0 hosts",
            "wants two or more",
            "wants cluster_api_endpoint",
        ],
        "cluster_etcd_group: worker": ["the group worker has 2 members, an even number"],
    },
    {
        "cluster_pod_cidr: 192.168.0.0/16": ["holds the address 192.168.60.11 of cp1"],
        "load_balancer__kind: external": ["wants cluster_api_endpoint, the host:port of your balancer. Set it."],
    },
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_names_variable_and_mend(wrong):
    """All findings come in one message, each once, with all hosts that it is true of."""
    output = run("-e", "{" + ", ".join(wrong) + "}")
    for extra, words in wrong.items():
        for word in words:
            assert word in output, extra


def test_what_is_true_of_all_hosts_is_said_once():
    """However many there are; and what is of no host has none."""
    said = run("-e", "{cluster_version: 2.0.0, cluster_pod_cidr: nonsense}").partition("fatal: ")[0]
    assert said.count("cluster_version 2.0.0 is not supported") == 1
    assert "- cp1, cp2, cp3, worker1, worker2: cluster_version 2.0.0 is not supported" in said
    assert "- cluster_pod_cidr 'nonsense' is no network" in said


@pytest.mark.parametrize("limit", [[], ["--limit", "worker3"]])
def test_two_hosts_with_one_address(tmp_path, limit):
    """The other host is named, also where the run leaves it out."""
    extra = tmp_path / "more.yml"
    extra.write_text("all: {children: {worker: {hosts: {worker3: {ansible_host: 192.168.60.21}}}}}\n")
    output = run("-i", str(extra), *limit)
    assert "worker3: cluster_address 192.168.60.21 is also the address of worker1" in output


def test_what_belongs_to_hosts_that_the_run_leaves_out(tmp_path):
    """Their second addresses and parts of the pods' network are not given to a new host; their own mistakes are not told."""
    extra = tmp_path / "more.yml"
    parts = "cni__kind: bridge, cluster_address_v6: 'fd00:60::21', cni__pod_cidr: '10.244.1.0/24,fd00:10:244:1::/64'"
    old = "worker1: {%s}, cp1: {cluster_address: nonsense}" % parts
    extra.write_text(
        "all: {hosts: {%s}, children: {worker: {hosts: {worker9: {ansible_host: 192.168.60.99, %s}}}}}\n" % (old, parts)
    )
    output = run("-i", str(extra), "--limit", "worker9", inventory="dual_stack")
    assert "worker9: cluster_address_v6 fd00:60::21 is also the address of worker1" in output
    assert "worker9: cni__pod_cidr 10.244.1.0/24 is also the one of worker1" in output
    assert "nonsense" not in output


def test_a_worker_that_is_newer_than_the_api_servers(tmp_path):
    """A kubelet may lag, never lead."""
    extra = tmp_path / "more.yml"
    older = ", ".join(f"{host}: {{cluster_version: 1.35.4}}" for host in ("cp1", "cp2", "cp3"))
    extra.write_text(f"all: {{hosts: {{{older}}}}}\n")
    assert "worker1, worker2: cluster_version 1.36.3 is newer than 1.35.4 on cp1" in run("-i", str(extra))


def test_both_families_on_half_of_what_they_need(tmp_path):
    """A node without its second address, Services of one family, and a manifest that nobody can read: all at once."""
    extra = tmp_path / "more.yml"
    extra.write_text("all: {hosts: {worker2: {cluster_address_v6: ''}}}\n")
    wrong = "{cluster_service_cidr: 10.96.0.0/16, cni__kind: none, cni__manifests: [/nowhere/calico.yaml]}"
    output = run("-i", str(extra), "-e", wrong, inventory="dual_stack")
    assert "worker2: cluster_pod_cidr 10.244.0.0/16,fd00:10:244::/56 has both families, and this node has no" in output
    assert "cluster_service_cidr 10.96.0.0/16 are not of the same families" in output
    assert "cp1: cni__manifests: /nowhere/calico.yaml can't be read: No such file or directory." in output


def test_an_even_number_of_members_of_their_own(tmp_path):
    """External etcd: a fourth host brings nothing."""
    extra = tmp_path / "more.yml"
    extra.write_text("all: {children: {etcd: {hosts: {etcd4: {ansible_host: 192.168.60.34}}}}}\n")
    output = run("-i", str(extra), inventory="external_etcd")
    assert (
        "the group etcd has 4 members, an even number (etcd1, etcd2, etcd3, etcd4): it survives no more losses than 3 would"
        in output
    )


def test_a_member_with_the_address_of_another_host(tmp_path):
    """Of the same group or of another one."""
    extra = tmp_path / "more.yml"
    extra.write_text("all: {hosts: {etcd2: {ansible_host: 192.168.60.31}, etcd3: {ansible_host: 192.168.60.11}}}\n")
    output = run("-i", str(extra), inventory="external_etcd")
    assert "etcd2: cluster_address 192.168.60.31 is also the address of etcd1" in output
    assert "etcd3: cluster_address 192.168.60.11 is also the address of cp1" in output


SHAPES = {
    ("single", "stacked"): ["Single means one host for the whole control plane", "playbooks/stacked.yml"],
    ("stacked", "external_etcd"): [
        "the groups etcd and kube_apiserver hold different hosts",
        "Stacked means etcd beside",
    ],
    ("stacked", "single"): ["the group kube_apiserver has only 1 of the hosts", "playbooks/single.yml"],
    ("external_etcd", "stacked"): ["the groups etcd and kube_apiserver both hold cp1, cp2, cp3", "nothing else"],
    ("external_etcd", "fully_manual"): ["kube_scheduler and kube_apiserver hold different hosts"],
    ("fully_manual", "external_etcd"): ["the groups kube_apiserver and kube_node both hold cp1, cp2, cp3"],
}


@pytest.mark.parametrize(("playbook", "inventory"), SHAPES)
def test_an_inventory_of_another_shape(playbook, inventory):
    """Each topology's playbook says which groups do not fit, and that site.yml would take them."""
    output = run(playbook=f"playbooks/{playbook}.yml", inventory=inventory)
    for word in [*SHAPES[playbook, inventory], f"The inventory is no {playbook.replace('_', ' ')} cluster", "site.yml"]:
        assert word in output


MIXES = {
    # One member is a host of its own, the others stand beside API servers.
    ("stacked", "stacked"): (
        "etcd: {hosts: {etcd1: {ansible_host: 192.168.60.31}, etcd2: {ansible_host: 192.168.60.32}}}",
        "the groups etcd and kube_apiserver hold different hosts (etcd1, etcd2)",
    ),
    # A host of etcd is a node as well.
    ("external_etcd", "external_etcd"): (
        "kube_node: {hosts: {etcd1: {}}}",
        "the groups etcd and kube_node both hold etcd1. External etcd means hosts that run etcd and nothing else",
    ),
    # One of the hosts of the control plane is a node, the others are not.
    ("fully_manual", "fully_manual"): (
        "kube_node: {hosts: {cp1: {}}}",
        "the groups kube_apiserver and kube_node both hold cp1. Fully manual means that no host",
    ),
    # The control plane of a single cluster has a manager elsewhere.
    ("single", "single"): (
        "kube_scheduler: {hosts: {worker1: {}}}",
        "the groups kube_scheduler and kube_apiserver hold different hosts (worker1)",
    ),
}


@pytest.mark.parametrize(("playbook", "inventory"), MIXES)
def test_an_inventory_of_mixed_shapes(tmp_path, playbook, inventory):
    """The groups and the hosts that do not fit, and what to do."""
    groups, words = MIXES[playbook, inventory]
    extra = tmp_path / "more.yml"
    extra.write_text(f"all: {{children: {{{groups}}}}}\n")
    output = run("-i", str(extra), playbook=f"playbooks/{playbook}.yml", inventory=inventory)
    assert words in output
    assert "or use site.yml, which runs any mix" in output


# ---- an etcd that someone else runs ----


def key_pair(folder: Path) -> tuple[str, str]:
    """A certificate that signed itself and its key, as PEM text."""
    paths = [folder / "etcd.crt", folder / "etcd.key"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "9",
    ]
    command += ["-subj", "/CN=etcd", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths[0].read_text(), paths[1].read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"kube_apiserver__etcd_endpoints": ["10.0.0.9:2379"], "kube_apiserver__etcd_certificate": ""},
            ["holds '10.0.0.9:2379', which is not https://host:port", "kube_apiserver__etcd_certificate is empty"],
        ),
        ({"kube_apiserver__etcd_endpoints": "10.0.0.9"}, ["kube_apiserver__etcd_endpoints", "list"]),
        (
            {"kube_apiserver__etcd_ca": "x", "kube_apiserver__etcd_key": "x"},
            ["kube_apiserver__etcd_ca holds no certificate", "are no client's: the key is none"],
        ),
        ({"kube_apiserver__etcd_endpoints": []}, ["the group nobody is missing or empty", "names no members"]),
        ({"cluster_etcd_group": "etcd"}, ["the group etcd holds etcd1, etcd2, etcd3", "Empty the one or the other"]),
    ],
)
def test_an_etcd_of_someone_else(tmp_path, change, words):
    """Each mistake in its own words; the key is in none of them, however much is told."""
    certificate, key = key_pair(tmp_path)
    given = {
        "cluster_etcd_group": "nobody",
        "kube_apiserver__etcd_endpoints": ["https://10.0.0.9:2379"],
        "kube_apiserver__etcd_ca": certificate,
        "kube_apiserver__etcd_certificate": certificate,
        "kube_apiserver__etcd_key": key,
    }
    extra = tmp_path / "given.json"
    extra.write_text(json.dumps({**given, **change}))
    output = run("-e", f"@{extra}", "-vvv", inventory="external_etcd")
    for word in words:
        assert word in output
    for line in key.splitlines()[1:-1]:
        assert line not in output


# ---- balancers ----


def test_a_virtual_address_that_is_a_hosts_own():
    """The variable, the host and the mend."""
    output = run("-e", "cluster_api_endpoint=192.168.60.32:6443", inventory="balanced")
    words = "cluster_api_endpoint: the virtual address 192.168.60.32 is the address of lb2. Choose a free one"
    assert words in output


def look_here(folder: Path, inventory: str, host: str, **variables: object) -> str:
    """What is said of a host when this machine stands for it: it is looked at, refused, and nothing is changed on it."""
    here = {
        "ansible_connection": "local",
        "ansible_become": False,
        "cluster_controller_dir": str(folder / "authorities"),
    }
    path = folder / "here.json"
    path.write_text(json.dumps({"all": {"hosts": {host: {**here, **variables}}}}))
    result = ansible_playbook("-i", f"inventory/{inventory}", "-i", path, "site.yml", "--limit", host)
    output = one_line(result)
    assert result.returncode == 2, output
    assert "Some hosts are not fit for Kubernetes" in output
    assert "changed=0" in output
    assert list(folder.iterdir()) == [path]
    return output


def test_an_external_balancer_that_is_not_there(tmp_path):
    """Only the host that would ask there can tell."""
    endpoint = {"load_balancer__kind": "external", "cluster_api_endpoint": "nowhere.invalid:6443"}
    output = look_here(tmp_path, "stacked", "worker1", **endpoint)
    assert "worker1: reaches nobody at cluster_api_endpoint nowhere.invalid:6443" in output
    assert "start it, or mend cluster_api_endpoint" in output


def test_a_virtual_address_outside_the_hosts_network(tmp_path):
    """Only the host knows its networks; the variable that the address comes from is named."""
    address = {"cluster_address": "127.0.0.1", "cluster_api_endpoint": "203.0.113.30:6443"}
    output = look_here(tmp_path, "balanced", "lb1", **address)
    assert (
        "lb1: has no network on interface lo that holds the virtual address 203.0.113.30 (cluster_api_endpoint)"
        in output
    )
    assert "choose a free one of that network, or set virtual_address__interface" in output
