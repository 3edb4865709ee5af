"""Hosts that are virtual machines: qemu with a kernel of their own, with KVM where it works and without it elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwlab import image, inventory, network, paths, proc, rootfs
from hwlab.locks import locked
from hwlab.paths import Lab
from hwlab.ui import LabError, Progress

NAME = "virtual machines"
# Without KVM a host that has two cores for itself answers after 20 s; five of them share what one has there.
BOOT_SECONDS = 300.0
MEMORY_MIB = 3072
CPUS = 2
QEMU = {"amd64": "qemu-system-x86_64"}
# Without KVM the kernel finds that its processors' counters differ and asks the HPET for the time, a device: each time that a
# program wants to know it, both processors wait. The counters are this machine's, and as good as its own.
CLOCK = {"kvm": [], "tcg": ["tsc=reliable", "clocksource=tsc"]}
# Without KVM the plain processor is the fastest. What a program does with AVX takes longer than without; where a processor
# has ERMS, the kernel clears memory byte by byte: a page's first use took four times as long, a program's start twice.
PROCESSOR = {"kvm": ["-accel", "kvm", "-cpu", "host"], "tcg": ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]}
ACCELERATOR_VARIABLE = "HARDWAY_LAB_ACCELERATOR"
TRIAL_SECONDS = 30.0  # with KVM a kernel is at its end in two
_TRIED = paths.RUN / "kvm.json"
_LOCK = paths.RUN / "kvm.lock"


def made(cache: Path, debian: str) -> bool:
    """Whether what hosts are made of is there."""
    return image.directory(cache, debian, rootfs.architecture()).is_dir()


def base(cache: Path, debian: str, progress: Progress) -> Path:
    """What hosts are made of."""
    found = image.ensure(cache, debian, progress)
    progress.say(f"virtual machines run {'with' if accelerator(found) == 'kvm' else 'without'} KVM")
    return found


def _qemu() -> str:
    arch = rootfs.architecture()
    if arch not in QEMU:
        raise LabError(f"virtual machines were made for {' and '.join(QEMU)} only, not for {arch}: use containers")
    return QEMU[arch]


def accelerator(based_on: Path) -> str:
    """Gives kvm or tcg: KVM is tried with the hosts' kernel, once per boot of this machine."""
    wished = os.environ.get(ACCELERATOR_VARIABLE, "auto")
    if wished in ("kvm", "tcg"):
        return wished
    if wished != "auto":
        raise LabError(f"{ACCELERATOR_VARIABLE} is {wished!r}: choose auto, kvm or tcg")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    mine = {"boot": proc.boot_id(), "kernel": str(based_on)}
    with locked(_LOCK):
        try:
            tried = json.loads(_TRIED.read_text())
        except (OSError, ValueError):
            tried = {}
        if {key: tried.get(key) for key in mine} != mine:
            tried = {**mine, "works": _kvm_works(based_on / "vmlinuz")}
            proc.write_atomic(_TRIED, json.dumps(tried) + "\n")
    return "kvm" if tried["works"] else "tcg"


def _kvm_works(kernel: Path) -> bool:
    # A kernel with nothing to mount says so at the end of its start, and ends. That /dev/kvm is there says little: on a
    # virtual machine it may be one that starts no kernel such as ours.
    command = [_qemu(), *_machine("kvm"), "-m", "512", "-no-reboot", "-kernel", str(kernel)]
    command += ["-append", "console=ttyS0 panic=-1"]
    try:
        told = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TRIAL_SECONDS,
            preexec_fn=lambda: proc.die_with_parent(9),
        )
    except subprocess.TimeoutExpired:
        return False
    return b"Unable to mount root fs" in told.stdout


