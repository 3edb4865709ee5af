"""Networks of pods and modes of kube-proxy on hosts with both families: built, run again, verified, and a host lost of each.

verify.yml does the trying: from a pod on every node it connects to both addresses of pods on other nodes and of a Service, and
by its name to a Service that has an IPv6 address only; on every node it compares the rules of Services with the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from lab_cluster import HOSTVARS, IMAGE, NAME, NODES, await_whole, changes_nothing, green, inventories, lab
from lab_rules import told_where_they_do_not_follow

FIRST, KEPT, LOST = "cp1", "worker1", "worker2"
ADDRESSES = {name: HOSTVARS[name]["ansible_host"] for name in NODES}
ADDRESSES_V6 = {name: HOSTVARS[name]["cluster_address_v6"] for name in NODES}
PARTS = {name: (f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64") for number, name in enumerate(NODES, 1)}
PLUGINS = "https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-{arch}-v1.9.1.tgz"

# What a user's network might be: a definition with an object of its kind, and a pod on each node that keeps routes.
MANIFEST = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.network.example.com}
spec:
  group: network.example.com
  names: {kind: Pool, plural: pools, singular: pool, listKind: PoolList}
  scope: Cluster
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: network.example.com/v1
kind: Pool
metadata: {name: pods}
spec: {cidr: 10.244.0.0/16}
---
apiVersion: v1
kind: Secret
metadata: {name: mine, namespace: kube-system}
stringData: {password: correct-horse-battery}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: mine, namespace: kube-system}
spec:
  selector: {matchLabels: {app: mine}}
  template:
    metadata: {labels: {app: mine}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 0
      tolerations: [{operator: Exists}]
      containers:
        - name: routes
          image: @IMAGE@
          imagePullPolicy: IfNotPresent
          command: [/bin/sh, -c, 'while true; do @ROUTES@ sleep 3; done']
          env: [{name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]
          securityContext: {capabilities: {drop: [ALL], add: [NET_ADMIN]}}
"""


def manifest() -> str:
    """The user's manifest; a node has no route to its own pods."""
    routes = [
        f'if [ "$HOST" != {ADDRESSES[name]} ]; then ip route replace {PARTS[name][0]} via {ADDRESSES[name]};'
        f" ip -6 route replace {PARTS[name][1]} via {ADDRESSES_V6[name]}; fi;"
        for name in NODES
    ]
    return MANIFEST.replace("@IMAGE@", IMAGE).replace("@ROUTES@", " ".join(routes))


def plugin_list(name: str) -> dict[str, Any]:
    """The user's list of plugins on one host: a plugin that was handed over, with addresses from the house's host-local."""
    ranges = [[{"subnet": part}] for part in PARTS[name]]
    bridge = {"type": "mine-bridge", "bridge": "mine0", "isDefaultGateway": True, "hairpinMode": True}
    plugins = [{**bridge, "ipam": {"type": "host-local", "ranges": ranges}}]
    return {"10-mine.conflist": {"cniVersion": "1.0.0", "name": "mine", "plugins": plugins}}


