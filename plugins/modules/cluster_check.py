#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

OURS = "hardway.kubernetes/verify"  # label of a namespace that a verification made, and may delete
DOCUMENTATION = r"""
module: cluster_check
short_description: Try the cluster as its users do
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
extends_documentation_fragment: [hardway.kubernetes.api]
description:
  - Asks every API server, looks at every node, and runs a small pod on each. From inside each pod it resolves a Service of
    another namespace, asks a Service, and connects to pods on other hosts. Logs and exec are used on the way.
  - The namespace that it makes is removed at the end. What is wrong comes back as sentences.
attributes:
  check_mode:
    description: Only looks at API servers and nodes; no pod is started.
    support: partial
    details: Pods are started only outside check mode.
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  nodes:
    description: Names of the nodes that the inventory has and that answered.
    type: list
    elements: str
    required: true
  namespace:
    description: Namespace for the test's pods.
    type: str
    default: hardway-verify
  image:
    description: Image that holds agnhost and a shell.
    type: str
    required: true
  domain:
    description: DNS domain of the cluster.
    type: str
    default: cluster.local
  within:
    description: Seconds within which the pods must run.
    type: int
    default: 120
  rules_within:
    description: Seconds within which Services and names must answer the pods once those run; the nodes' rules follow them with a
      delay.
    type: int
    default: 20
  peers:
    description: To how many other pods each pod connects.
    type: int
    default: 5
  families:
    description: Families of addresses that pods and Services must have, the first of them first.
    type: list
    elements: str
    choices: [IPv4, IPv6]
    default: [IPv4]
  balancer:
    description: The address of a balancer that must ask each API server for /readyz, and that nothing else stands for.
    type: str
    default: ""
  shutdown_delay:
    description: How long an API server says that it is not ready before it stops, as its flag C(shutdown-delay-duration) has it. The
      balancer must ask twice in that time; less than 5 seconds count as 5.
    type: str
    default: 5s
  balancer_within:
    description: Seconds for which it is looked at.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Try the cluster
  hardway.kubernetes.cluster_check:
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    servers: [https://192.168.60.11:6443]
    nodes: [cp1]
    image: registry.k8s.io/e2e-test-images/agnhost:2.63.0
"""

RETURN = r"""
findings:
  description: What is wrong, each a sentence.
  returned: always
  type: list
  elements: str
facts:
  description: What was seen to work, for the report.
  returned: always
  type: list
  elements: str
ready_servers:
  description: Addresses of the API servers that are ready.
  returned: always
  type: list
  elements: str
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import (
    API_SPEC,
    Api,
    ApiError,
    family_of,
    wait_for,
)

PORT = 8080
SECOND = "probe-second"  # a Service that has an address of the second family only
LABELS = {"app": "hardway-verify"}


def daemon_set(namespace, image):
    """The test's pods: one on every node, tainted ones too, unprivileged."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": False,
                    "tolerations": [{"operator": "Exists"}],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65534,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "probe",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["/agnhost", "netexec", "--http-port=%d" % PORT, "--udp-port=-1"],
                            "ports": [{"containerPort": PORT}],
                            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "readOnlyRootFilesystem": True,
                            },
                        }
                    ],
                },
            },
        },
    }


def is_ready(pod):
    """Whether a pod serves."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def reached_at(address, port):
    """An address and a port as clients write them."""
    return ("[%s]:%d" if ":" in address else "%s:%d") % (address, port)


def addresses_of(pod):
    """All addresses of a pod, the first one first."""
    status = pod["status"]
    return [entry["ip"] for entry in status.get("podIPs") or []] or [status["podIP"]]


def asked_for_readiness(api):
    """How often an API server was asked for /readyz since its start, as its metrics tell."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in api.request("GET", "/metrics").splitlines()
        if line.startswith("apiserver_request_total{") and 'subresource="/readyz"' in line
    )


def seconds(duration):
    """A duration as Go writes it, such as 1m30s, in seconds."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)(h|ms|m|s)", duration))


def asked_twice(samples, within):
    """Whether two questions came so soon one after the other; samples are pairs of a time and a count, in seconds."""
    return any(
        later - time_ <= within and count - before >= 2
        for number, (time_, before) in enumerate(samples)
        for later, count in samples[number + 1 :]
    )


def why_pod_waits(pod):
    """Why a pod does not run, in the kubelet's or the scheduler's words."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            return "%s %s" % (waiting.get("reason", ""), waiting.get("message", ""))
    for condition in status.get("conditions") or []:
        if condition["status"] != "True" and condition.get("message"):
            return condition["message"]
    return status.get("phase", "unknown")


