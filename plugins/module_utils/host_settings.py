# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as Kubernetes needs it: kernel modules, parameters, swap, services, and whether it is fit at all."""

from __future__ import annotations

import ipaddress
import os
import platform
import re
import shutil
import time

from ansible_collections.hardway.kubernetes.plugins.module_utils import endpoint
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, read_bytes

MODULES_FILE = "/etc/modules-load.d/hardway-kubernetes.conf"
# After 99-sysctl.conf, which is /etc/sysctl.conf and at the next boot would have the last word.
SYSCTL_FILE = "/etc/sysctl.d/99-zz-hardway-kubernetes.conf"
PACKAGER_WAITS = 120  # seconds for another one to finish
LISTS_SERVE = 3600  # seconds that package lists are taken for new
# Families of distributions by what ID and ID_LIKE of os-release(5) say; the first that is known counts.
PLATFORMS = {"debian": "debian", "ubuntu": "ubuntu", "rhel": "redhat", "centos": "redhat", "fedora": "redhat"}
SWAP_MARK = "# swap is off for the kubelet (hardway.kubernetes): "


def read(path):
    """A small file's text without white space around it, or an empty string."""
    return (read_bytes(path) or b"").decode("utf-8", "replace").strip()


def platform_of(os_release):
    """The family of a distribution and its name, from the text of os-release(5); the family is empty if it is unknown."""
    words = dict(re.findall(r"""^(\w+)=["']?([^"'\n]*)""", os_release, re.MULTILINE))
    ids = [words.get("ID", "")] + words.get("ID_LIKE", "").split()
    return next((PLATFORMS[name] for name in ids if name in PLATFORMS), ""), words.get("PRETTY_NAME") or ids[0]


def kernel_has(name):
    """Whether a module is loaded or built into the running kernel."""
    if os.path.isdir("/sys/module/" + name.replace("-", "_")):
        return True
    built_in = read("/lib/modules/%s/modules.builtin" % platform.release())
    if re.search(r"/%s\.ko" % name.replace("_", "[-_]"), built_in):
        return True
    if re.search(r"\b%s$" % re.escape(name), read("/proc/filesystems"), re.MULTILINE):
        return True
    if built_in:
        return False
    # A kernel without a list of what is built in still has the symbols, which can't tell a module from what it builds on: the core
    # of netfilter has nf_conntrack_destroy.
    with open("/proc/kallsyms", "rb") as stream:
        return (" %s_" % name).encode() in stream.read()


def sysctl_path(key):
    """Where a kernel parameter is. In sysctl's form with dots a slash stands for a dot, as in net.ipv6.conf.eth0/100.accept_ra."""
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