class Network:
    """One network: what is set for all hosts and for each, and what all of them must do."""

    reset = True  # as docs/networks.md has it: the nodes, with the settings of before
    before: Callable[..., Any] | None = None  # what runs a playbook with those
    proxy = "nftables"

    def settings(self, folder: Any) -> dict[str, Any]:
        """Variables of all hosts."""
        return {}

    def settings_of(self, name: str) -> dict[str, Any]:
        """Variables of one host."""
        return {}

    @pytest.fixture(scope="class")
    def run(self, request, playbook, tmp_path_factory, on):
        """The cluster is built, a second run changes nothing; gives what runs a playbook with these settings."""
        network, folder = request.cls(), tmp_path_factory.mktemp("network")
        more = {
            "all": {
                "vars": network.settings(folder),
                "hosts": {name: network.settings_of(name) for name in NODES},
                "children": {"without_lost": {"hosts": {FIRST: {}, KEPT: {}}}},
            }
        }
        (folder / "hosts.yml").write_text(yaml.safe_dump(more))

        def _run(name: str, *arguments: str) -> Any:
            return playbook(*inventories(str(folder)), name, *arguments)

        if network.reset and Network.before:
            green(Network.before, "playbooks/reset.yml", "-e", f"reset_confirm={NAME}", "--limit", "kube_node")
        Network.before = staticmethod(_run)

        def bare() -> list[str]:
            return [host for host in NODES if not on(host).file("/etc/kubernetes").exists]

        began = bare()
        green(_run, "playbooks/single.yml", "--check")
        assert bare() == began
        green(_run, "playbooks/single.yml", "--diff")
        changes_nothing(green(_run, "playbooks/single.yml"))
        return _run

    def test_verify_tries_both_families_from_every_node(self, run, kubectl):
        """And the rules of Services on each node agree with the API."""
        told = green(run, "playbooks/verify.yml").stdout
        assert "DNS, Services, pods on other hosts (IPv4 and IPv6), logs and exec work from every node" in told
        assert re.search(
            rf"rules of Services \({self.proxy}\): \d+ ports with \d+ endpoints on {len(NODES)} nodes", told
        )
        dns = json.loads(kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "json"))
        assert [":" in address for address in dns["spec"]["clusterIPs"]] == [False, True]
        for node in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]:
            name = node["metadata"]["name"]
            internal = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
            assert internal == [ADDRESSES[name], ADDRESSES_V6[name]]

    def test_rules_that_do_not_follow_are_told(self, run, on, kubectl, namespace):
        """In each mode of kube-proxy."""
        told_where_they_do_not_follow(on, run, kubectl, namespace, KEPT)

    def test_check_mode_finds_nothing_to_change(self, run):
        """On the running cluster."""
        changes_nothing(green(run, "site.yml", "--check", "--diff"))

    def test_a_worker_lost(self, run, kubectl):
        """The others' pods and rules do without it; with power again all is whole without a run."""
        lab("stop", LOST)
        try:
            kubectl("--request-timeout=150s", "wait", "node", LOST, "--for=condition=Ready=Unknown", "--timeout=140s")
            green(run, "playbooks/verify.yml", "--limit", f"!{LOST}")
        finally:
            lab("start", LOST)
        await_whole(run)
        changes_nothing(green(run, "site.yml"))


class Flannel(Network):
    """What flanneld does in each mode."""

    masquerades: tuple[str, str]  # what shows the rules, one for each family

    def test_masquerading_is_turned_off_while_it_runs(self, run, on):
        """flanneld would leave its rules behind, and pods their nodes' addresses; and it is turned on again."""

        def masquerading() -> set[tuple[str, bool]]:
            return {(name, bool(on(name).run(shows).stdout)) for name in NODES for shows in self.masquerades}

        assert masquerading() == {(name, True) for name in NODES}
        green(run, "site.yml", "-e", "cni__masquerade=false", "--tags", "cni")
        assert masquerading() == {(name, False) for name in NODES}
        green(run, "site.yml")
        assert masquerading() == {(name, True) for name in NODES}


class TestVxlanAndNftables(Flannel):
    """The defaults, from bare hosts."""

    reset = False
    masquerades = (
        "nft list table ip flannel-ipv4 | grep masquerade",
        "nft list table ip6 flannel-ipv6 | grep masquerade",
    )

    def test_tunnels_of_both_families(self, run, on):
        """An interface for each."""
        for name in NODES:
            links = on(name).check_output("ip -brief link")
            assert "flannel.1" in links
            assert "flannel-v6.1" in links

    def test_ipvs_is_refused_before_anything_is_changed(self, run, on):
        """Where the kernel has no ip_vs: host, variable and mend are named."""
        if on(FIRST).file("/sys/module/ip_vs").exists:
            pytest.skip("this kernel has ip_vs")
        result = run("site.yml", "-e", "kube_proxy__mode=ipvs")
        assert result.returncode == 2, result.stdout[-4000:]
        told = re.sub(r"\s+", " ", result.stdout)
        names = ", ".join(sorted(NODES))
        assert re.search(
            rf"{names}: has a kernel \(\S+\) without ip_vs\b[^.]*, which kube_proxy__mode ipvs needs", told
        )
        changes_nothing(result)


class TestHostGwAndIptables(Flannel):
    """On the same cluster: backend and mode are changed while it runs."""

    reset = False
    proxy = "iptables"
    masquerades = (
        "iptables -t nat -S FLANNEL-POSTRTG | grep MASQUERADE",
        "ip6tables -t nat -S FLANNEL-POSTRTG | grep MASQUERADE",
    )

    def settings(self, folder):
        return {"cni__flannel_backend": "host-gw", "kube_proxy__mode": "iptables"}

    def test_nothing_of_the_mode_and_the_tunnel_is_left(self, run, on):
        """Chains in place of the table, routes in place of the tunnel."""
        for name in NODES:
            host = on(name)
            tables = host.check_output("nft list tables")
            assert "kube-proxy" not in tables
            assert "flannel-ipv" not in tables
            for save in ("iptables-save", "ip6tables-save"):
                assert ":KUBE-SERVICES " in host.check_output(f"{save} -t nat")
            assert "flannel" not in host.check_output("ip -brief link")
            routes = host.check_output("ip -4 route show; ip -6 route show")
            for other in set(NODES) - {name}:
                assert re.search(rf"10\.244\.\d+\.0/24 via {re.escape(ADDRESSES[other])} ", routes), routes
                assert re.search(rf"fd00:10:244:\S*/64 via {re.escape(ADDRESSES_V6[other])} ", routes), routes


