"""What makes a host unfit, and its kernel's settings; on a host whose files lie below tmp_path."""

from __future__ import annotations

import builtins
import os
import platform
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import host_state

FSTAB = (
    "# UUID=1 none swap sw 0 0\nUUID=2 / ext4 defaults 0 1\nUUID=3 none swap sw 0 0\n/swap.img\tnone\tswap\tsw\t0 0\n"
)


class Machine:
    """A host: its /proc, /etc, programs and answers."""

    def __init__(self, host: SimpleNamespace, root: Path, commands: Any) -> None:
        self.host, self.root, self.commands = host, root, commands
        self.programs = {"openssl", "apt-get"}
        self.free_mb = 50000
        self.write("/proc/meminfo", "MemTotal:        4096000 kB\n")
        self.write("/proc/swaps", "Filename Type Size Used Priority\n")
        self.write("/proc/filesystems", "nodev\toverlay\n")
        self.write("/proc/kallsyms", "0 t nft_init\n0 t br_netfilter_init\n")
        self.write("/proc/sys/net/ipv4/ip_forward", "0\n")
        self.write("/proc/sys/fs/inotify/max_user_instances", "128\n")
        self.write("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
        self.write("/etc/machine-id", "abc\n")
        self.write("/etc/fstab", FSTAB)
        for path in ("/run/systemd/system", "/var/lib", "/sys/module/vxlan"):
            self.at(path).mkdir(parents=True)
        commands.answers = {
            "ip -oneline": (
                0,
                "2: eth0    inet 192.168.60.11/24 brd x\n2: eth0    inet6 fd00::11/64 scope global\n",
                "",
            ),
            "modprobe --dry-run": (1, "", ""),
            "systemd-detect-virt": (1, "none\n", ""),
        }

    def at(self, path: Any) -> Path:
        """Where a path of the host is."""
        path = str(path)
        return Path(path) if path.startswith(str(self.root)) else self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)

    def read(self, path: str) -> str | None:
        return self.at(path).read_text() if self.at(path).exists() else None

    def run(self, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        self.commands.ran.clear()
        result = self.host.run_module("host_settings", {"state": state, **more}, check)
        assert not result.get("exception"), result["exception"]
        return result

    def everything(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def machine(
    host: SimpleNamespace, users: Any, commands: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    machine = Machine(host, tmp_path, commands)
    module = host.load("module_utils", "host_settings")

    class HostState(host_state.HostState):
        def file(self, path: str, content: Any, *args: Any, **more: Any) -> bool:
            return super().file(str(machine.at(path)), content, *args, **more)

        def absent(self, path: str, *args: Any, **more: Any) -> bool:
            return super().absent(str(machine.at(path)), *args, **more)

    paths = SimpleNamespace(
        isdir=lambda path: machine.at(path).is_dir(), islink=lambda path: machine.at(path).is_symlink()
    )
    disk = SimpleNamespace(
        disk_usage=lambda path: SimpleNamespace(free=machine.free_mb << 20, total=100000 << 20),
        which=lambda name: name if name in machine.programs else None,
    )
    monkeypatch.setattr(module, "HostState", HostState)
    monkeypatch.setattr(module, "read_bytes", lambda path: host_state.read_bytes(str(machine.at(path))))
    real_open = builtins.open
    monkeypatch.setattr(module, "open", lambda path, *a, **m: real_open(machine.at(path), *a, **m), raising=False)
    monkeypatch.setattr(module, "os", SimpleNamespace(path=paths, readlink=lambda path: os.readlink(machine.at(path))))
    monkeypatch.setattr(module, "shutil", disk)
    return machine


def findings(machine: Machine, **more: Any) -> list[str]:
    return machine.run("inspected", **more)["findings"]


# ---- what makes a host unfit ----


def test_a_fit_host_has_no_findings(machine: Machine) -> None:
    result = machine.run(
        "inspected",
        modules=["overlay", "vxlan", "br_netfilter"],
        minimum_memory_mb=1024,
        minimum_disk_mb=1024,
        address="192.168.60.11",
    )
    assert result["findings"] == []
    assert (result["machine_id"], result["package_manager"]) == ("abc", "apt")
    assert result["node_name"] == os.uname().nodename
    assert abs(result["clock"] - time.time()) < 60
    assert not result["changed"]


def test_little_memory(machine: Machine) -> None:
    (found,) = findings(machine, minimum_memory_mb=4001)
    assert found.startswith("has 4000 MiB of memory; host__minimum_memory_mb wants 4001")


def test_little_disk_but_only_before_anything_runs(machine: Machine) -> None:
    machine.free_mb = 100
    (found,) = findings(machine, minimum_disk_mb=2000)
    assert "100 MiB free below /var/lib" in found
    assert "host__minimum_disk_mb" in found
    machine.at("/var/lib/hardway").mkdir()
    assert findings(machine, minimum_disk_mb=2000) == []


def test_a_kernel_without_a_module(machine: Machine) -> None:
    machine.programs.add("modprobe")
    machine.commands.answers["modprobe --dry-run"] = (1, "", "")
    (found,) = findings(machine, modules=["overlay", "ip_vs"])
    assert "without ip_vs" in found
    machine.commands.answers["modprobe --dry-run"] = (0, "", "")
    assert findings(machine, modules=["ip_vs"]) == []


def test_a_kernel_without_what_a_setting_needs(machine: Machine) -> None:
    """In one sentence that names the setting, on a host that has no kmod yet too."""
    needed = {"kube_proxy__mode ipvs": ["ip_vs", "ip_vs_rr"], "cni__flannel_backend vxlan": ["vxlan"]}
    (found,) = findings(machine, modules=["overlay", "ip_vs", "ip_vs_rr"], needed_by=needed)
    assert found == (
        f"has a kernel ({os.uname().release}) without ip_vs, ip_vs_rr, which kube_proxy__mode ipvs needs. Install a kernel "
        "that has it, or set kube_proxy__mode to something else."
    )
    machine.write(f"/lib/modules/{os.uname().release}/modules.dep", "kernel/net/netfilter/ipvs/ip_vs.ko.xz: x\n")
    (found,) = findings(machine, modules=["ip_vs", "ip_vs_rr"], needed_by=needed)
    assert "without ip_vs_rr, which" in found


@pytest.mark.parametrize(
    ("release", "fit"),
    [
        *(("5.13.0-30-generic", True), ("6.1.0-18-amd64", True), ("5.14.0-427.el9.x86_64", True), ("odd", True)),
        *(("5.10.0-28-amd64", False), ("4.18.0", False), ("5.9", False)),
    ],
)
def test_a_kernel_that_is_too_old_for_a_setting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, release: str, fit: bool
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    nftables = {"version": "5.13", "setting": "kube_proxy__mode nftables", "otherwise": "kube_proxy__mode: iptables"}
    assert findings(machine, minimum_kernels=[nftables]) == (
        []
        if fit
        else [
            f"has kernel {release}, and kube_proxy__mode nftables wants 5.13 or newer. Give it a newer kernel, or set "
            "kube_proxy__mode: iptables for all hosts."
        ]
    )
    assert findings(machine) == []


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        ("nameserver 127.0.0.53\noptions edns0\n", False),
        ("nameserver 127.0.0.1\nnameserver ::1\n", False),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.53\n", True),
        ("# nobody is asked\n", True),
        (None, True),
    ],
)
def test_a_host_whose_pods_would_ask_themselves_for_names(machine: Machine, text: str | None, fit: bool) -> None:
    if text is not None:
        machine.write("/etc/resolv.conf", text)
    found = findings(machine, resolver="/etc/resolv.conf")
    assert bool(found) is not fit
    for sentence in found:
        assert sentence.startswith("has loopback alone in /etc/resolv.conf (127.0.0")
        assert "Set kubelet__config: {resolvConf: ...}" in sentence
    assert findings(machine) == []


def test_a_module_that_is_built_in(machine: Machine) -> None:
    machine.write(
        f"/lib/modules/{os.uname().release}/modules.builtin", "kernel/net/netfilter/ip_vs.ko\nkernel/x/nf-nat.ko\n"
    )
    assert findings(machine, modules=["ip_vs", "nf_nat"]) == []


def test_no_machine_id_no_systemd_no_openssl(machine: Machine) -> None:
    machine.write("/etc/machine-id", "\n")
    machine.at("/run/systemd/system").rmdir()
    machine.programs.clear()
    found = findings(machine)
    assert len(found) == 3
    for words in ("systemd-machine-id-setup", "does not run systemd", "Install the package openssl"):
        assert any(words in sentence for sentence in found)


def test_an_address_that_is_not_the_hosts(machine: Machine) -> None:
    (found,) = findings(machine, address="192.168.60.12")
    assert "192.168.60.12" in found
    assert "cluster_address" in found
    assert findings(machine, address="fd00::11") == []
    assert findings(machine, address="") == []


def test_a_second_address_that_is_not_the_hosts(machine: Machine) -> None:
    assert findings(machine, address_v6="fd00:0::0:11") == []
    (found,) = findings(machine, address_v6="fd00::12")
    assert found == (
        "does not have the address fd00::12 that the inventory gives it. Mend cluster_address_v6, or give the host that address."
    )


def test_everything_wrong_is_told_at_once(machine: Machine) -> None:
    machine.programs.clear()
    assert len(findings(machine, minimum_memory_mb=9999, address="10.0.0.1", modules=["none"])) == 4


# ---- packages ----


def test_missing_packages_of_apt(machine: Machine) -> None:
    machine.commands.answers["dpkg-query"] = (1, "installed conntrack\nconfig-files socat\n", "no packages found")
    result = machine.run("inspected", packages=["conntrack", "socat", "ipset"])
    assert result["missing_packages"] == ["socat", "ipset"]


def test_missing_packages_of_dnf(machine: Machine) -> None:
    machine.programs = {"openssl", "dnf", "rpm"}
    machine.commands.answers["rpm"] = (1, "conntrack-tools\npackage socat is not installed\n", "")
    result = machine.run("inspected", packages=["conntrack-tools", "ipset"])
    assert (result["package_manager"], result["missing_packages"]) == ("dnf", ["ipset"])


def test_a_package_that_rpm_names_in_its_refusal_is_missing(machine: Machine) -> None:
    machine.programs = {"openssl", "dnf"}
    machine.commands.answers["rpm"] = (1, "package socat is not installed\n", "")
    assert machine.run("inspected", packages=["socat"])["missing_packages"] == ["socat"]


# ---- settings ----

WISH: dict[str, Any] = {
    "modules": ["overlay", "ip_vs"],
    "sysctls": {"net.ipv4.ip_forward": 1},
    "minimum_sysctls": {"fs.inotify.max_user_instances": 8192},
}


def test_settings_are_made_now_and_for_the_next_boot(machine: Machine) -> None:
    result = machine.run("present", **WISH)
    assert result["changed"]
    assert machine.read("/etc/modules-load.d/hardway-kubernetes.conf") == "overlay\nip_vs\n"
    assert machine.read("/etc/sysctl.d/99-zz-hardway-kubernetes.conf") == (
        "fs.inotify.max_user_instances = 8192\nnet.ipv4.ip_forward = 1\n"
    )
    assert machine.read("/proc/sys/net/ipv4/ip_forward") == "1"
    assert machine.read("/proc/sys/fs/inotify/max_user_instances") == "8192"
    assert "modprobe ip_vs" in machine.commands.ran
    assert "modprobe overlay" not in machine.commands.ran


@pytest.mark.parametrize(("listed", "loads"), [("kernel/net/netfilter/x.ko\n", True), (None, False)])
def test_a_module_whose_name_begins_names_of_the_kernels_own(machine: Machine, listed: str | None, loads: bool) -> None:
    """Where the kernel lists what is built in, that counts; without it, as in containers, its symbols are all there is."""
    machine.write("/proc/kallsyms", "0 T nf_conntrack_destroy\n")
    if listed:
        machine.write(f"/lib/modules/{os.uname().release}/modules.builtin", listed)
    machine.run("present", modules=["nf_conntrack"])
    assert ("modprobe nf_conntrack" in machine.commands.ran) is loads


def test_the_second_time_nothing_changes(machine: Machine) -> None:
    machine.run("present", **WISH)
    machine.at("/sys/module/ip_vs").mkdir()
    before = machine.everything()
    result = machine.run("present", **WISH)
    assert (result["changed"], result["diff"]) == (False, [])
    assert machine.everything() == before
    assert not machine.run("inspected", **WISH)["differs"]


def test_a_minimum_leaves_a_higher_value_alone(machine: Machine) -> None:
    machine.write("/proc/sys/fs/inotify/max_user_instances", "99999\n")
    machine.run("present", **WISH)
    assert machine.read("/proc/sys/fs/inotify/max_user_instances") == "99999\n"
    assert "inotify" not in machine.read("/etc/sysctl.d/99-zz-hardway-kubernetes.conf")


def test_a_value_that_drifted_is_set_again(machine: Machine) -> None:
    machine.run("present", **WISH)
    machine.write("/proc/sys/net/ipv4/ip_forward", "0\n")
    result = machine.run("present", **WISH)
    assert {"before": "0\n", "after": "1\n"}.items() <= result["diff"][-1].items()
    assert machine.read("/proc/sys/net/ipv4/ip_forward") == "1"


def test_values_of_several_words_are_compared_by_words(machine: Machine) -> None:
    wish = {"sysctls": {"net.ipv4.ip_local_port_range": "32768 60999"}}
    machine.run("present", **wish)
    assert not machine.run("present", **wish)["changed"]


def test_a_parameter_that_the_kernel_does_not_have_is_told(machine: Machine) -> None:
    result = machine.run("present", sysctls={"net.ipv4.none": 1, "not/there.x": 1})
    assert result["failed"]
    assert "host__sysctls" in result["msg"]


def test_swap_is_off_now_and_at_boot(machine: Machine) -> None:
    machine.write("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda5 partition 1 0 -2\n")
    assert machine.run("present")["changed"]
    assert "swapoff --all" in machine.commands.ran
    mark = "# swap is off for the kubelet (hardway.kubernetes): "
    lines = FSTAB.splitlines()
    assert machine.read("/etc/fstab").splitlines() == [lines[0], lines[1], mark + lines[2], mark + lines[3]]


def test_swap_may_be_kept(machine: Machine) -> None:
    machine.write("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda5 partition 1 0 -2\n")
    machine.run("present", swap="keep")
    assert machine.read("/etc/fstab") == FSTAB
    assert machine.commands.ran == []


def test_a_container_does_not_turn_off_its_machines_swap(machine: Machine) -> None:
    machine.write("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda5 partition 1 0 -2\n")
    machine.commands.answers["systemd-detect-virt"] = (0, "systemd-nspawn\n", "")
    machine.run("present")
    assert "swapoff --all" not in machine.commands.ran


def test_a_host_without_fstab(machine: Machine) -> None:
    machine.at("/etc/fstab").unlink()
    machine.run("present")
    assert machine.read("/etc/fstab") is None


def test_looking_and_check_mode_change_nothing(machine: Machine) -> None:
    before = machine.everything()
    assert machine.run("inspected", **WISH)["differs"]
    result = machine.run("present", check=True, **WISH)
    assert result["changed"]
    headers = {entry["before_header"] for entry in result["diff"]}
    assert {"kernel module ip_vs", "sysctl net.ipv4.ip_forward"} <= headers
    assert machine.everything() == before
    assert "modprobe ip_vs" not in machine.commands.ran


def test_absent_takes_the_files_and_gives_fstab_back(machine: Machine) -> None:
    machine.run("present", **WISH)
    assert machine.run("absent")["changed"]
    assert machine.read("/etc/modules-load.d/hardway-kubernetes.conf") is None
    assert machine.read("/etc/sysctl.d/99-zz-hardway-kubernetes.conf") is None
    assert machine.read("/etc/fstab") == FSTAB
    assert not machine.run("absent")["changed"]


@pytest.mark.parametrize(
    "answer", [(0, "", ""), (1, "", "Failed to disable unit: Unit file nginx.service does not exist.")]
)
def test_what_was_masked_does_not_start_at_a_boot_once_it_is_unmasked(machine: Machine, answer: Any) -> None:
    unwanted = {"nginx": ["nginx.service"], "keepalived": ["keepalived.service"]}
    mask = machine.at("/etc/systemd/system/nginx.service")
    mask.parent.mkdir(parents=True)
    mask.symlink_to("/dev/null")
    assert machine.run("absent", check=True, unwanted_services=unwanted)["changed"]
    assert mask.is_symlink()
    assert "systemctl disable nginx.service" not in machine.commands.ran
    machine.commands.answers["systemctl disable"] = answer
    assert not machine.run("absent", unwanted_services=unwanted).get("failed")
    assert not mask.is_symlink()
    assert [line for line in machine.commands.ran if "disable" in line] == ["systemctl disable nginx.service"]
    assert not machine.run("absent", unwanted_services=unwanted)["changed"]


def test_a_service_that_can_not_be_disabled_is_told(machine: Machine) -> None:
    mask = machine.at("/etc/systemd/system/nginx.service")
    mask.parent.mkdir(parents=True)
    mask.symlink_to("/dev/null")
    machine.commands.answers["systemctl disable"] = (1, "", "Access denied\n")
    result = machine.run("absent", unwanted_services={"nginx": ["nginx.service"]})
    assert result["failed"]
    assert result["msg"] == "systemctl disable nginx.service failed: Access denied"


# ---- balancers ----

VIRTUAL = {"address": "192.168.60.30", "variable": "cluster_api_endpoint"}


def placed(machine: Machine, *lines: str, **virtual: str) -> list[str]:
    machine.commands.answers["ip -oneline"] = (0, "".join(line + "\n" for line in lines), "")
    return findings(machine, address="192.168.60.31", virtual_address={**VIRTUAL, **virtual})


ETH0 = "2: eth0    inet 192.168.60.31/24 brd 192.168.60.255 scope global eth0"
ETH1 = "3: eth1    inet 10.1.0.5/16 scope global eth1"
HELD = "2: eth0    inet 192.168.60.30/32 scope global eth0"


def test_a_virtual_address_in_the_hosts_network(machine: Machine) -> None:
    assert placed(machine, ETH0) == []
    assert placed(machine, ETH1, ETH0) == []
    assert placed(machine, ETH0, HELD) == []  # a host that holds it


@pytest.mark.parametrize("address", ["10.1.0.30", "192.168.61.30", "fd00::30"])
def test_a_virtual_address_outside_the_hosts_network(machine: Machine, address: str) -> None:
    (found,) = placed(machine, ETH0, ETH1, address=address)
    assert found == (
        f"has no network on interface eth0 that holds the virtual address {address} (cluster_api_endpoint); there is "
        "192.168.60.0/24. Others would not find the address there: choose a free one of that network, or set "
        "virtual_address__interface."
    )


@pytest.mark.parametrize("address", ["192.168.60.0", "192.168.60.255"])
def test_a_virtual_address_that_no_host_may_have(machine: Machine, address: str) -> None:
    assert placed(machine, ETH0, address=address) == [
        f"has the virtual address {address} (cluster_api_endpoint) as the network's own or its broadcast address in "
        "192.168.60.0/24. Choose another one of that network."
    ]


def test_of_two_networks_around_a_virtual_address_the_narrow_one_counts(machine: Machine) -> None:
    wide = "2: eth0    inet 192.168.0.9/16 brd 192.168.255.255 scope global eth0"
    (found,) = placed(machine, ETH0, wide, address="192.168.60.255")
    assert "broadcast address in 192.168.60.0/24" in found


def test_an_address_that_was_put_there_is_no_network_for_it(machine: Machine) -> None:
    (found,) = placed(machine, ETH0, "2: eth0    inet 10.9.9.9/32 scope global eth0", address="10.9.9.9")
    assert "there is 192.168.60.0/24" in found


def test_another_interface_for_the_virtual_address(machine: Machine) -> None:
    assert placed(machine, ETH0, ETH1, address="10.1.0.30", interface="eth1") == []
    (found,) = placed(machine, ETH0, interface="eth7")
    assert found == "has no interface eth7 with an address. Mend virtual_address__interface."


def test_a_host_without_its_own_address_is_told_only_that(machine: Machine) -> None:
    (found,) = placed(machine, ETH1)
    assert "does not have the address 192.168.60.31" in found


def test_a_balancer_that_nobody_is_at(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = machine.host.load("module_utils", "endpoint")
    monkeypatch.setattr(endpoint, "why_not_there", lambda address: "No route to host")
    wish = {"address": "192.0.2.1:6443", "kind": "external", "behind": [], "ca": str(tmp_path / "none")}
    (found,) = findings(machine, endpoint=wish)
    assert "reaches nobody at cluster_api_endpoint 192.0.2.1:6443 (No route to host)" in found
    assert findings(machine, endpoint={**wish, "answers_when_empty": False}) == []


# ---- families of distributions ----

OS_RELEASE = {
    "debian": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nID=debian\n',
    "ubuntu": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nID_LIKE=debian\n',
    "mint": 'PRETTY_NAME="Linux Mint 22"\nID=linuxmint\nID_LIKE="ubuntu debian"\n',
    "raspbian": "PRETTY_NAME='Raspbian GNU/Linux 12'\nID=raspbian\nID_LIKE=debian\n",
    "rhel": 'ID="rhel"\nID_LIKE="fedora"\nPRETTY_NAME="Red Hat Enterprise Linux 10.1"\n',
    "rocky": 'ID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"\n',
    "fedora": 'ID=fedora\nPRETTY_NAME="Fedora Linux 43"\n',
    "arch": "ID=arch\n",
    "nothing": "",
}


@pytest.mark.parametrize(
    ("distribution", "family"),
    [
        ("debian", "debian"),
        ("raspbian", "debian"),
        ("ubuntu", "ubuntu"),
        ("mint", "ubuntu"),
        ("rhel", "redhat"),
        ("rocky", "redhat"),
        ("fedora", "redhat"),
        ("arch", ""),
        ("nothing", ""),
    ],
)
def test_a_distribution_is_of_the_first_family_that_it_names(machine: Machine, distribution: str, family: str) -> None:
    module = machine.host.load("module_utils", "host_settings")
    assert module.platform_of(OS_RELEASE[distribution])[0] == family


def test_a_host_of_another_family_is_told_which_value_fits(machine: Machine) -> None:
    machine.write("/etc/os-release", OS_RELEASE["rocky"])
    (found,) = findings(machine, platform="debian")
    assert found == "runs Rocky Linux 9.6 (Blue Onyx), and host__platform is debian. Set host__platform: redhat for it."
    assert findings(machine, platform="redhat") == []
    assert findings(machine) == []


def test_a_family_that_is_not_known_is_taken_as_it_is_said_to_be(machine: Machine) -> None:
    machine.write("/etc/os-release", OS_RELEASE["arch"])
    assert findings(machine, platform="debian") == []


def test_a_module_that_another_package_brings_is_no_finding(machine: Machine) -> None:
    """The package for the running kernel is to be installed; once it is there, what is still lacking is a finding."""
    wish = {"modules": ["ip_set"], "kernel_modules_package": "kernel-modules-extra"}
    package = f"kernel-modules-extra-{os.uname().release}"
    machine.programs |= {"dnf", "rpm"}
    machine.programs.discard("apt-get")
    machine.commands.answers["rpm"] = (1, f"package {package} is not installed\n", "")
    result = machine.run("inspected", **wish)
    assert (result["findings"], result["missing_packages"]) == ([], [package])
    machine.commands.answers["rpm"] = (0, f"kernel-modules-extra\n{package}\n", "")
    result = machine.run("inspected", **wish)
    assert result["missing_packages"] == []
    assert "without ip_set" in result["findings"][0]


def test_where_no_module_lacks_no_package_with_modules_is_asked_for(machine: Machine) -> None:
    result = machine.run("inspected", modules=["overlay"], kernel_modules_package="linux-modules-extra")
    assert result["missing_packages"] == []
    assert not [line for line in machine.commands.ran if line.startswith("dpkg-query")]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net.ipv6.conf.eth0/100.accept_ra", "/proc/sys/net/ipv6/conf/eth0.100/accept_ra"),
    ],
)
def test_a_parameter_of_an_interface_with_a_dot(host: SimpleNamespace, key: str, path: str) -> None:
    assert host.load("module_utils", "host_settings").sysctl_path(key) == path