def _machine(accelerated: str) -> list[str]:
    return [*PROCESSOR[accelerated], "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]


def processors(accelerated: str, machines: int) -> int:
    """How many each machine of a lab has.

    Without KVM they are threads here. Of two in one machine the one spins for a lock that the other holds, which may not run at
    all, so that there are no more of them than this machine has.
    """
    return CPUS if accelerated == "kvm" else max(1, min(CPUS, (os.cpu_count() or 1) // machines))


def mac(host: str) -> str:
    """A host's hardware address, always the same."""
    digest = hashlib.sha256(host.encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def network_file(host: str, ways: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Path and text of what systemd-networkd reads."""
    match = f"[Match]\nMACAddress={mac(host)}\n"
    lines = "".join(f"Address={address}\nGateway={gateway}\n" for address, gateway in ways)
    return "etc/systemd/network/10-hwlab.network", f"{match}\n[Network]\n{lines}"


def create(disk: Path, based_on: Path, files: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """Makes a host's disk, which holds what differs from the image's; returns what a start must know."""
    disk.mkdir(parents=True)
    backing = ["-b", str(based_on / "disk.img"), "-F", "raw"]
    proc.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(disk / "disk.qcow2")])
    return {"rootfs": str(based_on)}


def archive(files: Mapping[str, tuple[str, int]]) -> bytes:
    """Files below hwlab/ as an archive that a kernel unpacks beside its RAM disk: path -> content and mode."""
    entries: dict[str, tuple[bytes, int]] = {}
    for path, (text, mode) in files.items():
        for parent in reversed(Path("hwlab", path).parents[:-1]):
            entries.setdefault(str(parent), (b"", 0o40755))
        entries[f"hwlab/{path}"] = (text.encode(), 0o100000 | mode)
    out = bytearray()
    for number, (path, (content, mode)) in enumerate([*entries.items(), ("TRAILER!!!", (b"", 0))], 1):
        links = 2 if mode & 0o40000 else 1
        fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(path) + 1, 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + path.encode() + b"\0", content):
            out += part
            out += bytes(-len(out) % 4)
    return bytes(out) + bytes(-len(out) % 512)


def command(lab: Lab, name: str, record: Mapping[str, Any], files: Mapping[str, tuple[str, int]]) -> list[str]:
    """The command that is the host: it ends with it. Makes the host's cable and its RAM disk first."""
    disk, based_on = lab.host(name), Path(record["rootfs"])
    initrd = disk / "initrd"
    with initrd.open("wb") as out:
        initrd.chmod(0o600)  # a host's keys are in it
        out.write(archive(files) + (based_on / "initrd").read_bytes())
    cable = network.plug(lab.netns, name)
    # Whatever the guest has flushed is in the machine's page cache, and outlives a power cut of the guest.
    # Names without folders: qemu's options end at a comma, which a path may have.
    drive = "file=disk.qcow2,if=virtio,cache=unsafe,discard=unmap"
    accelerated = accelerator(based_on)
    threads = processors(accelerated, len(record["hosts"]))
    qemu = [_qemu(), *_machine(accelerated), "-name", name, "-m", str(MEMORY_MIB), "-smp", str(threads)]
    qemu += ["-kernel", str(based_on / "vmlinuz"), "-initrd", initrd.name]
    words = ["root=/dev/vda", "rw", "rootflags=noinit_itable", "console=ttyS0", "loglevel=4", *CLOCK[accelerated]]
    qemu += ["-append", " ".join(words)]
    qemu += ["-drive", drive, "-device", "virtio-rng-pci"]
    qemu += ["-netdev", f"tap,id=net,ifname={cable},script=no,downscript=no"]
    qemu += ["-device", f"virtio-net-pci,netdev=net,mac={mac(name)},romfile="]
    return [*network.enter(lab.netns), "env", f"--chdir={disk}", *qemu]


def write_names(lab: Lab, name: str, record: Mapping[str, Any], pid: int | None, text: str) -> None:
    """Gives a host another /etc/hosts; one that is off gets it with its next start."""
    if pid is not None:
        ssh = ["ssh", *inventory.ssh_options(lab, "vm"), "-i", str(lab.key), f"{inventory.USER}@{record['address']}"]
        proc.run([*network.enter(lab.netns), *ssh, "sudo tee /etc/hosts >/dev/null"], stdin=text)
