"""Virtual machines: what a lab's hosts are settled to be, image, disk, cable, RAM disk, KVM."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hwlab import hosts, image, lifecycle, network, nspawn, rootfs, vm
from hwlab.lifecycle import State, Wish
from hwlab.paths import Lab
from hwlab.ui import LabError, Progress

ENVIRONMENT = {"HARDWAY_LAB_KIND": "vm", "HARDWAY_LAB_DEBIAN": "trixie"}
MADE = State("stacked", "1.35.4", "/cache/mirror", "10.0.0.1")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("test", tmp_path)


@pytest.fixture
def settle(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settles a wish where every inventory has one host, and says of itself what it is told to say."""

    def _settle(wish: Wish, before: State | None = None, environment: Any = None, **says: str) -> State:
        def read(_repository: Path, name: str) -> lifecycle.inventory.Topology:
            return lifecycle.inventory.Topology(name, {"a": "10.0.0.2"}, "1.36.3", **says)

        monkeypatch.setattr(lifecycle.inventory, "read", read)
        return lifecycle.settle(lab, wish, before, environment or {})[0]

    return _settle


@pytest.mark.parametrize(
    ("wish", "environment", "says", "expected"),
    [
        (Wish(), {}, {}, ("nspawn", "bookworm")),
        (Wish(), {}, {"kind": "vm", "debian": "trixie"}, ("vm", "trixie")),
        (Wish(), ENVIRONMENT, {"kind": "nspawn"}, ("vm", "trixie")),
        (Wish(kind="nspawn", debian="bookworm"), ENVIRONMENT, {}, ("nspawn", "bookworm")),
    ],
)
def test_options_come_before_the_environment_and_that_before_the_inventory(
    settle: Any, wish: Wish, environment: dict[str, str], says: dict[str, str], expected: tuple[str, str]
) -> None:
    state = settle(wish, None, environment, **says)
    assert (state.kind, state.debian) == expected


def test_a_lab_that_is_there_stays_what_it_is(settle: Any) -> None:
    state = settle(Wish(), MADE, ENVIRONMENT, kind="vm")
    assert (state.topology, state.kubernetes, state.kind, state.debian) == ("stacked", "1.35.4", "nspawn", "bookworm")
    for wish in (Wish(kind="vm"), Wish(debian="trixie"), Wish(topology="single")):
        with pytest.raises(LabError, match="take it down first"):
            settle(wish, MADE)
    assert settle(Wish("stacked", "1.36.3", "nspawn", "bookworm"), MADE).kubernetes == "1.36.3"


def test_an_unknown_kind_names_those_that_exist(settle: Any) -> None:
    with pytest.raises(LabError, match="nspawn or vm, not 'pod'"):
        settle(Wish(), None, {}, kind="pod")


def test_a_lab_of_before_there_were_kinds_is_known(lab: Lab) -> None:
    lab.directory.mkdir(parents=True)
    lab.state.write_text('{"topology": "stacked", "kubernetes": null, "mirror": "/m", "bridge": "10.0.0.1"}')
    state = State.read(lab)
    assert state
    assert (state.kind, state.debian) == ("nspawn", "bookworm")


def test_containers_run_one_debian(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="--kind vm"):
        nspawn.base(tmp_path, "trixie", Progress())


def test_an_image_is_named_by_all_that_goes_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.directory(tmp_path, "bookworm", "amd64")
    assert image.directory(tmp_path, "bookworm", "amd64") == before != image.directory(tmp_path, "trixie", "amd64")
    monkeypatch.setattr(image, "DISK_GIB", 30)
    assert image.directory(tmp_path, "bookworm", "amd64") != before
    with pytest.raises(LabError, match="bookworm or trixie, not 'sid'"):
        image.directory(tmp_path, "sid", "amd64")


def test_a_virtual_machine_has_nothing_of_what_a_container_needs() -> None:
    files = image.recipe("bookworm", "amd64").files
    assert not set(rootfs.CONTAINER_FILES) & set(files)
    assert set(rootfs.FILES) < set(files)
    assert image.EXECUTABLE <= set(files)


