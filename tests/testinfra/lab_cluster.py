"""The lab's inventory and connections to its hosts, for tests that run inside the lab's network."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import testinfra

REPOSITORY = Path(__file__).resolve().parents[2]


def _inventory() -> dict[str, Any]:
    if "LAB_DIR" not in os.environ:
        raise pytest.UsageError("run these tests inside a lab: bin/lab exec -- pytest tests/testinfra")
    listing = subprocess.run(
        ["ansible-inventory", "--list"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    return json.loads(listing.stdout)


INVENTORY = _inventory()
HOSTVARS: dict[str, dict[str, Any]] = INVENTORY["_meta"]["hostvars"]
NAME = next(iter(HOSTVARS.values()), {}).get("cluster_name", "")


def group(name: str) -> list[str]:
    """Names of the hosts of a group, those of its children too."""
    listed = INVENTORY.get(name, {})  # ansible leaves empty groups out
    found = list(listed.get("hosts", []))
    for child in listed.get("children", []):
        found += group(child)
    return list(dict.fromkeys(found))


def connect(name: str) -> Any:
    """A testinfra host, as root, over the lab's own SSH settings."""
    variables = HOSTVARS[name]
    return testinfra.get_host(
        f"ssh://{variables['ansible_user']}@{variables['ansible_host']}",
        ssh_identity_file=variables["ansible_ssh_private_key_file"],
        ssh_extra_args=f"{variables['ansible_ssh_common_args']} {variables['ansible_ssh_args']}",
        sudo=True,
    )


def changed(output: str) -> dict[str, int]:
    """Host to its count of changes, from a play recap."""
    found = {}
    for line in output.split("PLAY RECAP", 1)[1].splitlines()[1:]:
        if " : " in line:
            counts = dict(part.split("=") for part in line.split(" : ")[1].split())
            found[line.split(" : ")[0].strip()] = int(counts["changed"])
    return found


def changes_nothing(result: Any) -> None:
    """A run that found all as wished."""
    assert set(changed(result.stdout).values()) == {0}, result.stdout[-4000:]


def lab(*arguments: str) -> None:
    """Runs a verb of this lab."""
    verb, *rest = arguments
    subprocess.run([str(REPOSITORY / "bin" / "lab"), verb, "--name", os.environ["LAB_NAME"], *rest], check=True)


SERVERS = group("kube_apiserver")
NODES = group("kube_node")
MANAGERS = list(dict.fromkeys(group("kube_controller_manager") + group("kube_scheduler")))
# Nodes for ordinary workloads; where every node has an API server beside it, all of them.
WORKERS = [name for name in NODES if name not in SERVERS] or NODES
# Nodes, and whoever needs the API and has no server beside it, ask through a balancer.
BALANCED = list(dict.fromkeys(NODES + [name for name in MANAGERS if name not in SERVERS]))


def _balancing() -> tuple[str, list[str], str, str]:
    """The kind of balancer, the hosts that balance for all, the address that they share, and where nodes ask."""
    variables = next(iter(HOSTVARS.values()), {})
    kind, endpoint = variables.get("load_balancer__kind", "local"), variables.get("cluster_api_endpoint", "")
    if kind == "local":
        return kind, [], "", "https://127.0.0.1:7443"
    if kind == "external":
        return kind, [], "", f"https://{endpoint}"
    virtual = variables.get("virtual_address__address") or (endpoint.rpartition(":")[0] if kind != "hybrid" else "")
    port = variables.get("load_balancer__pair_port") or endpoint.rpartition(":")[2]
    return kind, group("load_balancer"), virtual, f"https://{virtual}:{port}" if virtual else f"https://{endpoint}"


BALANCER, BALANCERS, VIRTUAL_ADDRESS, BALANCED_API = _balancing()
# Every host of the cluster; the inventory may have others, which nothing touches.
HOSTS = list(dict.fromkeys(group("etcd") + SERVERS + MANAGERS + NODES + BALANCERS))

LEADING = ("kube-controller-manager", "kube-scheduler")
# Which hosts run a service.
UNITS = {
    "etcd": group("etcd"),
    "kube-apiserver": SERVERS,
    "kube-controller-manager": group("kube_controller_manager"),
    "kube-scheduler": group("kube_scheduler"),
    "load-balancer": BALANCED if BALANCER == "local" else BALANCERS,
    "virtual-address": BALANCERS if VIRTUAL_ADDRESS else [],
    "containerd": NODES,
    "kubelet": NODES,
    "flanneld": NODES,
    "kube-proxy": NODES,
}


def units(name: str) -> list[str]:
    """The services that a host runs."""
    return [unit for unit, names in UNITS.items() if name in names]


# Hosts with keys of their own: a balancer has none.
KEYED = [name for name in HOSTS if set(units(name)) - {"load-balancer", "virtual-address"}]


def holders(on: Any, names: list[str] = BALANCERS, address: str = VIRTUAL_ADDRESS) -> list[str]:
    """Which of these hosts have the virtual address."""
    return [name for name in names if f" {address}/" in on(name).check_output("ip -brief address")]


def leader(kubectl: Any, unit: str) -> str:
    """The host whose controller-manager or scheduler leads."""
    identity = kubectl("-n", "kube-system", "get", "lease", unit, "-o", "jsonpath={.spec.holderIdentity}")
    return identity.split("_")[0]


def inventories(*more: str) -> list[str]:
    """Options that give ansible-playbook the lab's inventories and more of them."""
    return [word for path in [*os.environ["ANSIBLE_INVENTORY"].split(","), *more] for word in ("-i", path)]