class Host:
    """One host: how it is, and how it should be."""

    def __init__(self, module, wish):
        self.module = module
        self.wish = wish
        self.state = HostState(module)

    def sysctls(self):
        """The wished sysctls; of those that are minimums only the ones that the kernel has lower, or we set before."""
        wished = {key: str(value) for key, value in self.wish["sysctls"].items()}
        ours = dict(re.findall(r"^(\S+) = (.*)$", read(SYSCTL_FILE), re.MULTILINE))
        for key, least in self.wish["minimum_sysctls"].items():
            present = read(sysctl_path(key))
            if key in ours or not present.isdigit() or int(present) < int(least):
                wished[key] = str(least)
        return wished

    def findings(self):
        """What makes this host unfit."""
        found = []
        memory = int(re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo")).group(1)) // 1024
        if memory < self.wish["minimum_memory_mb"]:
            found.append(
                "has %d MiB of memory; host__minimum_memory_mb wants %d. Give it more, or lower the variable."
                % (memory, self.wish["minimum_memory_mb"])
            )
        free = shutil.disk_usage("/var/lib").free >> 20
        if free < self.wish["minimum_disk_mb"] and not os.path.isdir("/var/lib/hardway"):
            found.append(
                "has %d MiB free below /var/lib; host__minimum_disk_mb wants %d. Make room, or lower the variable."
                % (free, self.wish["minimum_disk_mb"])
            )
        family, distribution = platform_of(read("/etc/os-release"))
        if self.wish["platform"] and family not in ("", self.wish["platform"]):
            found.append(
                "runs %s, and host__platform is %s. Set host__platform: %s for it."
                % (distribution, self.wish["platform"], family)
            )
        if not self.missing_modules_package():
            found += self.module_findings()
        found += self.old_kernel()
        found += self.own_resolver()
        if not read("/etc/machine-id"):
            found.append("has no machine id. Run: systemd-machine-id-setup")
        if not os.path.isdir("/run/systemd/system"):
            found.append("does not run systemd. The components are systemd services.")
        if not shutil.which("openssl"):
            found.append("has no openssl command. Install the package openssl.")
        if self.wish["address"] and self.wish["address"] not in self.addresses():
            found.append(
                "does not have the address %s that the inventory gives it. Mend ansible_host or cluster_address."
                % self.wish["address"]
            )
        if self.wish["address_v6"]:
            wished = str(ipaddress.ip_address(self.wish["address_v6"]))
            if wished not in {str(ipaddress.ip_address(address)) for address in self.addresses()}:
                found.append(
                    "does not have the address %s that the inventory gives it. Mend cluster_address_v6, or give the host that "
                    "address." % self.wish["address_v6"]
                )
        if self.wish["virtual_address"]:
            found += self.misplaced(self.wish["virtual_address"])
        unusable = endpoint.finding(self.wish["endpoint"]) if self.wish["endpoint"] else None
        return found + ([unusable] if unusable else [])

    def loadable(self, name):
        """Whether the kernel finds a module; a host that is still to get kmod has the kernel's own list of them."""
        if shutil.which("modprobe"):
            return self.module.run_command(["modprobe", "--dry-run", "--quiet", name])[0] == 0
        listed = read("/lib/modules/%s/modules.dep" % platform.release())
        return bool(re.search(r"/%s\.ko" % name.replace("_", "[-_]"), listed))

    def module_findings(self):
        """Sentences about kernel modules that this host can't have; those that one setting needs stand in one sentence."""
        lacking = self.lacking_modules()
        found = []
        for setting, names in self.wish["needed_by"].items():
            mine = [name for name in names if name in lacking]
            lacking = [name for name in lacking if name not in mine]
            if mine:
                found.append(
                    "has a kernel (%s) without %s, which %s needs. Install a kernel that has it, or set %s to something else."
                    % (platform.release(), ", ".join(mine), setting, setting.split()[0])
                )
        return found + [
            "has a kernel (%s) without %s. Install a kernel that has it." % (platform.release(), name)
            for name in lacking
        ]

    def old_kernel(self):
        """Sentences about settings that want a newer kernel than the running one."""
        running = re.match(r"(\d+)\.(\d+)", platform.release())
        return [
            "has kernel %s, and %s wants %s or newer. Give it a newer kernel, or set %s for all hosts."
            % (platform.release(), wish["setting"], wish["version"], wish["otherwise"])
            for wish in self.wish["minimum_kernels"]
            if running and tuple(map(int, running.groups())) < tuple(map(int, wish["version"].split(".")))
        ]

    def own_resolver(self):
        """Why cluster DNS would ask itself: loopback in a pod is the pod."""
        servers = re.findall(r"^\s*nameserver\s+(\S+)", read(self.wish["resolver"] or "/dev/null"), re.MULTILINE)
        if not servers or not all(server.startswith("127.") or server == "::1" for server in servers):
            return []
        return [
            "has loopback alone in %s (%s), from which pods take their servers of names: cluster DNS would ask itself. Set "
            "kubelet__config: {resolvConf: ...} to a file with others (with systemd-resolved /run/systemd/resolve/resolv.conf), or "
            "cluster_dns__upstream." % (self.wish["resolver"], ", ".join(servers))
        ]

    def addresses(self):
        """All addresses of this host, each with its interface and network: address to (interface, network)."""
        dummy, out, dummy = self.module.run_command(["ip", "-oneline", "address", "show"], check_rc=True)
        found = re.findall(r"^\d+: (\S+)\s+inet6? ([0-9a-fA-F.:]+)(?: peer [0-9a-fA-F.:]+)?(/\d+)?", out, re.MULTILINE)
        return {
            address: (interface, ipaddress.ip_network(address + length, strict=False))
            for interface, address, length in found
        }

    def misplaced(self, virtual):
        """Why an address can't move between this host and others: sentences, none where it can.

        :arg virtual: dict of address, interface ("" for the one that has the host's own) and variable, whose value it is.
        """
        addresses = self.addresses()
        name = virtual["interface"] or addresses.get(self.wish["address"], ("",))[0]
        mine = [network for interface, network in addresses.values() if interface == name]
        if not mine:
            return ["has no interface %s with an address. Mend virtual_address__interface." % name] if name else []
        # What holds one address only holds no other; the virtual address itself is such a network where it is held.
        wide = sorted({str(network) for network in mine if network.num_addresses > 1})
        address = ipaddress.ip_address(virtual["address"])
        narrow_first = sorted(map(ipaddress.ip_network, wide), key=lambda network: -network.prefixlen)
        around = next((network for network in narrow_first if address in network), None)
        if around and address.version == 4 and around.prefixlen < 31 and address in (around[0], around[-1]):
            return [
                "has the virtual address %s (%s) as the network's own or its broadcast address in %s. Choose another one of that "
                "network." % (address, virtual["variable"], around)
            ]
        if around:
            return []
        return [
            "has no network on interface %s that holds the virtual address %s (%s); there is %s. Others would not find the "
            "address there: choose a free one of that network, or set virtual_address__interface."
            % (name, virtual["address"], virtual["variable"], ", ".join(wide) or "none")
        ]

    def package_manager(self):
        """apt, dnf or nothing known."""
        return next((name for name, tool in (("apt", "apt-get"), ("dnf", "dnf")) if shutil.which(tool)), "")

    def lacking_modules(self):
        """Wished modules that the running kernel neither has nor finds."""
        return [name for name in self.wish["modules"] if not kernel_has(name) and not self.loadable(name)]

    def missing_modules_package(self):
        """The package with more modules for the running kernel, where one is lacking that it may have; else an empty list."""
        if not self.wish["kernel_modules_package"] or not self.lacking_modules():
            return []
        return self._not_installed(["%s-%s" % (self.wish["kernel_modules_package"], platform.release())])

    def missing_packages(self):
        """Packages to install."""
        return self._not_installed(self.wish["packages"]) + self.missing_modules_package()

    def _not_installed(self, names):
        if not names:
            return []
        if self.package_manager() == "apt":
            command = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]
            dummy, out, dummy = self.module.run_command(command + names)
            there = {line.split()[1] for line in out.splitlines() if line.startswith("installed ")}
        elif not shutil.which("rpm"):
            there = set()
        else:
            # A kernel's packages are asked for with their version. "package x is not installed" is a line of its own.
            command = ["rpm", "--query", "--queryformat", "%{NAME}\n%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\n"]
            dummy, out, dummy = self.module.run_command(command + names)
            there = set(out.splitlines())
        return [name for name in names if name not in there]

    def apply(self):
        """Modules, sysctls and swap."""
        names = "".join(name + "\n" for name in self.wish["modules"])
        self.state.file(MODULES_FILE, names)
        for name in self.wish["modules"]:
            if not kernel_has(name):
                self.state.note("kernel module " + name, "not loaded\n", "loaded\n")
                if not self.module.check_mode:
                    self.module.run_command(["modprobe", name], check_rc=True)
        wished = self.sysctls()
        self.state.file(SYSCTL_FILE, "".join("%s = %s\n" % entry for entry in sorted(wished.items())))
        for key, value in sorted(wished.items()):
            path = sysctl_path(key)
            present = " ".join(read(path).split())
            if present == value or (key in self.wish["minimum_sysctls"] and int(present or 0) >= int(value)):
                continue
            self.state.note("sysctl " + key, present + "\n", value + "\n")
            if not self.module.check_mode:
                self._set(path, key, value)
        if self.wish["swap"] == "off":
            self._swap_off()

    def _set(self, path, key, value):
        try:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(value)
        except OSError as error:
            self.module.fail_json(
                msg="the kernel parameter %s can't be set to %s: %s. Set it yourself, or take it out of host__sysctls."
                % (key, value, error.strerror)
            )

    def _swap_off(self):
        active = read("/proc/swaps").splitlines()[1:]
        # A container shows the swap of the machine it runs on, which is not its own to turn off.
        if active and self.module.run_command(["systemd-detect-virt", "--container", "--quiet"])[0] != 0:
            self.state.note("swap", "\n".join(active) + "\n", "off\n")
            if not self.module.check_mode:
                self.module.run_command(["swapoff", "--all"], check_rc=True)
        before = (read_bytes("/etc/fstab") or b"").decode()
        after = re.sub(r"^(?!#)(\S+\s+\S+\s+swap\s.*)$", SWAP_MARK + r"\1", before, flags=re.MULTILINE)
        if after != before:
            self.state.file("/etc/fstab", after)

    def install(self):
        """Packages that are missing; a service that would start with one is masked before it arrives."""
        missing = self.missing_packages()
        if not missing:
            return
        for package in missing:
            for name in self.wish["unwanted_services"].get(package, []):
                # A link to /dev/null is what systemctl mask makes, and the unit need not be there for it.
                self.state.link("/etc/systemd/system/" + name, "/dev/null")
        self.state.note("packages", "", "".join(name + "\n" for name in missing))
        if self.module.check_mode:
            return
        if self.package_manager() == "apt":
            self._apt(missing)
        elif self.package_manager() == "dnf":
            self._packager(["dnf", "--assumeyes", "install"] + missing)
        else:
            self.module.fail_json(
                msg="this host lacks %s, and its package manager is neither apt nor dnf. Install them yourself, or take "
                "them out of the variables of role host." % ", ".join(missing)
            )
        for name in sum((self.wish["wanted_services"].get(package, []) for package in missing), []):
            self.module.run_command(["systemctl", "enable", "--now", name], check_rc=True)

    def _apt(self, missing):
        apt = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=%d" % PACKAGER_WAITS]
        if not self._lists_serve():
            # Of all locks apt waits for this one alone does not obey the option above.
            self._packager(apt + ["update"], while_saying=("Could not get lock", "Unable to lock directory"))
        keep = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
        self._packager(apt + keep + ["--yes", "--no-install-recommends", "install"] + missing)

    def _lists_serve(self):
        lists = "/var/lib/apt/lists"
        there = os.listdir(lists) if os.path.isdir(lists) else []
        # An image is often built with its lists thrown away, which makes the folder new and empty.
        return any("_Packages" in name for name in there) and time.time() - os.stat(lists).st_mtime <= LISTS_SERVE

    def _packager(self, command, while_saying=()):
        # needrestart, which Ubuntu has, would ask, or restart what it likes and when.
        environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}
        end = time.monotonic() + PACKAGER_WAITS
        while True:
            code, out, err = self.module.run_command(command, environ_update=environment)
            busy = code != 0 and any(words in out + err for words in while_saying)
            if not busy or time.monotonic() > end:
                break
            time.sleep(1)
        if code != 0:
            lines = (out + err).strip().splitlines()
            self.module.fail_json(
                msg="installing packages failed: %s\n%s\nMend the host's package sources (or name other packages in "
                "host__packages) and run the playbook again." % (" ".join(command), "\n".join(lines[-15:])),
                **self.state.result(),
            )

    def remove(self):
        """Take away files and masks; what is set in the running kernel stays until the next boot.

        Packages stay, so a service that was masked when its package came is disabled: nobody wanted it to start at a boot.
        """
        for name in sum(self.wish["unwanted_services"].values(), []):
            path = "/etc/systemd/system/" + name
            if os.path.islink(path) and os.readlink(path) == "/dev/null":
                self.state.absent(path)
                if not self.module.check_mode:
                    self._disable(name)
        for path in (MODULES_FILE, SYSCTL_FILE):
            self.state.absent(path)
        before = (read_bytes("/etc/fstab") or b"").decode()
        if SWAP_MARK in before:
            self.state.file("/etc/fstab", before.replace(SWAP_MARK, ""))

    def _disable(self, name):
        code, dummy, err = self.module.run_command(["systemctl", "disable", name])
        if code != 0 and "does not exist" not in err:
            self.module.fail_json(msg="systemctl disable %s failed: %s" % (name, err.strip()), **self.state.result())

    def inspect(self):
        """How this host is: what makes it unfit, what it lacks, and what tells it from others."""
        return {
            "findings": self.findings(),
            "missing_packages": self.missing_packages(),
            "package_manager": self.package_manager(),
            "machine_id": read("/etc/machine-id"),
            "node_name": platform.node(),
            "differs": self.differs(),
        }

    def differs(self):
        """Whether apply() would change something."""
        probe = Host(self.module, self.wish)
        probe.state.check_mode, check_mode = True, self.module.check_mode
        self.module.check_mode = True
        try:
            probe.apply()
        finally:
            self.module.check_mode = check_mode
        return probe.state.changed


