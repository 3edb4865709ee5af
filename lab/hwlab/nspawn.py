"""Hosts that are containers: systemd-nspawn machines, booted with systemd, with a disk over a shared root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwlab import kernel_modules, network, proc, rootfs
from hwlab.paths import Lab
from hwlab.ui import LabError, Progress

NAME = "containers"
BOOT_SECONDS = 90.0
# On the machine's own file system: a container runtime's overlays can't lie on the host's overlay.
PLAIN_DIRECTORIES = ("containerd", "kubelet")
SYSTEM_CALLS = "add_key keyctl bpf @mount @module @raw-io @privileged"

# Arguments: disk, lower root or "", then nspawn's command.
# The overlay lives in a mount namespace of the host's own: it goes with the host's last process, however that ends.
_LAUNCH = """\
set -eu
disk=$1 lower=$2
shift 2
if [ -n "$lower" ]; then
  mount -t overlay -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" hwlab "$disk/root"
fi
# nspawn keeps records by machine name; other labs have machines of the same names.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 hwlab /run/systemd/nspawn
exec "$@" </dev/null
"""


def made(cache: Path, debian: str) -> bool:
    """Whether what hosts are made of is there."""
    return rootfs.directory(cache, rootfs.architecture()).is_dir()


def base(cache: Path, debian: str, progress: Progress) -> Path:
    """What hosts are made of."""
    if debian != rootfs.SUITE:
        raise LabError(
            f"the lab's containers run Debian {rootfs.SUITE} only: systemd of later ones needs a machine without cgroup v1;"
            f" {debian} runs in virtual machines: --kind vm"
        )
    return rootfs.ensure(cache, progress)


def network_file(_host: str, ways: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Path and text of what the host's own script of the network reads."""
    names = ("ADDRESS", "GATEWAY"), ("ADDRESS_V6", "GATEWAY_V6")
    lines = [f"{address}={way[0]}\n{gateway}={way[1]}\n" for (address, gateway), way in zip(names, ways, strict=False)]
    return "etc/hwlab/network", "".join(lines)


def _can_overlay(lower: Path, disk: Path) -> bool:
    # On an overlay (a container), a network share or a kernel without overlayfs, each host gets a copy instead.
    options = f"lowerdir={lower},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    mount = f'mount -t overlay -o "{options}" hwlab "{disk / "root"}"'
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount]
    return "," not in f"{lower}{disk}" and proc.run(private, check=False).returncode == 0


def create(disk: Path, based_on: Path, files: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """Makes a host's disk with its own files; returns what a start must know."""
    for directory in ("upper", "work", "root", *PLAIN_DIRECTORIES):
        (disk / directory).mkdir(parents=True)
        (disk / directory).chmod(0o755)
    overlay = _can_overlay(based_on, disk)
    if not overlay:
        shutil.rmtree(disk / "upper")
        proc.run(["cp", "-a", "--reflink=auto", f"{based_on}/.", str(disk / "root")])
    target = disk / ("upper" if overlay else "root")
    for path, (text, mode) in files.items():
        proc.write_atomic(target / path, text, mode)
    for directory, _, _ in os.walk(target) if overlay else ():
        Path(directory).chmod(0o755)
    return {"rootfs": str(based_on) if overlay else None}


def command(lab: Lab, name: str, record: Mapping[str, Any], files: Mapping[str, tuple[str, int]]) -> list[str]:
    """The command that is the host: it ends with it."""
    disk = lab.host(name)
    modules = kernel_modules.directory(lab.directory / "modules")
    nspawn = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--directory={disk / 'root'}",
        f"--machine={name}",
        f"--network-bridge={network.BRIDGE}",
        "--private-users=no",
        "--capability=all",
        f"--system-call-filter={SYSTEM_CALLS}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--kill-signal=SIGKILL",
        "--setenv=SYSTEMD_COLORS=0",
        *(f"--bind={disk / directory}:/var/lib/{directory}" for directory in PLAIN_DIRECTORIES),
        *(f"--bind={device}" for device in ("/dev/kmsg", "/dev/fuse") if Path(device).exists()),
        f"--bind-ro={modules}:/lib/modules",
        "--boot",
    ]
    launch = ["sh", "-c", _LAUNCH, "hwlab", str(disk), record.get("rootfs") or "", *nspawn]
    return [*network.enter(lab.netns), "unshare", "--mount", "--propagation", "slave", *launch]


def write_names(lab: Lab, name: str, record: Mapping[str, Any], pid: int | None, text: str) -> None:
    """Gives a host another /etc/hosts, also while it runs (pid is then its first process)."""
    disk = lab.host(name)
    if pid is not None:
        # A mounted overlay must not be changed from below: this is the mount, as the host's own namespace has it.
        root = Path(f"/proc/{pid}/root") / str(disk / "root").lstrip("/")
    else:
        root = disk / ("upper" if record.get("rootfs") else "root")
    (root / "etc/hosts").write_text(text)
