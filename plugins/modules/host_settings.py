#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_settings
short_description: Look at a host, and give it the kernel settings that Kubernetes needs
description:
  - V(inspected) changes nothing. It tells what makes the host unfit, and whether its settings differ from the wished ones.
  - V(present) loads kernel modules, sets sysctls and turns swap off, now and at boot.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows settings before and after.
    support: full
options:
  state:
    description: Whether to look, to set, to mask O(services), or to take the settings' files and masks away.
    type: str
    choices: [inspected, present, masked, absent]
    required: true
  modules:
    description: Kernel modules.
    type: list
    elements: str
    default: []
  sysctls:
    description: Kernel parameters.
    type: dict
    default: {}
  minimum_sysctls:
    description: Kernel parameters that are raised where they are lower and left alone where they are higher.
    type: dict
    default: {}
  swap:
    description: V(off) turns swap off and comments its lines in C(/etc/fstab); V(keep) leaves it.
    type: str
    choices: ["off", keep]
    default: "off"
  services:
    description: Units that V(masked) keeps from starting, before the package that brings them is installed.
    type: list
    elements: str
    default: []
  packages:
    description: Packages to look for. They are only looked for; see RV(missing_packages).
    type: list
    elements: str
    default: []
  minimum_memory_mb:
    description: Memory below which the host is unfit, in MiB.
    type: int
    default: 0
  minimum_disk_mb:
    description: Free space below C(/var/lib) below which the host is unfit, in MiB. Not asked of a host that runs already.
    type: int
    default: 0
  controller_time:
    description: The controller's clock in seconds since 1970.
    type: float
  maximum_clock_skew:
    description: Seconds by which the host's clock may differ from O(controller_time).
    type: int
    default: 10
  address:
    description: The address that the inventory gives this host; it must be one of its own.
    type: str
"""

EXAMPLES = r"""
- name: Look at the host
  hardway.kubernetes.host_settings:
    state: inspected
    modules: [overlay, br_netfilter]
    minimum_memory_mb: 1024
"""

RETURN = r"""
findings:
  description: What makes the host unfit, each a sentence with the mend.
  returned: always
  type: list
  elements: str
missing_packages:
  description: Packages that are not installed.
  returned: always
  type: list
  elements: str
package_manager:
  description: The host's package manager, V(apt), V(dnf) or empty.
  returned: always
  type: str
machine_id:
  description: The host's machine id.
  returned: always
  type: str
node_name:
  description: The host's own name.
  returned: always
  type: str
differs:
  description: Whether V(present) would change something.
  returned: with V(inspected)
  type: bool
"""

import os
import platform
import re
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, read_bytes

MODULES_FILE = "/etc/modules-load.d/hardway-kubernetes.conf"
SYSCTL_FILE = "/etc/sysctl.d/90-hardway-kubernetes.conf"
SWAP_MARK = "# swap is off for the kubelet (hardway.kubernetes): "


def read(path):
    """A small file's text without white space around it, or an empty string."""
    return (read_bytes(path) or b"").decode("utf-8", "replace").strip()


def kernel_has(name):
    """Whether a module is loaded or built into the running kernel."""
    if os.path.isdir("/sys/module/" + name.replace("-", "_")):
        return True
    built_in = read("/lib/modules/%s/modules.builtin" % platform.release())
    if re.search(r"/%s\.ko" % name.replace("_", "[-_]"), built_in):
        return True
    if re.search(r"\b%s$" % re.escape(name), read("/proc/filesystems"), re.MULTILINE):
        return True
    # A kernel without a list of what is built in still has the symbols.
    with open("/proc/kallsyms", "rb") as stream:
        return (" %s_" % name).encode() in stream.read()