SETTINGS_SPEC = {
    "state": {"type": "str", "choices": ["inspected", "present", "absent"], "required": True},
    "modules": {"type": "list", "elements": "str", "default": []},
    "sysctls": {"type": "dict", "default": {}},
    "minimum_sysctls": {"type": "dict", "default": {}},
    "platform": {"type": "str", "choices": ["debian", "ubuntu", "redhat"]},
    "kernel_modules_package": {"type": "str", "default": ""},
    "wanted_services": {"type": "dict", "default": {}},
    "swap": {"type": "str", "choices": ["off", "keep"], "default": "off"},
    "unwanted_services": {"type": "dict", "default": {}},
    "packages": {"type": "list", "elements": "str", "default": []},
    "minimum_memory_mb": {"type": "int", "default": 0},
    "minimum_disk_mb": {"type": "int", "default": 0},
    "maximum_clock_skew": {"type": "int"},  # the controller judges the clock
    "needed_by": {"type": "dict", "default": {}},
    "minimum_kernels": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "version": {"type": "str", "required": True},
            "setting": {"type": "str", "required": True},
            "otherwise": {"type": "str", "required": True},
        },
    },
    "resolver": {"type": "str", "default": ""},
    "address": {"type": "str"},
    "address_v6": {"type": "str", "default": ""},
    "virtual_address": {
        "type": "dict",
        "options": {
            "address": {"type": "str", "required": True},
            "variable": {"type": "str", "required": True},
            "interface": {"type": "str", "default": ""},
        },
    },
    "endpoint": {"type": "dict", "options": endpoint.ENDPOINT_SPEC},
}
