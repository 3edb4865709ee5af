"""What the lab needs of the machine itself: packages, kernel modules, and a few of its limits."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hwlab import packages, proc
from hwlab.locks import locked
from hwlab.paths import RUN
from hwlab.ui import LabError, Progress

# Command (or file) -> Debian's package that has it.
_NEEDED = {
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
_ONLY_FOR_ROOTFS = {"mmdebstrap", "mkfs.ext4", "/usr/share/keyrings/debian-archive-keyring.gpg"}
# What only one kind of host needs.
_ONLY_FOR = {
    "systemd-nspawn": "nspawn",
    "mkfs.ext4": "vm",
    "qemu-img": "vm",
    "qemu-system-x86_64": "vm",
}

# Shared by all hosts of all labs, as they are one user to the kernel.
_LEAST = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 524288,
}
# A kubelet sets these; they are the machine's, and come back with the last lab's end.
_PUT_BACK = (
    *_LEAST,
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_RECORD = RUN / "machine.json"
_LOCK = RUN / "machine.lock"

# Name -> what shows that the kernel has it, as a module or built in.
_MODULES = {
    "nspawn": {
        "br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables",
        "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
        "overlay": "/sys/module/overlay",
        "vxlan": "/sys/module/vxlan",
    },
    "vm": {"tun": "/dev/net/tun"},
}


def need_root() -> None:
    """Hosts need namespaces, mounts and cgroups of the machine."""
    if os.geteuid() != 0:
        raise LabError("the lab's hosts need root on this machine: run it as root (for example: sudo make up)")


def missing_packages(kind: str, with_rootfs: bool) -> list[str]:
    """Debian packages that this machine lacks for hosts of this kind."""
    missing = set()
    for thing, package in _NEEDED.items():
        if (thing in _ONLY_FOR_ROOTFS and not with_rootfs) or _ONLY_FOR.get(thing, kind) != kind:
            continue
        if not (Path(thing).exists() if thing.startswith("/") else shutil.which(thing)):
            missing.add(package)
    return sorted(missing)


def ensure_packages(kind: str, with_rootfs: bool, progress: Progress) -> None:
    """Installs what this machine lacks."""
    missing = missing_packages(kind, with_rootfs)
    if not missing:
        return
    with progress.step(f"installing {' '.join(missing)}"):
        packages.install(missing)


def load_modules(kind: str) -> None:
    """Loads what hosts can't load themselves."""
    missing = []
    for module, sign in _MODULES[kind].items():
        if not Path(sign).exists() and shutil.which("modprobe"):
            proc.run(["modprobe", module], check=False)
        if not Path(sign).exists() and not _works(module):
            missing.append(module)
    if missing:
        raise LabError(f"this machine's kernel lacks {', '.join(missing)} (built in, or by modprobe)")


def _works(module: str) -> bool:
    # Some modules leave no sign when they are built in.
    if module == "overlay":
        return any(line.split()[-1] == "overlay" for line in Path("/proc/filesystems").read_text().splitlines())
    if module == "vxlan":
        with_it = f"hwlab-probe-{os.getpid()}"
        made = proc.run(["ip", "netns", "add", with_it], check=False).returncode == 0
        link = ["ip", "-n", with_it, "link", "add", "probe0", "type", "vxlan", "id", "1", "dstport", "8472"]
        works = proc.run(link, check=False).returncode == 0
        if made:
            proc.run(["ip", "netns", "delete", with_it], check=False)
        return works
    return False


def to_raise(current: dict[str, int]) -> dict[str, int]:
    """Which limits are lower than the lab needs."""
    return {key: least for key, least in _LEAST.items() if current.get(key, least) < least}


def _read(keys: Iterable[str]) -> dict[str, int]:
    values = {}
    for key in keys:
        try:
            values[key] = int((Path("/proc/sys") / key).read_text())
        except (OSError, ValueError):
            continue
    return values


def raise_limits() -> None:
    """Raises the machine's limits; remembers first what they were."""
    with locked(_LOCK):
        try:
            record = json.loads(_RECORD.read_text())
        except (OSError, ValueError):
            record = {}
        if record.get("boot") != proc.boot_id():
            proc.write_atomic(_RECORD, json.dumps({"boot": proc.boot_id(), "values": _read(_PUT_BACK)}))
        for key, value in to_raise(_read(_LEAST)).items():
            (Path("/proc/sys") / key).write_text(str(value))


def put_limits_back() -> None:
    """Sets the machine's limits back when no lab is left."""
    with locked(_LOCK):
        if any(path.is_dir() for path in RUN.glob("*")):
            return
        try:
            record = json.loads(_RECORD.read_text())
        except (OSError, ValueError):
            return
        if record.get("boot") == proc.boot_id():
            now = _read(record["values"])
            for key, value in record["values"].items():
                if now.get(key) != value:
                    (Path("/proc/sys") / key).write_text(str(value))
        _RECORD.unlink()