class Host:
    """One host: how it is, and how it should be."""

    def __init__(self, module):
        self.module = module
        self.wish = module.params
        self.state = HostState(module)

    def sysctls(self):
        """The wished sysctls; of those that are minimums only the ones that the kernel has lower, or we set before."""
        wished = {key: str(value) for key, value in self.wish["sysctls"].items()}
        ours = dict(re.findall(r"^(\S+) = (.*)$", read(SYSCTL_FILE), re.MULTILINE))
        for key, least in self.wish["minimum_sysctls"].items():
            present = read("/proc/sys/" + key.replace(".", "/"))
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
        if self.wish["controller_time"]:
            skew = time.time() - self.wish["controller_time"]
            if abs(skew) > self.wish["maximum_clock_skew"]:
                found.append(
                    "has a clock that differs by %d s from the controller's; host__maximum_clock_skew allows %d. "
                    "Set its clock and see that its time service runs." % (skew, self.wish["maximum_clock_skew"])
                )
        for name in self.wish["modules"]:
            if not kernel_has(name) and self.module.run_command(["modprobe", "--dry-run", "--quiet", name])[0] != 0:
                found.append("has a kernel (%s) without %s. Install a kernel that has it." % (platform.release(), name))
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
        return found

    def addresses(self):
        """All addresses of this host."""
        dummy, out, dummy = self.module.run_command(["ip", "-oneline", "address", "show"], check_rc=True)
        return re.findall(r"inet6? ([0-9a-fA-F.:]+)", out)

    def package_manager(self):
        """apt, dnf or nothing known."""
        return next((name for name, tool in (("apt", "apt-get"), ("dnf", "dnf")) if shutil.which(tool)), "")

    def missing_packages(self):
        """Wished packages that are not installed."""
        if not self.wish["packages"]:
            return []
        if self.package_manager() == "apt":
            command = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]
            dummy, out, dummy = self.module.run_command(command + self.wish["packages"])
            there = {line.split()[1] for line in out.splitlines() if line.startswith("installed ")}
        else:
            command = ["rpm", "--query", "--queryformat", "%{NAME}\n"]
            dummy, out, dummy = self.module.run_command(command + self.wish["packages"])
            there = set(out.splitlines())  # "package x is not installed" is a line of its own
        return [name for name in self.wish["packages"] if name not in there]

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
            path = "/proc/sys/" + key.replace(".", "/")
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

    def mask(self):
        """A link to /dev/null is what systemctl mask makes, and a unit need not be there for it."""
        for name in self.wish["services"]:
            self.state.link("/etc/systemd/system/" + name, "/dev/null")

    def remove(self):
        """Take away files and masks; what is set in the running kernel stays until the next boot."""
        for name in self.wish["services"]:
            path = "/etc/systemd/system/" + name
            if os.path.islink(path) and os.readlink(path) == "/dev/null":
                self.state.absent(path)
        for path in (MODULES_FILE, SYSCTL_FILE):
            self.state.absent(path)
        before = (read_bytes("/etc/fstab") or b"").decode()
        if SWAP_MARK in before:
            self.state.file("/etc/fstab", before.replace(SWAP_MARK, ""))

    def differs(self):
        """Whether apply() would change something."""
        probe = Host(self.module)
        probe.state.check_mode, check_mode = True, self.module.check_mode
        self.module.check_mode = True
        try:
            probe.apply()
        finally:
            self.module.check_mode = check_mode
        return probe.state.changed


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["inspected", "present", "masked", "absent"], "required": True},
            "modules": {"type": "list", "elements": "str", "default": []},
            "sysctls": {"type": "dict", "default": {}},
            "minimum_sysctls": {"type": "dict", "default": {}},
            "swap": {"type": "str", "choices": ["off", "keep"], "default": "off"},
            "services": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "minimum_memory_mb": {"type": "int", "default": 0},
            "minimum_disk_mb": {"type": "int", "default": 0},
            "controller_time": {"type": "float"},
            "maximum_clock_skew": {"type": "int", "default": 10},
            "address": {"type": "str"},
        },
        supports_check_mode=True,
    )
    host = Host(module)
    result = {}
    if module.params["state"] == "inspected":
        result = {
            "findings": host.findings(),
            "missing_packages": host.missing_packages(),
            "package_manager": host.package_manager(),
            "machine_id": read("/etc/machine-id"),
            "node_name": platform.node(),
            "differs": host.differs(),
        }
    elif module.params["state"] == "present":
        host.apply()
    elif module.params["state"] == "masked":
        host.mask()
    else:
        host.remove()
    module.exit_json(**dict(host.state.result(), **result))


if __name__ == "__main__":
    main()
