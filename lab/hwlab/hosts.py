"""Hosts: containers or virtual machines with a disk, an address and a power switch."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from hwlab import cgroups, inventory, network, nspawn, proc, vm
from hwlab.paths import Lab
from hwlab.ui import LabError, Progress, tail

# What a host can be: each module makes its disk and the command that is the host.
KINDS: dict[str, ModuleType] = {"nspawn": nspawn, "vm": vm}
DEFAULT_KIND = "nspawn"


def _record(lab: Lab, name: str) -> Path:
    return lab.host(name) / "host.json"


def _read_record(lab: Lab, name: str) -> dict[str, Any]:
    try:
        data = json.loads(_record(lab, name).read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _pid_file(lab: Lab, name: str) -> Path:
    return lab.host(name) / "pid"


def running(lab: Lab, name: str) -> bool:
    """Whether the host has power."""
    identity = proc.Identity.read(_pid_file(lab, name))
    return identity is not None and identity.alive()


def made(lab: Lab) -> list[str]:
    """Hosts that have a disk."""
    return sorted(path.parent.name for path in (lab.directory / "hosts").glob("*/host.json"))


def describe(lab: Lab, name: str) -> dict[str, Any]:
    """What the last start left to tell of a host."""
    return _read_record(lab, name)


def ensure_keys(lab: Lab, names: Iterable[str]) -> None:
    """Makes the lab's SSH key and each host's; hosts are known before the first connection."""
    lab.key.parent.mkdir(parents=True, exist_ok=True)
    lab.key.parent.chmod(0o700)
    for key in (lab.key, *(lab.key.parent / f"host_{name}" for name in names)):
        # The public half is written last: with it, both are whole.
        if key.exists() and key.with_suffix(".pub").exists() and key.with_suffix(".pub").stat().st_size:
            continue
        key.unlink(missing_ok=True)
        key.with_suffix(".pub").unlink(missing_ok=True)
        proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"hwlab {lab.name}", "-f", str(key)])
        key.chmod(0o600)


def write_known_hosts(lab: Lab, addresses: Mapping[str, str]) -> None:
    """Tells SSH the hosts' public keys."""
    lines = []
    for name, address in addresses.items():
        kind, key = (lab.key.parent / f"host_{name}.pub").read_text().split()[:2]
        lines.append(f"{name},{address} {kind} {key}\n")
    proc.write_atomic(lab.known_hosts, "".join(lines))


def machine_id(lab: Lab, name: str) -> str:
    """Each host's own, the same at each boot."""
    return hashlib.sha256(f"{lab.id}/{name}".encode()).hexdigest()[:32]


def _names(addresses: Mapping[str, str]) -> str:
    known = "".join(f"{address} {host}\n" for host, address in addresses.items())
    return f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{known}"


def _ways(name: str, addresses: Mapping[str, str], second: Mapping[str, str]) -> list[tuple[str, str]]:
    """The host's address with its prefix and its gateway; with a second address, of which all hosts have one network, both."""
    net = network.subnet(addresses.values())
    ways = [(f"{addresses[name]}/{net.prefixlen}", str(net[1]))]
    net_v6 = network.subnet_v6(second.values())
    if net_v6 and name in second:
        ways.append((f"{second[name]}/{net_v6.prefixlen}", str(net_v6[1])))
    return ways


