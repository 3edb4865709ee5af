#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_leftovers
short_description: Take away what pods leave in the kernel of a host that is no node any more
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Ends the containers' shims with all that runs below them, and removes mounts, network namespaces and interfaces that only
    pods used. Firewall rules of others are never touched; only the named nftables tables go.
  - Refuses while the kubelet runs.
attributes:
  check_mode:
    description: Says what would go.
    support: full
  diff_mode:
    description: Names what goes.
    support: full
options:
  containers:
    description: End containerd's shims and everything in their pods.
    type: bool
    default: false
  mounts_below:
    description: Folders below which everything is unmounted.
    type: list
    elements: path
    default: []
  interfaces:
    description: Network interfaces to remove.
    type: list
    elements: str
    default: []
  iptables_chains:
    description: Beginnings of the names of iptables chains to remove, with the rules that lead to them and no others.
    type: list
    elements: str
    default: []
  nftables:
    description: nftables tables to remove, each as family and name.
    type: list
    elements: str
    default: []
  routes_within:
    description: Networks of pods; routes of this host to parts of them are removed, but for those of an interface that is there.
    type: list
    elements: str
    default: []
  links_in:
    description: Folders from which symbolic links to O(links_below) are removed, whoever made them.
    type: list
    elements: path
    default: []
  links_below:
    description: The folder of release files.
    type: path
    default: /opt/hardway
"""

EXAMPLES = r"""
- name: Clear what pods left
  hardway.kubernetes.node_leftovers:
    containers: true
    mounts_below: [/var/lib/kubelet]
    interfaces: [cni0]
"""

RETURN = r"""
removed:
  description: What went.
  returned: always
  type: list
  elements: str
