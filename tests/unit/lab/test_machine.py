"""What the lab makes of and for the machine: locks, limits, root file systems, kernel modules."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hwlab import hosts, kernel_modules, locks, rootfs, system
from hwlab.paths import Lab
from hwlab.ui import LabError, tail


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    message = pytest.raises(LabError, match=f"busy: process {os.getpid()}")
    with locks.locked(lock), message, locks.locked_or_error(lock, "busy: {holder}"):
        pass
    with locks.locked_or_error(lock, "busy: {holder}"):
        pass


def test_only_limits_that_are_too_low_are_raised() -> None:
    low = {"fs/inotify/max_user_instances": 128, "fs/inotify/max_user_watches": 10**6}
    assert system.to_raise(low) == {"fs/inotify/max_user_instances": 8192}


def test_another_recipe_makes_another_root(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rootfs.container().hash("amd64")
    assert rootfs.container().hash("amd64") == before != rootfs.container().hash("arm64")
    monkeypatch.setattr(rootfs, "REPOSITORY_PACKAGES", (*rootfs.REPOSITORY_PACKAGES, "jq"))
    assert rootfs.container().hash("amd64") != before


def test_each_kind_of_host_asks_for_its_own_packages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.shutil, "which", lambda name: None)
    containers, machines = (set(system.missing_packages(kind, True)) for kind in ("nspawn", "vm"))
    assert "systemd-container" in containers - machines
    assert machines - containers == {"e2fsprogs", "qemu-system-x86", "qemu-utils"}
    assert not {"mmdebstrap", "e2fsprogs"} & set(system.missing_packages("vm", False))


def test_what_roles_install_is_not_there_before() -> None:
    roles = {
        "conntrack",
        "socat",
        "ipset",
        "ethtool",
        "kmod",
        "nfs-common",
        "iptables",
        "nftables",
        "haproxy",
        "nginx",
        "libnginx-mod-stream",
        "keepalived",
        "chrony",
    }
    assert roles <= set(rootfs.REPOSITORY_PACKAGES)
    assert not roles & set(rootfs.BASE_PACKAGES)


@pytest.mark.parametrize("machine", ["riscv64", "i686"])
def test_other_architectures_are_refused(machine: str) -> None:
    with pytest.raises(LabError):
        rootfs.architecture(machine)


def test_each_host_has_a_machine_id_of_its_own(tmp_path: Path) -> None:
    lab = Lab("a", tmp_path)
    ids = {hosts.machine_id(lab, name) for name in ("a", "b")} | {hosts.machine_id(Lab("b", tmp_path), "a")}
    assert len(ids) == 3
    assert all(len(text) == 32 and int(text, 16) for text in ids)


def test_built_in_modules_are_read_from_the_kernels_configuration() -> None:
    config = "CONFIG_OVERLAY_FS=y\nCONFIG_VXLAN=m\n# CONFIG_IP_VS is not set\nCONFIG_BRIDGE_NETFILTER=y\n"
    assert kernel_modules.built_in(config) == ["fs/overlayfs/overlay", "net/bridge/br_netfilter"]


def lookup(index: bytes, name: str) -> bool:
    """Looks a name up as libkmod does."""
    magic, version, node = struct.unpack_from(">III", index)
    assert (magic, version) == (0xB007F457, 0x00020001)
    for letter in name.encode():
        at = node & 0x0FFFFFFF
        if not node & 0x20000000 or not index[at] <= letter <= index[at + 1]:
            return False
        (node,) = struct.unpack_from(">I", index, at + 2 + 4 * (letter - index[at]))
    return bool(node & 0x40000000)


def test_all_names_and_no_others_are_in_the_index() -> None:
    index = kernel_modules.index(["br_netfilter", "bridge", "overlay"])
    assert all(lookup(index, name) for name in ("br_netfilter", "bridge", "overlay"))
    assert not any(lookup(index, name) for name in ("", "b", "br", "bridges", "overlaz", "vxlan"))


@pytest.mark.skipif(not shutil.which("modprobe"), reason="needs kmod to read what was written")
def test_modprobe_finds_the_names_in_the_index(tmp_path: Path) -> None:
    directory = tmp_path / "lib" / "modules" / "1.2.3"
    directory.mkdir(parents=True)
    (directory / "modules.builtin.bin").write_bytes(kernel_modules.index(["br_netfilter", "bridge", "overlay"]))
    for name, found in (("br_netfilter", True), ("bridge", True), ("overlay", True), ("br", False), ("vxlan", False)):
        command = ["modprobe", "--dirname", str(tmp_path), "--set-version", "1.2.3", "--dry-run", "--quiet", name]
        assert (subprocess.run(command, check=False).returncode == 0) is found, name


def test_a_logs_end_is_shown_without_control_characters(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\n\x1b\x07two\r\n\n")
    assert tail(log, 1) == "  | two"
    assert "no log" in tail(tmp_path / "missing")