class TestBridge(Network):
    """No daemon: routes from the inventory."""

    def settings(self, folder):
        return {"cni__kind": "bridge"}

    def settings_of(self, name):
        return {"cni__pod_cidr": ",".join(PARTS[name])}

    def routes(self, on, name: str) -> set[str]:
        """Networks of other nodes' pods that a host has routes to, by the mark of the unit that set them."""
        told = on(name).check_output("ip -4 route show proto 77; ip -6 route show proto 77")
        return {line.split()[0] for line in told.splitlines()}

    def test_routes_come_and_go_with_nodes(self, run, on):
        """A node that leaves the inventory takes its routes with it, on every other node."""

        def wished(name: str, nodes: list[str]) -> set[str]:
            return {part for other in nodes if other != name for part in PARTS[other]}

        for name in NODES:
            assert self.routes(on, name) == wished(name, NODES)
        without = {"cluster_kube_node_group": "without_lost", "cluster_hosts": "etcd:kube_apiserver:without_lost"}
        green(run, "site.yml", "-e", json.dumps(without))
        for name in (FIRST, KEPT):
            assert self.routes(on, name) == wished(name, [FIRST, KEPT])
        green(run, "site.yml")
        for name in NODES:
            assert self.routes(on, name) == wished(name, NODES)

    def test_nothing_of_flannel_is_left(self, run, on):
        """The reset before took it all away."""
        for name in NODES:
            assert not on(name).file("/etc/systemd/system/flanneld.service").exists
            assert "KUBE-SERVICES" not in on(name).check_output("iptables-save -t nat")
            assert "table ip hardway-pods" in on(name).check_output("nft list tables")


class TestBrought(Network):
    """Someone else's network: manifests, a plugin and a list of plugins are handed over."""

    def settings(self, folder):
        (folder / "manifests").mkdir()
        (folder / "manifests" / "mine.yaml").write_text(manifest())
        return {
            "cni__kind": "none",
            "cni__manifests": [str(folder / "manifests" / "mine.yaml")],
            "cni__plugins": ["host-local", "loopback"],
            "cni__releases": [
                {"name": "mine", "version": "1.9.1", "url": PLUGINS, "members": {"bridge": "mine-bridge"}}
            ],
        }

    def settings_of(self, name):
        return {"cni__conf": plugin_list(name)}

    def test_what_was_handed_over_is_there(self, run, on, kubectl):
        """And nothing of the house's own networks."""
        for name in NODES:
            host = on(name)
            assert sorted(host.check_output("ls /opt/cni/bin").split()) == ["host-local", "loopback", "mine-bridge"]
            assert host.check_output("ls /etc/cni/net.d").split() == ["10-mine.conflist"]
            links = host.check_output("ip -brief link")
            assert "mine0" in links
            assert "cni0" not in links
            assert not host.file("/etc/systemd/system/cni-routes.service").exists
        assert "10.244.0.0/16" in kubectl("get", "pools.network.example.com", "pods", "-o", "jsonpath={.spec.cidr}")

    def test_a_secret_in_a_manifest_is_in_no_output(self, run, kubectl):
        """Not of a verbose run with differences either."""
        kubectl("-n", "kube-system", "delete", "secret", "mine")
        result = green(run, "site.yml", "--diff", "-vvv")
        assert "Secret mine" in result.stdout
        for text in ("correct-horse-battery", "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"):
            assert text not in result.stdout + result.stderr

    def test_a_manifest_that_is_none_stops_the_run(self, run, tmp_path):
        """Before any host is touched."""
        (tmp_path / "bad.yaml").write_text("kind: DaemonSet\n")
        result = run("site.yml", "-e", json.dumps({"cni__manifests": [str(tmp_path / "bad.yaml")]}))
        assert result.returncode == 2
        assert "document 1: it lacks apiVersion, metadata.name" in re.sub(r"\s+", " ", result.stdout)