"""

import ipaddress
import json
import os
import shlex
import shutil
import signal
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import mounts_below
from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import Unit

SHIM = "containerd-shim-runc-v2"
ENDS_WITHIN = 20.0  # seconds


def processes():
    """Process id to (parent's id, name, arguments) of every live process of this host."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry, encoding="utf-8", errors="replace") as stream:
                state, parent = stream.read().rsplit(")", 1)[1].split()[:2]
            with open("/proc/%s/cmdline" % entry, encoding="utf-8", errors="replace") as stream:
                arguments = stream.read().split("\0")
        except OSError:
            continue
        if state != "Z":
            found[int(entry)] = (int(parent), os.path.basename(arguments[0]), arguments)
    return found


def pod_processes():
    """Ids of the kubelet's shims and of everything below them."""
    table = processes()
    ours = {pid for pid, (dummy, name, arguments) in table.items() if name == SHIM and "k8s.io" in arguments}
    grown = True
    while grown:
        more = {pid for pid, (parent, dummy, dummy2) in table.items() if parent in ours} - ours
        ours |= more
        grown = bool(more)
    return ours


def chain_removal(saved, prefixes):
    """Arguments of iptables that remove our chains, from what iptables-save printed.

    :arg prefixes: tuple of beginnings of chains' names.
    :returns: list of lists of arguments: jumps into our chains, then flushes, then the chains.
    """
    if not prefixes:
        return []
    jumps, flushes, chains, table = [], [], [], "filter"
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and line[1:].startswith(prefixes):
            name = line[1:].split()[0]
            flushes.append(["-t", table, "-F", name])
            chains.append(["-t", table, "-X", name])
        elif line.startswith("-A ") and not line[3:].startswith(prefixes):
            words = shlex.split(line)
            target = words[words.index("-j") + 1] if "-j" in words else ""
            if target.startswith(prefixes):
                jumps.append(["-t", table, "-D"] + words[1:])
    return jumps + flushes + chains


def routes_within(listing, network):
    """Destinations of routes to parts of a network, with their kind, from what `ip -json route show` printed."""
    found = []
    for entry in json.loads(listing or "[]"):
        try:
            destination = ipaddress.ip_network(entry["dst"])
        except ValueError:  # default
            continue
        if destination.version == network.version and destination.subnet_of(network):
            kind = [entry["type"]] if entry.get("type", "unicast") != "unicast" else []
            if kind or "gateway" in entry:  # others go with their interface
                found.append(kind + [entry["dst"]])
    return found


class Leftovers:
    """Finds and takes away."""

    def __init__(self, module):
        self.module = module
        self.removed = []

    def went(self, what):
        self.removed.append(what)
        return not self.module.check_mode

    def containers(self):
        # In check mode nobody has stopped it.
        if Unit(self.module, "kubelet").running and not self.module.check_mode:
            self.module.fail_json(msg="the kubelet still runs and would start the pods again; remove it first")
        pids = pod_processes()
        if not pids or not self.went("%d processes of pods" % len(pids)):
            return
        end = time.monotonic() + ENDS_WITHIN
        while pids:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > end:
                self.module.fail_json(msg="these processes of pods do not end: %s" % sorted(pids), removed=self.removed)
            time.sleep(0.1)
            pids = pod_processes()

    def mounts(self, folder):
        below = mounts_below(folder)
        if below and self.went("%d mounts below %s" % (len(below), folder)):
            for point in below:
                self.module.run_command(["umount", "--lazy", point], check_rc=True)

    def namespaces(self):
        for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
            if name.startswith("cni-") and self.went("network namespace " + name):
                self.module.run_command(["ip", "netns", "delete", name], check_rc=True)

    def interface(self, name):
        if os.path.exists("/sys/class/net/" + name) and self.went("interface " + name):
            self.module.run_command(["ip", "link", "delete", name], check_rc=True)

    def routes(self, text):
        """Routes to pods that led through an interface of the host's own go with no interface of theirs."""
        network = ipaddress.ip_network(text)
        ip = ["ip", "-%d" % network.version]
        dummy, out, dummy = self.module.run_command(ip + ["-json", "route", "show"], check_rc=True)
        for destination in routes_within(out, network):
            if self.went("route to " + " ".join(destination)):
                self.module.run_command(ip + ["route", "delete"] + destination, check_rc=True)

    def links(self, folder, below):
        """Links to release files, of a choice of plugins that the inventory may not name any more."""
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            leads = os.path.islink(path) and os.readlink(path).startswith(below.rstrip("/") + "/")
            if leads and self.went("link " + path):
                os.unlink(path)

    def chains(self, prefixes):
        """Rules that jump to our chains first, then the chains; every other rule stays as it is."""
        for tool in ("iptables", "ip6tables"):
            if not shutil.which(tool + "-save"):
                continue
            dummy, out, dummy = self.module.run_command([tool + "-save"], check_rc=True)
            for command in chain_removal(out, tuple(prefixes)):
                if self.went(" ".join([tool] + command)):
                    self.module.run_command([tool, "--wait"] + command, check_rc=True)

    def table(self, table):
        if not shutil.which("nft"):
            return
        dummy, out, dummy = self.module.run_command(["nft", "list", "tables"], check_rc=True)
        if "table " + table in out.splitlines() and self.went("nftables table " + table):
            self.module.run_command(["nft", "delete", "table"] + table.split(), check_rc=True)


def main():
    module = AnsibleModule(
        argument_spec={
            "containers": {"type": "bool", "default": False},
            "mounts_below": {"type": "list", "elements": "path", "default": []},
            "interfaces": {"type": "list", "elements": "str", "default": []},
            "iptables_chains": {"type": "list", "elements": "str", "default": []},
            "nftables": {"type": "list", "elements": "str", "default": []},
            "routes_within": {"type": "list", "elements": "str", "default": []},
            "links_in": {"type": "list", "elements": "path", "default": []},
            "links_below": {"type": "path", "default": "/opt/hardway"},
        },
        supports_check_mode=True,
    )
    leftovers = Leftovers(module)
    if module.params["containers"]:
        leftovers.containers()
    for folder in module.params["mounts_below"]:
        leftovers.mounts(folder)
    if module.params["containers"]:
        leftovers.namespaces()
    for name in module.params["interfaces"]:
        leftovers.interface(name)
    for network in module.params["routes_within"]:
        leftovers.routes(network)
    for folder in module.params["links_in"]:
        leftovers.links(folder, module.params["links_below"])
    leftovers.chains(module.params["iptables_chains"])
    for table in module.params["nftables"]:
        leftovers.table(table)
    diff = [
        {"before_header": what, "after_header": what, "before": "present\n", "after": "absent\n"}
        for what in leftovers.removed
    ]
    module.exit_json(changed=bool(leftovers.removed), removed=leftovers.removed, diff=diff)


if __name__ == "__main__":
    main()