def _own_files(
    lab: Lab, name: str, kind: ModuleType, addresses: Mapping[str, str], second: Mapping[str, str]
) -> dict[str, tuple[str, int]]:
    """What tells one host from the others, as path -> content and mode."""
    net = network.subnet(addresses.values())
    host_key = lab.key.parent / f"host_{name}"
    path, text = kind.network_file(name, _ways(name, addresses, second))
    return {
        "etc/hostname": (f"{name}\n", 0o644),
        "etc/hosts": (_names(addresses), 0o644),
        "etc/machine-id": (f"{machine_id(lab, name)}\n", 0o444),
        # Nothing answers there, and says so at once; without any server, CoreDNS would not start.
        "etc/resolv.conf": (f"nameserver {net[1]}\noptions timeout:1 attempts:1\n", 0o644),
        path: (text, 0o644),
        "etc/ssh/ssh_host_ed25519_key": (host_key.read_text(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (host_key.with_suffix(".pub").read_text(), 0o644),
        f"etc/ssh/authorized_keys/{inventory.USER}": (lab.key.with_suffix(".pub").read_text(), 0o644),
    }


def _kind(record: Mapping[str, Any]) -> ModuleType:
    return KINDS[record.get("kind", DEFAULT_KIND)]


def create(
    lab: Lab,
    name: str,
    kind: str,
    addresses: Mapping[str, str],
    base: Path,
    second: Mapping[str, str] | None = None,
) -> None:
    """Makes a host's disk unless it is there; host.json, written last, says that it is whole."""
    disk = lab.host(name)
    if _record(lab, name).exists():
        return
    _erase(disk)
    second = second or {}
    record = {
        "kind": kind,
        "address": addresses[name],
        "hosts": dict(addresses),
        "hosts_v6": dict(second),
    }
    record |= KINDS[kind].create(disk, base, _own_files(lab, name, KINDS[kind], addresses, second))
    proc.write_atomic(_record(lab, name), json.dumps(record) + "\n")


def power_on(lab: Lab, name: str) -> None:
    """Starts a host and does not wait for it."""
    record = _read_record(lab, name)
    rootfs = record.get("rootfs")
    if rootfs and not Path(rootfs).is_dir():
        raise LabError(
            f"{rootfs}, which {name}'s disk is based on, is gone from the cache:"
            f" make the lab anew (bin/lab down --name {lab.name}, then up)"
        )
    # Processes of a start that was cut short have no pid file.
    cgroups.kill(lab.id, name)
    network.unplug(lab.netns, name)
    kind = _kind(record)
    command = kind.command(lab, name, record, _own_files(lab, name, kind, record["hosts"], record.get("hosts_v6", {})))
    if cgroups.unified() and Path("/run/systemd/system").is_dir():
        # Not tried on the machines that build this project, which have version 1: systemd makes a group of the host's
        # own and leaves all below it to the host.
        unit = cgroups.scope_name(lab.id, name)
        scope = ["systemd-run", "--quiet", "--collect", "--scope", f"--unit={unit}", "--property=Delegate=yes", "--"]
        groups: list[Path] = []
        command = [*scope, *command]
    else:
        groups = cgroups.prepare(lab.id, name)
    with lab.console(name).open("wb") as console:
        process = subprocess.Popen(
            cgroups.join_command(groups, command),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
    proc.Identity.of(process.pid).write(_pid_file(lab, name))
    proc.write_atomic(_record(lab, name), json.dumps({**record, "booted": time.time(), "seconds": None}) + "\n")


def power_off(lab: Lab, name: str) -> None:
    """Cuts a host's power: all of its processes are gone, what it had written to its disk stays."""
    cgroups.kill(lab.id, name)
    identity = proc.Identity.read(_pid_file(lab, name))
    if identity is not None and identity.alive():
        proc.kill_all(lambda: [identity.pid] if identity.alive() else [])
    _pid_file(lab, name).unlink(missing_ok=True)
    hang_up(lab, _read_record(lab, name).get("address"))


def hang_up(lab: Lab, address: str | None = None) -> None:
    """Ends ansible's shared SSH connections to a host (to all)."""
    sockets = lab.sockets.glob("*") if address is None else [Path(inventory.control_path(lab, address))]
    for path in sockets:
        if path.exists():
            proc.run(["ssh", "-F/dev/null", f"-oControlPath={path}", "-O", "exit", "lab"], check=False)
            path.unlink(missing_ok=True)


def wait_for_ssh(lab: Lab, names: Iterable[str], progress: Progress) -> None:
    """Waits until each host's SSH server answers; a host that does not is an error with its console's end."""
    waiting = {name: _read_record(lab, name) for name in names}
    total = len(waiting)
    if not waiting:
        return
    within = max(_kind(record).BOOT_SECONDS for record in waiting.values())
    deadline = time.monotonic() + within

    def probe() -> dict[str, float]:
        def one(name: str) -> bool:
            return network.inside(lab.netns, lambda: network.greets(waiting[name]["address"], 22, b"SSH-"))

        with ThreadPoolExecutor(max_workers=16) as pool:
            answers = dict(zip(waiting, pool.map(one, waiting), strict=True))
        return {name: time.time() for name, answer in answers.items() if answer}

    while True:
        for name, moment in probe().items():
            record = waiting.pop(name)
            record["seconds"] = round(moment - record["booted"], 1)
            proc.write_atomic(_record(lab, name), json.dumps(record) + "\n")
            count = f"{total - len(waiting)}/{total}"
            progress.say(f"{name} ({record['address']}) answers after {record['seconds']} s [{count}]")
        if not waiting:
            return
        dead = [name for name in waiting if not running(lab, name)]
        if dead or time.monotonic() > deadline:
            name = (dead or sorted(waiting))[0]
            what = "ended while it booted" if dead else f"did not answer on SSH within {within:.0f} s"
            console = lab.console(name)
            raise LabError(f"host {name} {what}; the end of its console, {console}:\n{tail(console)}")
        time.sleep(0.1)


def start(lab: Lab, names: Iterable[str], progress: Progress) -> None:
    """Starts those hosts that are off, all at once, and waits for all."""
    names = list(names)
    for name in names:
        if not running(lab, name):
            power_on(lab, name)
    fresh = [name for name in names if _read_record(lab, name).get("seconds") is None]
    wait_for_ssh(lab, fresh, progress)


def _erase(directory: Path) -> None:
    if directory.exists():
        # One file system only: should anything be mounted below, it's not ours to empty.
        proc.run(["rm", "-rf", "--one-file-system", str(directory)])


def ensure(
    lab: Lab,
    kind: str,
    addresses: Mapping[str, str],
    base: Path,
    progress: Progress,
    second: Mapping[str, str] | None = None,
) -> None:
    """Brings the lab to exactly these hosts, all running and answering."""
    second = second or {}
    for name in made(lab):
        record = _read_record(lab, name)
        had = (record.get("address"), record.get("hosts_v6", {}).get(name))
        same = had == (addresses.get(name), second.get(name))
        if not same or dict(addresses) != record.get("hosts"):
            if same and name in addresses:
                _update_names(lab, name, addresses)
                continue
            progress.say(f"{name} is not in the inventory any more, or has another address: removing it")
            remove(lab, name)
    ensure_keys(lab, addresses)
    write_known_hosts(lab, addresses)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda name: create(lab, name, kind, addresses, base, second), addresses))
    start(lab, addresses, progress)


def _update_names(lab: Lab, name: str, addresses: Mapping[str, str]) -> None:
    # The inventory got other hosts: this one must know their names, also while it runs.
    record = _read_record(lab, name)
    identity = proc.Identity.read(_pid_file(lab, name))
    pid = identity.pid if identity is not None and identity.alive() else None
    _kind(record).write_names(lab, name, record, pid, _names(addresses))
    proc.write_atomic(_record(lab, name), json.dumps({**record, "hosts": dict(addresses)}) + "\n")


def remove(lab: Lab, name: str) -> None:
    """Takes a host away with its disk."""
    power_off(lab, name)
    _record(lab, name).unlink(missing_ok=True)
    _erase(lab.host(name))
    lab.console(name).unlink(missing_ok=True)