@pytest.mark.skipif(not shutil.which("mkfs.ext4"), reason="needs e2fsprogs")
def test_a_disk_is_made_of_a_folder_and_holds_no_more_than_what_is_in_it(tmp_path: Path) -> None:
    root, made = tmp_path / "root", tmp_path / "image"
    (root / "boot").mkdir(parents=True)
    (root / "boot" / "vmlinuz-6.1").write_text("kernel")
    (root / "boot" / "initrd.img-6.1").write_text("initrd")
    (root / "initrd.img").symlink_to("boot/initrd.img-6.1")
    image._pack(root, made)
    assert {path.name for path in made.iterdir()} == {"vmlinuz", "initrd", "disk.img"}
    assert (made / "vmlinuz").read_text() == "kernel"
    disk = (made / "disk.img").stat()
    assert disk.st_size == image.DISK_GIB << 30
    assert disk.st_blocks * 512 < 200 << 20


@pytest.mark.parametrize(
    ("accelerated", "machines", "cores", "threads"),
    [("kvm", 5, 2, 2), ("tcg", 1, 2, 2), ("tcg", 3, 2, 1), ("tcg", 3, 8, 2), ("tcg", 1, 1, 1)],
)
def test_processors_that_are_threads_do_not_wait_for_one_another(
    monkeypatch: pytest.MonkeyPatch, accelerated: str, machines: int, cores: int, threads: int
) -> None:
    monkeypatch.setattr(vm, "os", SimpleNamespace(cpu_count=lambda: cores))
    assert vm.processors(accelerated, machines) == threads


def test_a_hosts_own_files_are_an_archive_that_cpio_reads(tmp_path: Path) -> None:
    archive = vm.archive({"etc/hostname": ("cp1\n", 0o644), "etc/ssh/key": ("secret\n", 0o600)})
    assert len(archive) % 512 == 0  # what follows it must begin at a whole word
    at, found = 0, []
    while at < len(archive) and archive[at : at + 6] == b"070701":
        mode, size, length = (int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in (1, 6, 11))
        start = at + 110
        name = archive[start : start + length - 1].decode()
        content = start + length + -(start + length) % 4
        found.append((name, oct(mode), archive[content : content + size]))
        at = content + size + -(content + size) % 4
    assert found == [
        ("hwlab", "0o40755", b""),
        ("hwlab/etc", "0o40755", b""),
        ("hwlab/etc/hostname", "0o100644", b"cp1\n"),
        ("hwlab/etc/ssh", "0o40755", b""),
        ("hwlab/etc/ssh/key", "0o100600", b"secret\n"),
        ("TRAILER!!!", "0o0", b""),
    ]
    if shutil.which("cpio"):
        told = subprocess.run(["cpio", "-it"], input=archive, capture_output=True, cwd=tmp_path, check=True)
        assert told.stdout.decode().split()[-1] == "hwlab/etc/ssh/key"


def test_hardware_addresses_are_a_hosts_own_and_stay() -> None:
    assert vm.mac("cp1") == vm.mac("cp1") != vm.mac("cp2")
    assert vm.mac("cp1").startswith("52:54:00:")
    assert vm.mac("cp1") in vm.network_file("cp1", [("10.0.0.2/24", "10.0.0.1")])[1]


@pytest.mark.parametrize("host", ["a", "worker10", "a-very-long-name-of-a-host"])
def test_a_cables_name_is_one_that_the_kernel_takes(host: str) -> None:
    assert len(network.cable(host)) <= 15
    assert network.cable(host) != network.cable(host + "x")


