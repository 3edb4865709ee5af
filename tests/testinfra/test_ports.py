"""Every open port of every host, seen from inside and from outside, against the table in docs/hardening.md."""

from __future__ import annotations

import functools
import socket

import pytest
from hardening import look, open_ports
from lab_cluster import HOSTS, HOSTVARS

ROWS = open_ports()
LOOPBACK = ("127.0.0.1", "::1")
EPHEMERAL = range(32768, 61000)

SOCKETS = r"""
import json, re, subprocess
def unit_of(pid):
    text = open("/proc/%s/cgroup" % pid).read()
    found = re.search(r"/([^/\n]+)\.service", text)
    return found.group(1) if found else text
found = []
for line in subprocess.run(["ss", "-Hlntup"], capture_output=True, text=True, check=True).stdout.splitlines():
    parts = line.split()
    address, port = parts[4].rsplit(":", 1)
    pid = re.search(r"pid=(\d+)", line)
    found.append([parts[0], int(port), address.split("%")[0].strip("[]"), unit_of(pid.group(1)) if pid else "kernel"])
units = subprocess.run(["systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend"],
                       capture_output=True, text=True, check=True).stdout
print(json.dumps({"sockets": found, "units": [line.split()[0][:-8] for line in units.splitlines()]}))
"""


@pytest.fixture(scope="session")
def sockets(on):
    """What listens on a host, and which units run there; asked once."""
    return functools.cache(lambda name: look(on(name), SOCKETS))


def reach(address: str, name: str) -> str:
    """How far a socket's address can be asked, in the table's words."""
    if address in LOOPBACK:
        return "loopback"
    if address == HOSTVARS[name]["ansible_host"]:
        return "the host's address"
    return "all addresses" if address in ("*", "0.0.0.0", "::") else address


def documented(units: list[str]) -> set[tuple[str, str, str, str]]:
    """Protocol, port, who and where, for the units that a host runs; a row whose unit is the kernel's goes with flanneld."""
    found = set()
    for row in ROWS:
        port, protocol = row["port"].split("/")
        if row["unit"] in units or (row["unit"] == "kernel" and "flanneld" in units):
            found |= {(protocol, port, row["unit"], where.strip()) for where in row["listens on"].split(",")}
    return found


@pytest.mark.parametrize("name", HOSTS)
def test_only_documented_ports_listen(sockets, name):
    """Who listens where, and every line of the table that concerns this host is still true."""
    seen = set()
    for protocol, port, address, unit in sockets(name)["sockets"]:
        free = unit == "containerd" and port in EPHEMERAL
        seen.add((protocol, "free" if free else str(port), unit, reach(address, name)))
    assert seen == documented(sockets(name)["units"])


@pytest.mark.parametrize("name", HOSTS)
def test_only_documented_ports_answer_from_outside(sockets, name):
    """All 65535 TCP ports, tried from another machine of the network."""
    address = HOSTVARS[name]["ansible_host"]
    answered = set()
    for port in range(1, 65536):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                answered.add(str(port))
    rows = documented(sockets(name)["units"])
    assert answered == {port for protocol, port, _unit, where in rows if protocol == "tcp" and where != "loopback"}