class ClusterCheck:
    """One try of the whole cluster."""

    def __init__(self, module):
        self.module = module
        self.wish = module.params
        self.api = Api.from_params(module.params)
        self.findings = []
        self.facts = []
        self.ready = {}  # API servers by address

    def servers(self):
        """Each API server by itself."""
        for server in self.wish["servers"]:
            single = Api([server], self.wish["ca"], self.wish["client_certificate"], self.wish["client_key"], timeout=5)
            try:
                single.request("GET", "/readyz")
                self.ready[server] = single
            except ApiError as error:
                self.findings.append(
                    "the API server %s is not ready: %s. Look at kube-apiserver and etcd there." % (server, error)
                )
        self.facts.append("%d of %d API servers ready" % (len(self.ready), len(self.wish["servers"])))

    def balancer(self):
        """Whether somebody else asks every ready API server for /readyz, often enough to notice one that ends."""
        drains_for = max(5, seconds(self.wish["shutdown_delay"]))
        samples = {server: [] for server in self.ready}

        def unasked():
            for server, single in self.ready.items():
                samples[server].append((time.monotonic(), asked_for_readiness(single)))
            return [server for server, seen in samples.items() if not asked_twice(seen, drains_for)]

        missing = wait_for(unasked, self.wish["balancer_within"], 1)
        for server in missing:
            self.findings.append(
                "the balancer at %s has not asked the API server %s for /readyz twice within %d s, for which a server that ends says "
                "so first, so it would lead clients to one that is gone. Put the server into its pool, with the health check HTTPS GET "
                "/readyz that expects 200, so often; or raise the flag shutdown-delay-duration in kube_apiserver__flags "
                "(docs/load-balancers.md)." % (self.wish["balancer"], server, drains_for)
            )
        if self.ready and not missing:
            # Metrics don't say who it was: a pair of before that still serves counts too.
            self.facts.append(
                "every API server is asked for /readyz, by the balancer at %s or another one" % self.wish["balancer"]
            )

    def nodes(self):
        """Nodes against the inventory; returns the names of those that are Ready."""
        listed = {node["metadata"]["name"]: node for node in self.api.request("GET", "/api/v1/nodes")["items"]}
        ready = []
        for name in self.wish["nodes"]:
            conditions = {
                entry["type"]: entry for entry in listed.get(name, {}).get("status", {}).get("conditions") or []
            }
            if name not in listed:
                self.findings.append("node %s is not registered. Look at: journalctl -u kubelet there." % name)
            elif conditions.get("Ready", {}).get("status") != "True":
                self.findings.append(
                    "node %s is not Ready: %s" % (name, conditions.get("Ready", {}).get("message", "it says nothing"))
                )
            else:
                ready.append(name)
            for kind in ("DiskPressure", "MemoryPressure", "PIDPressure"):
                if conditions.get(kind, {}).get("status") == "True":
                    self.findings.append("node %s is under %s: %s" % (name, kind, conditions[kind].get("message", "")))
        self.facts.append("%d of %d nodes Ready" % (len(ready), len(self.wish["nodes"])))
        return ready

    def make_namespace(self):
        """Where all of the test will be."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted", OURS: "true"}
        metadata = {"name": self.wish["namespace"], "labels": labels}
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def start(self):
        """Make the test's pods and Services; returns the first Service's addresses."""
        self.api.apply(daemon_set(self.wish["namespace"], self.wish["image"]))
        spec = {"selector": LABELS, "ports": [{"port": 80, "targetPort": PORT}]}
        families = self.wish["families"]
        if len(families) > 1:
            own = dict(spec, ipFamilyPolicy="SingleStack", ipFamilies=families[1:])
            self.api.apply(self.service(SECOND, own))
        dummy, service = self.api.apply(self.service("probe", dict(spec, ipFamilyPolicy="PreferDualStack")))
        addresses = service["spec"].get("clusterIPs") or [service["spec"]["clusterIP"]]
        missing = [name for name in families if name not in [family_of(address) for address in addresses]]
        if missing:
            self.findings.append(
                "a Service gets no %s address (only %s). See cluster_service_cidr, and the flag service-cluster-ip-range of the "
                "API servers." % (" and no ".join(missing), ", ".join(addresses))
            )
        return addresses

    def service(self, name, spec):
        """A Service of the test."""
        metadata = {"name": name, "namespace": self.wish["namespace"]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    def is_free(self):
        """Whether the test may have its namespace. One that an earlier, killed run left goes first; anybody else's stays."""
        namespace, path = self.wish["namespace"], "/api/v1/namespaces/" + self.wish["namespace"]
        present = self.api.get(path)
        if present is None:
            return True
        if OURS not in (present["metadata"].get("labels") or {}):
            self.findings.append(
                "the namespace %s is there, and no verification made it, so no pods were tried: what is in it would be lost. Set "
                "verify__namespace to a name that nobody uses, or delete it yourself." % namespace
            )
            return False
        self.api.request("DELETE", path)
        if wait_for(lambda: self.api.get(path), self.wish["within"]):
            raise ApiError(0, "the namespace %s of an earlier run does not go away" % namespace)
        return True

    def pods(self, ready):
        """Wait for a pod on each Ready node; returns pods by node."""
        path = "/api/v1/namespaces/%s/pods" % self.wish["namespace"]
        running = {}

        def waiting():
            listed = {pod["spec"].get("nodeName"): pod for pod in self.api.request("GET", path)["items"]}
            running.update({node: pod for node, pod in listed.items() if is_ready(pod)})
            return {
                name: why_pod_waits(listed[name]) if name in listed else "none was made there"
                for name in ready
                if name not in listed or not is_ready(listed[name])
            }

        for name, reason in wait_for(waiting, self.wish["within"]).items():
            running.pop(name, None)
            self.findings.append("no pod runs on node %s after %d s: %s" % (name, self.wish["within"], reason))
        for name, pod in sorted(running.items()):
            mine = addresses_of(pod)
            missing = [family for family in self.wish["families"] if family not in map(family_of, mine)]
            if missing:
                self.findings.append(
                    "the pod on node %s has no %s address (only %s). See the network of pods there: /etc/cni/net.d, and the node's "
                    "podCIDRs." % (name, " and no ".join(missing), ", ".join(mine))
                )
        self.facts.append("pods run on %d of %d Ready nodes" % (len(running), len(ready)))
        return running

    def targets(self, node, pods, service):
        """What one node's pod connects to: (what it shows, address)."""
        others = sorted(name for name in pods if name != node)
        start = sum(1 for name in others if name < node)
        ring = (others[start:] + others[:start])[: self.wish["peers"]]
        targets = [
            (
                "DNS does not resolve a Service of another namespace",
                "kubernetes.default.svc.%s:443" % self.wish["domain"],
            ),
        ]
        targets += [("a Service does not answer", reached_at(address, 80)) for address in service]
        if len(self.wish["families"]) > 1:
            name = "%s.%s.svc.%s:80" % (SECOND, self.wish["namespace"], self.wish["domain"])
            targets.append(
                ("a Service with an %s address alone does not answer by its name" % self.wish["families"][1], name)
            )
        return targets + [
            ("a pod on %s is not reached" % name, reached_at(address, PORT))
            for name in ring
            for address in addresses_of(pods[name])
        ]

    def try_from(self, node, pods, service):
        """Everything that one node's pod can try; returns sentences."""
        pod = pods[node]["metadata"]["name"]
        targets = self.targets(node, pods, service)
        # In which a name is looked up too, in all domains of the pod's search list.
        seconds = max(5, self.wish["rules_within"] // 4)
        script = "; ".join(
            "/agnhost connect --timeout=%ds %s >/dev/null 2>&1 || echo %d" % (seconds, address, number)
            for number, (dummy, address) in enumerate(targets)
        )
        api = Api(self.api.servers, self.wish["ca"], self.wish["client_certificate"], self.wish["client_key"])

        def attempt():
            found = []
            try:
                command = ["/bin/sh", "-c", script + "; echo done"]
                dummy, out, errors = api.execute(self.wish["namespace"], pod, command, timeout=25 + seconds)
                answers = out.split()
                if "done" not in answers:
                    found.append("exec into the pod on node %s does not work: %s" % (node, errors.strip()))
                for number in answers:
                    if number.isdigit():
                        found.append("from a pod on node %s %s (%s)" % ((node,) + targets[int(number)]))
            except (ApiError, OSError) as error:
                found.append("exec into the pod on node %s does not work: %s" % (node, error))
            try:
                api.request("GET", "/api/v1/namespaces/%s/pods/%s/log?tailLines=1" % (self.wish["namespace"], pod))
            except ApiError as error:
                found.append("logs of the pod on node %s can't be read: %s" % (node, error))
            return found

        return wait_for(attempt, self.wish["rules_within"], 1)

    def tries(self, pods, service):
        """All nodes side by side."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            for found in pool.map(lambda node: self.try_from(node, pods, service), sorted(pods)):
                self.findings += found
        if pods and not self.findings:
            both = " (%s)" % " and ".join(self.wish["families"]) if len(self.wish["families"]) > 1 else ""
            self.facts.append("DNS, Services, pods on other hosts%s, logs and exec work from every node" % both)

    def clean(self):
        """Remove the namespace; its going is not waited for."""
        self.api.request("DELETE", "/api/v1/namespaces/" + self.wish["namespace"])


def main():
    module = AnsibleModule(
        argument_spec=dict(
            API_SPEC,
            nodes={"type": "list", "elements": "str", "required": True},
            namespace={"type": "str", "default": "hardway-verify"},
            image={"type": "str", "required": True},
            domain={"type": "str", "default": "cluster.local"},
            within={"type": "int", "default": 120},
            rules_within={"type": "int", "default": 20},
            peers={"type": "int", "default": 5},
            families={"type": "list", "elements": "str", "choices": ["IPv4", "IPv6"], "default": ["IPv4"]},
            balancer={"type": "str", "default": ""},
            shutdown_delay={"type": "str", "default": "5s"},
            balancer_within={"type": "int", "default": 30},
        ),
        supports_check_mode=True,
    )
    check = ClusterCheck(module)
    try:
        check.servers()
        ready = check.nodes()
        if not module.check_mode and check.is_free():
            check.make_namespace()
            try:
                service = check.start()
                check.tries(check.pods(ready), service)
            finally:
                check.clean()
        if module.params["balancer"]:
            check.balancer()
    except ApiError as error:
        check.findings.append("the API refused the check: %s" % error)
    module.exit_json(changed=False, findings=check.findings, facts=check.facts, ready_servers=sorted(check.ready))


if __name__ == "__main__":
    main()
