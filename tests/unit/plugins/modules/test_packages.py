"""Packages that a host lacks: which packager installs them, what is masked before, and what is said when it fails."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.hardway.kubernetes.plugins.module_utils import host_state

MASK = "/etc/systemd/system/nftables.service"
UNWANTED = {"nftables": ["nftables.service"], "conntrack": ["conntrackd.service"]}


class Machine:
    """A host below tmp_path with a packager, on which of three packages only conntrack is installed."""

    def __init__(self, host: SimpleNamespace, root: Path, commands: Any) -> None:
        self.host, self.root, self.commands = host, root, commands
        self.programs = {"apt-get"}
        self.lists_age: int | None = 60
        self.lists = ["lock", "deb.debian.org_dists_bookworm_main_binary-amd64_Packages"]
        self.masked: list[str] = []
        commands.answers = {
            "dpkg-query": (1, "installed conntrack\n", "no packages found matching socat"),
            "rpm": (1, "conntrack\npackage socat is not installed\n", ""),
            "apt-get": self.install,
            "dnf": self.install,
        }

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def install(self, _command: list[str]) -> tuple[int, str, str]:
        """The packager sees the masks that are there when it runs."""
        folder = self.at("/etc/systemd/system")
        self.masked = [path.name for path in folder.glob("*") if os.readlink(path) == "/dev/null"]
        return 0, "", ""

    def stat(self, path: str) -> Any:
        assert path == "/var/lib/apt/lists"
        return SimpleNamespace(st_mtime=time.time() - self.lists_age)

    def listdir(self, path: str) -> list[str]:
        assert path == "/var/lib/apt/lists"
        return self.lists

    def isdir(self, path: str) -> bool:
        return self.lists_age is not None if path == "/var/lib/apt/lists" else os.path.isdir(path)

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        self.commands.ran.clear()
        wish = {"state": "present", "swap": "keep", "packages": ["conntrack", "socat", "nftables"], **more}
        result = self.host.run_module("host_settings", wish, check)
        assert not result.get("exception"), result["exception"]
        return result

    def packager(self) -> list[str]:
        """What the packager was asked."""
        return [line for line in self.commands.ran if line.startswith(("apt-get", "dnf"))]


@pytest.fixture
def machine(
    host: SimpleNamespace, users: Any, commands: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    machine = Machine(host, tmp_path, commands)
    module = host.load("module_utils", "host_settings")

    class HostState(host_state.HostState):
        def link(self, path: str, target: str) -> bool:
            return super().link(str(machine.at(path)), target)

    paths = SimpleNamespace(isdir=machine.isdir)
    programs = SimpleNamespace(which=lambda name: name if name in machine.programs else None)
    monkeypatch.setattr(module, "HostState", HostState)
    monkeypatch.setattr(module, "os", SimpleNamespace(path=paths, stat=machine.stat, listdir=machine.listdir))
    monkeypatch.setattr(module, "shutil", programs)
    for name in ("MODULES_FILE", "SYSCTL_FILE"):
        monkeypatch.setattr(module, name, str(tmp_path / name))
        (tmp_path / name).touch(0o644)
    return machine


def test_missing_packages_are_installed_with_apt(machine: Machine) -> None:
    result = machine.run()
    assert result["changed"]
    (line,) = machine.packager()
    assert line.endswith(" install socat nftables")
    for words in ("DPkg::Lock::Timeout=", "--force-confold", "--yes", "--no-install-recommends"):
        assert words in line
    assert {"before_header": "packages", "before": "", "after": "socat\nnftables\n"}.items() <= result["diff"][
        0
    ].items()


@pytest.mark.parametrize(("age", "asked"), [(60, 1), (3500, 1), (3700, 2), (None, 2)])
def test_package_lists_are_updated_only_when_old(machine: Machine, age: int | None, asked: int) -> None:
    machine.lists_age = age
    machine.run()
    lines = machine.packager()
    assert len(lines) == asked
    assert [line.endswith(" update") for line in lines] == [True, False][-asked:]


def test_the_packager_asks_nobody_anything(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    environments: dict[str, Any] = {}

    def run_command(module: Any, command: list[str], **more: Any) -> Any:
        environments[command[0]] = more.get("environ_update")
        return machine.commands(module, command)

    monkeypatch.setattr(basic.AnsibleModule, "run_command", run_command)
    machine.run()
    assert environments["apt-get"] == {
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C",
    }


@pytest.mark.parametrize("programs", [{"apt-get"}, {"dnf", "rpm"}])
def test_unwanted_services_are_masked_before_they_arrive(machine: Machine, programs: set[str]) -> None:
    machine.programs = programs
    result = machine.run(unwanted_services=UNWANTED)
    assert machine.masked == ["nftables.service"]  # conntrack is installed already, and its service left alone
    headers = [entry["before_header"] for entry in result["diff"]]
    assert headers == [str(machine.at(MASK)), "packages"]


def test_dnf_installs_where_there_is_no_apt(machine: Machine) -> None:
    machine.programs = {"dnf", "rpm"}
    assert machine.run()["changed"]
    assert machine.packager() == ["dnf --assumeyes install socat nftables"]


def test_a_host_with_neither_is_told_so(machine: Machine) -> None:
    machine.programs = set()
    result = machine.run()
    assert result["failed"]
    assert "lacks conntrack, socat, nftables" in result["msg"]
    assert "neither apt nor dnf" in result["msg"]
    assert "Install them yourself" in result["msg"]
    assert machine.packager() == []


@pytest.mark.parametrize(("age", "asked"), [(60, "install socat nftables"), (7200, "update")])
def test_a_packager_that_fails_is_told_with_its_last_lines_and_the_mend(machine: Machine, age: int, asked: str) -> None:
    machine.lists_age = age
    out = "".join(f"line {number}.\n" for number in range(30))
    machine.commands.answers["apt-get"] = (100, out, "E: no such package\n")
    result = machine.run()
    assert result["failed"]
    for words in (asked + "\n", "line 29.\nE: no such package\n", "Mend the host's package sources", "host__packages"):
        assert words in result["msg"]
    assert "line 10." not in result["msg"]
    assert len(machine.packager()) == 1


@pytest.mark.parametrize("programs", [{"apt-get"}, {"dnf", "rpm"}])
@pytest.mark.parametrize("packages", [[], ["conntrack"]])
def test_where_nothing_lacks_the_packager_is_not_asked(
    machine: Machine, programs: set[str], packages: list[str]
) -> None:
    machine.programs, machine.lists_age = programs, 7200
    result = machine.run(packages=packages, unwanted_services=UNWANTED)
    assert (result["changed"], result["diff"]) == (False, [])
    assert machine.packager() == []
    assert not machine.at("/etc").exists()


@pytest.mark.parametrize("programs", [{"apt-get"}, {"dnf", "rpm"}])
def test_check_mode_shows_it_and_installs_nothing(machine: Machine, programs: set[str]) -> None:
    machine.programs, machine.lists_age = programs, 7200
    result = machine.run(check=True, unwanted_services=UNWANTED)
    assert result["changed"]
    assert [entry["after"] for entry in result["diff"]] == ["link to /dev/null\n", "socat\nnftables\n"]
    assert machine.packager() == []
    assert not machine.at("/etc").exists()


def test_lists_that_an_image_was_built_without_are_updated(machine: Machine) -> None:
    machine.lists_age, machine.lists = 60, ["lock", "partial"]
    machine.run()
    assert [line.split()[-1] for line in machine.packager()][0] == "update"


def test_lists_that_another_apt_holds_are_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """cloud-init and apt-daily are at work when a machine is new."""
    machine.lists_age = 7200
    busy = [(100, "", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)")] * 2
    machine.commands.answers["apt-get"] = lambda command: busy.pop() if busy else machine.install(command)
    module = machine.host.load("module_utils", "host_settings")
    slept: list[float] = []
    clock = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=slept.append)
    monkeypatch.setattr(module, "time", clock)
    assert machine.run()["changed"]
    assert len(slept) == 2


# ---- families of distributions ----


def test_packages_of_the_rpm_family_are_found_by_name_and_by_version(machine: Machine) -> None:
    """A kernel's packages are asked for with their version: another kernel's serve nothing."""
    machine.programs = {"dnf", "rpm"}
    told = "chrony\nchrony-4.5-1.el9.x86_64\nkernel-modules-extra\nkernel-modules-extra-5.14.0-1.el9.x86_64\n"
    machine.commands.answers["rpm"] = (
        1,
        told + "package kernel-modules-extra-5.14.0-2.el9.x86_64 is not installed\n",
        "",
    )
    result = machine.run(packages=["chrony", "kernel-modules-extra-5.14.0-1.el9.x86_64"])
    assert not result["changed"]
    machine.run(packages=["chrony", "kernel-modules-extra-5.14.0-2.el9.x86_64"])
    assert machine.packager() == ["dnf --assumeyes install kernel-modules-extra-5.14.0-2.el9.x86_64"]


@pytest.mark.parametrize("check", [False, True])
def test_services_that_do_not_start_with_their_package_are_started(machine: Machine, check: bool) -> None:
    machine.programs = {"dnf", "rpm"}
    wanted = {"socat": ["socatd.service"], "conntrack": ["conntrackd.service"]}
    machine.run(check=check, wanted_services=wanted)
    started = [line for line in machine.commands.ran if line.startswith("systemctl")]
    # What was installed before is left as its administrator wants it.
    assert started == ([] if check else ["systemctl enable --now socatd.service"])
