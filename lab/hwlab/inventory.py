"""The hosts of a topology's sample inventory, and the lab's own inventory of connection variables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwlab import proc
from hwlab.paths import Lab
from hwlab.ui import LabError

USER = "admin"
# Roles that wait for what they start.
COMPONENTS = (
    "etcd",
    "kube_apiserver",
    "kube_controller_manager",
    "kube_scheduler",
    "load_balancer",
    "virtual_address",
    "containerd",
    "kubelet",
    "cni",
    "kube_proxy",
)
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Topology:
    """What the lab needs to know of an inventory."""

    name: str
    addresses: Mapping[str, str]
    kubernetes: str | None
    kind: str | None = None
    debian: str | None = None
    addresses_v6: Mapping[str, str] = field(default_factory=dict)


def named(topology: str) -> str:
    """How a lab remembers its topology: a folder of inventory/ by its name, any other folder by its whole path."""
    return os.path.abspath(topology) if "/" in topology else topology


def where(topology: str) -> str:
    """The topology's folder, for messages."""
    return topology if "/" in topology else f"inventory/{topology}"


def directory(repository: Path, topology: str) -> Path:
    """A topology's inventory: a sample of the repository, or a folder of one's own, which has a '/' in its name."""
    if "/" in topology:
        if "," in topology:  # ansible would take it for two inventories
            raise LabError(f"an inventory's path can't have a comma in it: {topology}")
        if not Path(topology).is_dir():
            raise LabError(f"there is no folder {topology} with an inventory")
        if not any(Path(topology).glob("hosts*")):
            # Ansible would read every file below it, and run those that can be run: in a checkout its tests, for example.
            raise LabError(f"{topology} is no inventory folder: it has no file of hosts, such as hosts.yml")
        return Path(topology)
    path = repository / "inventory" / topology
    if not re.fullmatch(r"[A-Za-z0-9_-]+", topology) or not path.is_dir():
        known = sorted(child.name for child in (repository / "inventory").glob("*") if child.is_dir())
        raise LabError(f"there is no topology {topology!r}; inventory/ has: {', '.join(known) or 'none'}")
    return path


def parse(name: str, listing: Mapping[str, Any]) -> Topology:
    """Reads what `ansible-inventory --list` printed."""
    variables: Mapping[str, Mapping[str, Any]] = listing.get("_meta", {}).get("hostvars", {})
    names: set[str] = set()
    for group, content in listing.items():
        if group != "_meta":
            names.update(content.get("hosts", ()))
    names |= set(variables)
    if not names:
        raise LabError(f"{where(name)} has no hosts: the lab would have nothing to run")
    addresses: dict[str, str] = {}
    for host in sorted(names):
        address = variables.get(host, {}).get("ansible_host")
        if not _HOST_NAME.fullmatch(host):
            raise LabError(f"{where(name)}: {host!r} can't be a host's name: small letters, digits and '-' only")
        if not address:
            raise LabError(f"{where(name)}: host {host} has no ansible_host")
        if address in addresses.values():
            other = next(key for key, value in addresses.items() if value == address)
            raise LabError(f"{where(name)}: hosts {other} and {host} have the same ansible_host {address}")
        addresses[host] = str(address)
    second = {host: str(variables.get(host, {}).get("cluster_address_v6") or "") for host in addresses}
    versions = {str(v["cluster_version"]) for v in variables.values() if "cluster_version" in v}
    version = versions.pop() if len(versions) == 1 else None
    kind, debian = (_one(name, variables, variable) for variable in ("lab_kind", "lab_debian"))
    second = {host: address for host, address in second.items() if address}
    return Topology(name, addresses, version, kind, debian, second)


def _one(name: str, variables: Mapping[str, Mapping[str, Any]], variable: str) -> str | None:
    values = {str(mine[variable]) for mine in variables.values() if mine.get(variable)}
    if len(values) > 1:
        raise LabError(f"{where(name)}: {variable} must be the same for all hosts, not {' and '.join(sorted(values))}")
    return values.pop() if values else None


def read(repository: Path, name: str) -> Topology:
    """Reads a topology's inventory with ansible's own eyes."""
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(directory(repository, name)), "--list"]
    # The caller's ansible settings (vault, plugins, other inventories) are not the sample's.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment["ANSIBLE_LOCALHOST_WARNING"] = "False"
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )
    if result.returncode != 0:
        raise LabError(f"ansible can't read {where(name)}: {(result.stderr or result.stdout).strip()}")
    return parse(name, json.loads(result.stdout))