def processes(on: Any, names: list[str]) -> dict[str, dict[str, str]]:
    """By host and unit, the main process and when it was started: equal means that nothing was restarted."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        told = on(name).check_output(
            "systemctl show --property=Id,MainPID,ExecMainStartTimestampMonotonic " + " ".join(units(name))
        )
        entries = [dict(line.split("=", 1) for line in block.splitlines()) for block in told.split("\n\n")]
        found[name] = {
            entry["Id"].removesuffix(".service"): entry["MainPID"] + "@" + entry["ExecMainStartTimestampMonotonic"]
            for entry in entries
        }
    return found


def restarted(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> set[tuple[str, str]]:
    """Host and unit of every process that is another one now."""
    return {(name, unit) for name in before for unit in before[name] if before[name][unit] != after[name][unit]}


def restarted_by_a_run(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> set[tuple[str, str]]:
    """The same without what leads beside an API server that is restarted: it may end with it, and comes back by itself."""
    found = restarted(before, after)
    return {(name, unit) for name, unit in found if unit not in LEADING or (name, "kube-apiserver") not in found}


# etcdctl of a host with a member, which it asks.
ETCDCTL = (
    "etcdctl --cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/server.crt --key=/etc/etcd/pki/server.key "
    "--endpoints=https://127.0.0.1:2379"
)
VIRTUAL = next(iter(HOSTVARS.values()), {}).get("lab_kind") == "vm"
# In seconds. Without KVM, a virtual machine's pods run some 100 s after its power is back where two cores are free for it.
WHOLE_WITHIN = 900 if VIRTUAL else 180
ROLLED_OUT_WITHIN = 600 if VIRTUAL else 120
ANSWERED_WITHIN = 60 if VIRTUAL else 20


def ask(url: str = BALANCED_API, path: str = "/api/v1/namespaces/default", within: int = 3) -> str:
    """A node's question to the API, where nodes ask or at another address; prints the HTTP status.

    403 is an answer: the API server's own, without a look into etcd. What a node may see, such as itself, is in etcd.
    """
    return (
        f"curl -s -o /dev/null -w '%{{http_code}}' --max-time {within} --cacert /etc/kubernetes/pki/ca.crt "
        "--cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key "
        f"{url}{path}"
    )


def green(playbook: Any, *arguments: str) -> Any:
    """Run a playbook, which must end well; gives its result."""
    result = playbook(*arguments)
    assert result.returncode == 0, result.stdout[-4000:]
    return result


def told(**variables: object) -> list[str]:
    """Variables as options of ansible-playbook, with their types."""
    return ["-e", json.dumps(variables)]


def await_whole(playbook: Any, *arguments: str) -> str:
    """The cluster is whole again without a run: verify.yml says so in the end. Gives what it said."""
    end = time.monotonic() + WHOLE_WITHIN
    while True:
        result = playbook("playbooks/verify.yml", *arguments)
        if result.returncode == 0 or time.monotonic() > end:
            break
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def in_the_end(within: float, kubectl: Any, *words: str) -> str:
    """What kubectl says, once it ends well."""
    end = time.monotonic() + within
    while True:
        try:
            return kubectl(*words)
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(1)


def await_leader(kubectl: Any) -> str:
    """etcd takes what is written again: with the lost host its leader may have gone."""
    write = ("annotate", "--overwrite", "namespace", "default", "hardway.test/written=yes")
    return in_the_end(ROLLED_OUT_WITHIN, kubectl, *write)


def await_servers(kubectl: Any) -> None:
    """All API servers are ready. Slow machines that start have better to do than verify.yml, which looks at everything."""
    for name in SERVERS:
        in_the_end(WHOLE_WITHIN, through(kubectl, name), "get", "--raw", "/readyz")


def all_answered(said: str, endpoint: str) -> None:
    """Each API server has answered behind an address that stands for all, as verify.yml said."""
    answered = re.search(rf"connections to {re.escape(endpoint)} were answered by: (.*)", said)[1]
    assert [part.split()[0] for part in answered.split(", ")] == sorted(SERVERS), answered


IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"


def through(kubectl: Any, name: str) -> Any:
    """kubectl that asks this host's API server, and not the one of the administrator's kubeconfig, which may be down."""
    return functools.partial(kubectl, f"--server=https://{HOSTVARS[name]['ansible_host']}:6443")


def make_namespace(kubectl: Any, name: str) -> None:
    """A namespace that pods can be made in: not before the controllers have given it a ServiceAccount."""
    kubectl("create", "namespace", name)
    kubectl("-n", name, "wait", "serviceaccount/default", "--for=create", f"--timeout={ROLLED_OUT_WITHIN}s")


def await_rolled_out(kubectl: Any, namespace: str) -> None:
    """All pods of the Deployment web are there and ready."""
    kubectl("-n", namespace, "rollout", "status", "deployment/web", f"--timeout={ROLLED_OUT_WITHIN}s")


def roll_out(kubectl: Any, namespace: str) -> None:
    """A new Deployment in a namespace of its own must come up: API, controllers, scheduler and nodes work."""
    await_leader(kubectl)  # what was lost just before may have led etcd
    make_namespace(kubectl, namespace)
    command = ["--replicas=2", f"--image={IMAGE}", "--", "/agnhost", "netexec"]
    kubectl("-n", namespace, "create", "deployment", "web", *command)
    await_rolled_out(kubectl, namespace)
    kubectl("delete", "namespace", namespace, "--wait=false")
