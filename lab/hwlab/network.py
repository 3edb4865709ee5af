"""A lab's network: a namespace of its own with a bridge, so that labs with the same addresses run side by side."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from hwlab import proc
from hwlab.ui import LabError

BRIDGE = "hwlab0"
MIRROR_PORT = 8080
_NETNS_DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000

Result = TypeVar("Result")


def subnet(addresses: Iterable[str]) -> ipaddress.IPv4Network:
    """The one /24 that all hosts are in; its first address is the lab's bridge."""
    networks: set[ipaddress.IPv4Network] = set()
    for address in addresses:
        try:
            networks.add(ipaddress.IPv4Network(f"{ipaddress.IPv4Address(address)}/24", strict=False))
        except ValueError:
            raise LabError(f"the lab needs an IPv4 ansible_host for each host, not {address!r}") from None
    if len(networks) != 1:
        raise LabError(f"the lab's hosts must be in one /24 network, not in {sorted(map(str, networks)) or 'none'}")
    network = networks.pop()
    if str(network[1]) in set(addresses):
        raise LabError(f"{network[1]} is the lab's own address (its bridge and mirror): give that host another one")
    return network


def subnet_v6(addresses: Iterable[str]) -> ipaddress.IPv6Network | None:
    """The one /64 that hosts with a second address are in; its first address is the lab's bridge. None without any."""
    networks: set[ipaddress.IPv6Network] = set()
    for address in addresses:
        try:
            networks.add(ipaddress.IPv6Network(f"{ipaddress.IPv6Address(address)}/64", strict=False))
        except ValueError:
            raise LabError(
                f"the lab can't give a host the cluster_address_v6 {address!r}: it is no IPv6 address"
            ) from None
    if len(networks) > 1:
        raise LabError(f"the hosts' cluster_address_v6 must be in one /64 network, not in {sorted(map(str, networks))}")
    network = networks.pop() if networks else None
    if network and network[1] in {ipaddress.IPv6Address(address) for address in addresses}:
        raise LabError(f"{network[1]} is the lab's own address (its bridge): give that host another one")
    return network


def path(netns: str) -> Path:
    """The namespace's file, for nsenter."""
    return _NETNS_DIRECTORY / netns


def exists(netns: str) -> bool:
    """Whether the namespace is there, and not only the file that a machine's restart left."""
    try:
        return path(netns).stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except OSError:
        return False


def enter(netns: str) -> list[str]:
    """The start of a command that runs in the namespace. ('ip netns exec' would hide the cgroups.)"""
    return ["nsenter", f"--net={path(netns)}"]


def ensure(netns: str, network: ipaddress.IPv4Network, second: ipaddress.IPv6Network | None = None) -> None:
    """Makes what is missing of the namespace and its bridge."""
    if not exists(netns):
        path(netns).unlink(missing_ok=True)
        proc.run(["ip", "netns", "add", netns])
    ip = ["ip", "-n", netns]
    if proc.run([*ip, "link", "show", "dev", BRIDGE], check=False).returncode != 0:
        proc.run([*ip, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "stp_state", "0"])
    proc.run([*ip, "link", "set", "lo", "up"])
    proc.run([*ip, "address", "replace", f"{network[1]}/{network.prefixlen}", "dev", BRIDGE])
    if second:
        proc.run([*ip, "-6", "address", "replace", f"{second[1]}/{second.prefixlen}", "dev", BRIDGE, "nodad"])
    proc.run([*ip, "link", "set", BRIDGE, "up"])


def cable(host: str) -> str:
    """The name of a host's end at the bridge. systemd-nspawn gives the same ones, and the kernel takes 15 letters."""
    name = f"vb-{host}"
    return name if len(name) <= 15 else f"vb-{hashlib.sha256(host.encode()).hexdigest()[:12]}"


def plug(netns: str, host: str) -> str:
    """Makes a virtual machine's cable, and gives its name. (Containers bring their own.)"""
    ip, name = ["ip", "-n", netns], cable(host)
    proc.run([*ip, "tuntap", "add", "dev", name, "mode", "tap"])
    proc.run([*ip, "link", "set", name, "master", BRIDGE, "up"])
    return name


def unplug(netns: str, host: str) -> None:
    """Removes a host's cable. The kernel does so with a container, but only some time after its last process was reaped."""
    ip = ["ip", "-n", netns, "link"]
    if proc.run([*ip, "show", "dev", cable(host)], check=False).returncode == 0:
        # Between the look and the deed the kernel may have been quicker; a cable that stays is what matters.
        proc.run([*ip, "delete", "dev", cable(host)], check=False)


def remove(netns: str) -> None:
    """Removes the namespace with all in it."""
    if exists(netns):
        proc.run(["ip", "netns", "delete", netns])
    path(netns).unlink(missing_ok=True)


def inside(netns: str, function: Callable[[], Result]) -> Result:
    """Calls the function in a thread that is in the namespace; its sockets are too."""
    outcome: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            fd = os.open(path(netns), os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(fd, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter {path(netns)}")
            finally:
                os.close(fd)
            outcome.append(function())
        except BaseException as error:  # handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return outcome[0]


def greets(address: str, port: int, greeting: bytes, timeout: float = 1.0) -> bool:
    """Whether a server answers there with this greeting."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout) as connection:
        connection.settimeout(timeout)
        return connection.recv(len(greeting)) == greeting
    return False


def listens(address: str, port: int, timeout: float = 1.0) -> bool:
    """Whether a server accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout):
        return True
    return False