def ssh_options(lab: Lab, kind: str = "nspawn") -> list[str]:
    """How to reach the lab's hosts, and nothing of the user's own SSH settings."""
    # A virtual machine without KVM may take its time.
    connect, alive = (20, 10) if kind == "vm" else (5, 5)
    return [
        "-F/dev/null",
        f"-oUserKnownHostsFile={lab.known_hosts}",
        "-oStrictHostKeyChecking=yes",
        "-oIdentitiesOnly=yes",
        f"-oConnectTimeout={connect}",
        # A host that lost power must not hold a shared connection's users for long.
        f"-oServerAliveInterval={alive}",
        "-oServerAliveCountMax=3",
        "-oLogLevel=ERROR",
    ]


def control_path(lab: Lab, address: str = "%h") -> str:
    """Where ansible's shared SSH connection to an address has its socket (its path may have 107 bytes)."""
    return str(lab.sockets / f"{address}-%p-%r") if address == "%h" else str(lab.sockets / f"{address}-22-{USER}")


def connection(lab: Lab, kind: str) -> dict[str, Any]:
    """The connection variables of all hosts."""
    shared = f"-oControlMaster=auto -oControlPersist=120s -oControlPath={control_path(lab)}"
    # A virtual machine without KVM that has little of the machine for itself asks sudo for longer than Ansible waits.
    slow = {"ansible_ssh_timeout": 60} if kind == "vm" else {}
    return {
        **slow,
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(lab.key),
        "ansible_become": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_args": shared,
        "ansible_ssh_common_args": " ".join(ssh_options(lab, kind)),
    }


def variables(lab: Lab, mirror_url: str, kubernetes: str | None) -> dict[str, Any]:
    """The variables that only the lab can know."""
    values: dict[str, Any] = {
        "release__mirror_url": mirror_url,
        # Release files may be of the lab's own making: they are checked against what the mirror says, not upstream's pins.
        "release__checksums": "published",
        "cluster_controller_dir": str(lab.controller),
        "kubectl__kubeconfig": str(lab.kubeconfig),
    }
    if kubernetes:
        values["cluster_version"] = kubernetes
    return values


def patience(kind: str) -> dict[str, Any]:
    """How long runs wait, in seconds: without KVM, programs of a virtual machine start some ten times slower."""
    if kind != "vm":
        return {}
    return {
        **{f"{component}__start_within": 600 for component in COMPONENTS},
        "load_balancer__check_within": 10,
        "kubelet__ready_within": 600,
        "cluster_dns__available_within": 600,
        "verify__within": 300,
        "verify__answers_within": 30,
        "verify__rules_within": 120,
    }


def image_archives(archives: Mapping[str, tuple[str, str, str]]) -> dict[str, Any]:
    """The role's own variable for hosts without a registry.

    archives: name of an image archive to its version, its path below the mirror and the image in it.
    """
    entries = [
        {"name": name, "version": version, "url": f"http://{path}", "images": [image]}
        for name, (version, path, image) in sorted(archives.items())
    ]
    return {"containerd__image_archives": entries}


def write_images(lab: Lab, archives: Mapping[str, tuple[str, str, str]]) -> None:
    """Tells the roles of the images that the mirror holds; once the release files are made."""
    path = lab.inventory / "group_vars" / "all" / "4-images.yml"
    proc.write_atomic(path, to_yaml(image_archives(archives), "Made by bin/lab; the next `up` writes it again."))


def to_yaml(values: Mapping[str, Any], comment: str) -> str:
    """YAML of a flat mapping; JSON's scalars are YAML's."""
    return f"# {comment}\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def write(lab: Lab, topology: Topology, kind: str, mirror_url: str, kubernetes: str | None) -> None:
    """Writes the lab's inventory, to be used after the topology's own; virtual machines need no exceptions."""
    all_vars = lab.inventory / "group_vars" / "all"
    made = "Made by bin/lab; the next `up` writes it again."
    exceptions = lab.repository / "lab" / "exceptions.yml"
    hosts = "".join(f"    {host}: {{}}\n" for host in sorted(topology.addresses))
    proc.write_atomic(lab.inventory / "hosts.yml", f"# {made}\nall:\n  hosts:\n{hosts}")
    # Ansible reads these by name, and what is read later wins.
    proc.write_atomic(all_vars / "1-connection.yml", to_yaml(connection(lab, kind), made))
    if kind == "nspawn" and exceptions.is_file():
        proc.write_atomic(all_vars / "2-exceptions.yml", f"# {made} From lab/exceptions.yml.\n{exceptions.read_text()}")
    else:
        (all_vars / "2-exceptions.yml").unlink(missing_ok=True)
    known = {"lab_kind": kind, **patience(kind), **variables(lab, mirror_url, kubernetes)}
    proc.write_atomic(all_vars / "3-lab.yml", to_yaml(known, made))