def test_the_machine_is_started_with_names_that_have_no_comma(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of qemu end at a comma, which a folder's name may have."""
    based_on = lab.repository / "a,b"
    based_on.mkdir()
    (based_on / "initrd").write_bytes(b"initrd")
    lab.host("cp1").mkdir(parents=True)
    monkeypatch.setattr(vm.rootfs, "architecture", lambda: "amd64")
    monkeypatch.setattr(vm, "accelerator", lambda base: "tcg")
    monkeypatch.setattr(vm.network, "plug", lambda netns, host: "vb-cp1")
    command = vm.command(
        lab, "cp1", {"rootfs": str(based_on), "hosts": {"cp1": ""}}, {"etc/ssh/key": ("secret", 0o600)}
    )
    values = dict(zip(command, command[1:], strict=False))
    assert values["-append"].endswith(" tsc=reliable clocksource=tsc")  # without KVM
    assert f"--chdir={lab.host('cp1')}" in command
    assert (values["-drive"].split(",")[0], values["-initrd"]) == ("file=disk.qcow2", "initrd")
    assert values["-netdev"] == "tap,id=net,ifname=vb-cp1,script=no,downscript=no"
    made = lab.host("cp1") / "initrd"
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.read_bytes().endswith(b"initrd")


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Counts how often KVM is tried; the machine has it unless a test says otherwise."""
    told = SimpleNamespace(count=0, works=True, there=True)

    def works(_kernel: Path) -> bool:
        told.count += 1
        return told.works

    monkeypatch.setattr(vm, "_kvm_works", works)
    monkeypatch.setattr(vm.os, "access", lambda path, mode: told.there)
    monkeypatch.setattr(vm, "_TRIED", tmp_path / "kvm.json")
    monkeypatch.setattr(vm, "_LOCK", tmp_path / "kvm.lock")
    monkeypatch.delenv(vm.ACCELERATOR_VARIABLE, raising=False)
    return told


def test_kvm_is_tried_once_and_again_with_another_kernel_or_boot(trials: SimpleNamespace, tmp_path: Path) -> None:
    assert [vm.accelerator(tmp_path / "a") for _ in range(3)] == ["kvm"] * 3
    assert trials.count == 1
    trials.works = False
    assert [vm.accelerator(tmp_path / "b") for _ in range(3)] == ["tcg"] * 3
    assert trials.count == 2
    record = json.loads((tmp_path / "kvm.json").read_text())
    (tmp_path / "kvm.json").write_text(json.dumps({**record, "boot": "another", "works": True}))
    assert vm.accelerator(tmp_path / "b") == "tcg"
    assert trials.count == 3


def test_a_machine_without_kvm_needs_no_trial(trials: SimpleNamespace, tmp_path: Path) -> None:
    trials.there = False
    assert vm.accelerator(tmp_path) == "tcg"
    assert trials.count == 0


def test_the_environment_decides_without_a_trial(
    trials: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wished in ("kvm", "tcg"):
        monkeypatch.setenv(vm.ACCELERATOR_VARIABLE, wished)
        assert vm.accelerator(tmp_path) == wished
    monkeypatch.setenv(vm.ACCELERATOR_VARIABLE, "fast")
    with pytest.raises(LabError, match="auto, kvm or tcg"):
        vm.accelerator(tmp_path)
    assert trials.count == 0


@pytest.mark.parametrize(
    ("outcome", "works"),
    [
        (b"[1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n", True),
        (b"", False),
        (subprocess.TimeoutExpired("qemu", 30), False),
    ],
)
def test_kvm_works_where_a_kernel_comes_to_its_end(monkeypatch: pytest.MonkeyPatch, outcome: Any, works: bool) -> None:
    def run(_command: list[str], **_more: Any) -> SimpleNamespace:
        if isinstance(outcome, Exception):
            raise outcome
        return SimpleNamespace(stdout=outcome)

    monkeypatch.setattr(vm.rootfs, "architecture", lambda: "amd64")
    monkeypatch.setattr(vm.subprocess, "run", run)
    assert vm._kvm_works(Path("/vmlinuz")) is works


def test_other_architectures_are_told_to_use_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm.rootfs, "architecture", lambda: "arm64")
    with pytest.raises(LabError, match="use containers"):
        vm._qemu()


def test_a_host_of_before_there_were_kinds_is_a_container() -> None:
    assert hosts._kind({"rootfs": "/x"}) is nspawn
    assert hosts._kind({"kind": "vm"}) is vm
