# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kube-proxy wrote into the kernel of a host, and whether it is what the API's Services and EndpointSlices say.

A port of a Service is named "tcp 10.96.0.10:53", an endpoint "10.244.1.2:53"; IPv6 addresses stand in brackets.
Sources of facts: pkg/proxy of Kubernetes 1.36 and what nft, iptables-save and /proc/net/ip_vs print beside it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import time

from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import Api, ApiError, family_of

TABLE = "kube-proxy"  # of mode nftables, in the families ip and ip6
SERVICES = ":KUBE-SERVICES "  # of the modes iptables and ipvs, in table nat
SERVICE_CHAIN = ":KUBE-SVC-"  # of mode iptables alone
IPVS_LINK = "/sys/class/net/kube-ipvs0"
IPVS_TABLE = "/proc/net/ip_vs"
# Somebody else's proxy serves these.
PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_LABEL = "kubernetes.io/service-name"
LOOKS_EVERY = 1.0  # second
TOLD = 5  # sentences of one host


def at(address, port):
    """An address and a port as one text, the address in its shortest form."""
    address = ipaddress.ip_address(address)
    return ("[%s]:%s" if address.version == 6 else "%s:%s") % (address, port)


def key(protocol, address, port):
    """The name of a Service's port at one of its addresses."""
    return "%s %s" % (protocol.lower(), at(address, port))


# ---- what is in the kernel: port of a Service to the set of its endpoints ----


def of_nftables(listing):
    """From what `nft -j list table ip kube-proxy` printed."""
    services, chains = {}, {}
    for entry in json.loads(listing)["nftables"]:
        if entry.get("map", {}).get("name") == "service-ips":
            for element, verdict in entry["map"].get("elem") or []:
                address, protocol, port = _bare(element)["concat"]
                services[key(str(protocol), address, port)] = verdict["goto"]["target"]
        elif "rule" in entry:
            chains.setdefault(entry["rule"]["chain"], []).append(entry["rule"]["expr"])
    return {name: _targets(chains, chain, set()) for name, chain in services.items()}


def _bare(element):
    """An element of a set without its comment or timeout."""
    return element["elem"]["val"] if "elem" in element else element


def _targets(chains, chain, seen):
    """Endpoints that a chain leads to, by itself or through others."""
    found = set()
    if chain in seen:
        return found
    seen.add(chain)
    for statement in (statement for expression in chains.get(chain, []) for statement in expression):
        if "dnat" in statement:
            address = statement["dnat"].get("addr")
            if isinstance(address, dict):
                found.update(at(*_bare(target)["concat"]) for _number, target in address["map"]["data"]["set"])
            elif address:
                found.add(at(address, statement["dnat"]["port"]))
        verdicts = [statement] if "goto" in statement else []
        if "vmap" in statement and isinstance(statement["vmap"]["data"], dict):
            verdicts = [verdict for dummy, verdict in statement["vmap"]["data"]["set"]]
        for verdict in verdicts:
            if "goto" in verdict:
                found |= _targets(chains, verdict["goto"]["target"], seen)
    return found


def of_iptables(saved):
    """From what `iptables-save -t nat`, or ip6tables-save, printed."""
    services, chains, targets = {}, {}, {}
    for line in saved.splitlines():
        found = re.match(r"-A (\S+)(.*) -j (\S+)(.*)$", line)
        if not found:
            continue
        chain, match, target, rest = found.groups()
        if chain == "KUBE-SERVICES":
            to = re.search(r"-d ([0-9a-fA-F.:]+)/\d+ -p (\S+) .*--dport (\d+)", match)
            if to and target.startswith(("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-")):
                services[key(to.group(2), to.group(1), to.group(3))] = target
        elif target == "DNAT" and chain.startswith("KUBE-SEP-"):  # in other chains it is somebody else's
            address, dummy, port = re.search(r"--to-destination (\S+)", rest).group(1).rpartition(":")
            targets[chain] = at(address.strip("[]"), port)
        elif target.startswith(("KUBE-SEP-", "KUBE-SVC-", "KUBE-SVL-")):
            chains.setdefault(chain, []).append(target)

    def endpoints(chain, seen=()):
        own = {targets[chain]} if chain in targets else set()
        return own.union(*(endpoints(to, seen + (chain,)) for to in chains.get(chain, []) if to not in seen))

    return {name: endpoints(chain) for name, chain in services.items()}


def of_ipvs(table):
    """From /proc/net/ip_vs; a server that takes nothing new (weight 0) is on its way out and does not count."""
    found, servers = {}, None
    for line in table.splitlines()[3:]:
        words = line.split()
        if words[:1] == ["->"]:
            if servers is not None and words[3] != "0":
                servers.add(at(*_of_proc(words[1])))
        elif words and words[0] in ("TCP", "UDP", "SCTP"):
            servers = found.setdefault(key(words[0], *_of_proc(words[1])), set())
        else:
            servers = None  # by firewall mark, which kube-proxy does not use
    return found


def _of_proc(text):
    address, dummy, port = text.rpartition(":")
    if address.startswith("["):
        return address.strip("[]"), int(port, 16)
    return str(ipaddress.IPv4Address(int(address, 16))), int(port, 16)


# ---- what the API says ----


class Wish:
    """The endpoints of one port of a Service at one of its addresses.

    :ivar must: endpoints that rules must have.
    :ivar may: endpoints that rules may have; nothing else.
    :ivar some: whether one of these is enough, because the node takes those nearest to it.
    """

    def __init__(self):
        self.must, self.may, self.some = set(), set(), False


def wished(services, slices, node):
    """What the rules on a node must hold.

    :arg services: items of a list of Services.
    :arg slices: items of a list of EndpointSlices.
    :arg node: the node's name.
    :returns: dict of a Service's port to (Wish, the Service's name).
    """
    by_service = {}
    for entry in slices:
        labels = entry["metadata"].get("labels") or {}
        if SERVICE_LABEL in labels and HEADLESS_LABEL not in labels:
            name = (entry["metadata"].get("namespace"), labels[SERVICE_LABEL])
            by_service.setdefault(name, []).append(entry)
    found = {}
    for service in services:
        spec, metadata = service["spec"], service["metadata"]
        if spec.get("type") == "ExternalName" or PROXY_LABEL in (metadata.get("labels") or {}):
            continue
        name = (metadata.get("namespace"), metadata["name"])
        local = node if spec.get("internalTrafficPolicy") == "Local" else None
        for address in spec.get("clusterIPs") or [spec.get("clusterIP")]:
            if not address or address == "None":
                continue
            mine = [entry for entry in by_service.get(name, []) if entry["addressType"] == family_of(address)]
            for port in spec.get("ports") or []:
                wish = _endpoints(mine, port, local)
                found[key(port.get("protocol", "TCP"), address, port["port"])] = (wish, "%s/%s" % name)
    return found


def _endpoints(slices, port, local):
    """The Wish of one port, as kube-proxy chooses: ready ones, and where there are none those that end and still serve."""
    wish = Wish()
    for entry in slices:
        numbers = [
            candidate.get("port")
            for candidate in entry.get("ports") or []
            if (candidate.get("name") or "") == (port.get("name") or "")
            and candidate.get("protocol", "TCP") == port.get("protocol", "TCP")
        ]
        for endpoint in entry.get("endpoints") or []:
            if local and endpoint.get("nodeName") != local:
                continue
            conditions = endpoint.get("conditions") or {}
            ready = conditions.get("ready") is not False
            ending = conditions.get("serving") is not False and conditions.get("terminating") is True
            for number in numbers:
                if number is None:
                    continue
                text = at(endpoint["addresses"][0], number)
                if ready:
                    wish.must.add(text)
                if ready or ending:
                    wish.may.add(text)
            wish.some = wish.some or bool(endpoint.get("hints"))
    return wish


def differences(wishes, rules, networks):
    """Sentences about rules that are not what the API says.

    :arg wishes: as wished() gives them.
    :arg rules: dict of a Service's port to the set of its endpoints.
    :arg networks: networks of Services; ports at other addresses (of load balancers, of nodes) are not looked at.
    """
    found = set()
    for name, (wish, service) in wishes.items():
        there = rules.get(name, set())
        missing = wish.must - there
        if wish.some and there & wish.must:
            missing = set()
        for endpoint in missing:
            found.add("of Service %s (%s) the ready endpoint %s is not in the rules" % (service, name, endpoint))
        for endpoint in there - wish.may:
            found.add("of Service %s (%s) the rules have the endpoint %s, which is gone" % (service, name, endpoint))
    networks = [ipaddress.ip_network(network) for network in networks]
    for name in set(rules) - set(wishes):
        address = ipaddress.ip_address(name.split(" ")[1].rpartition(":")[0].strip("[]"))
        if rules[name] and any(address in network for network in networks):
            found.add("the rules have %s, which is no Service" % name)
    return found


# ---- one host ----


class Rules:
    """The rules of Services on this host.

    :arg module: the AnsibleModule, whose run_command is used.
    :arg wish: dict of mode, networks, node, server, ca, cert, key (paths) and within (seconds).
    """

    def __init__(self, module, wish):
        self.module, self.wish = module, wish
        self.families = sorted({ipaddress.ip_network(network).version for network in wish["networks"]})

    def run(self, command):
        """A command's output; None where it failed or is not there."""
        if not shutil.which(command[0]):
            return None
        code, out, dummy = self.module.run_command(command)
        return out if code == 0 else None

    def saved(self, version):
        """The table nat as iptables has it."""
        return self.run([{4: "iptables-save", 6: "ip6tables-save"}[version], "-t", "nat"])

    def read(self):
        """The rules of the mode, and sentences where there are none."""
        found, missing = {}, []
        if self.wish["mode"] == "ipvs":
            try:
                with open(IPVS_TABLE, encoding="utf-8") as stream:
                    found = of_ipvs(stream.read())
            except OSError:
                missing.append("the kernel's table of virtual servers (%s)" % IPVS_TABLE)
        for version in self.families:
            if self.wish["mode"] == "nftables":
                family = {4: "ip", 6: "ip6"}[version]
                listing = self.run(["nft", "-j", "list", "table", family, TABLE])
                if listing is None:
                    missing.append("the nftables table %s %s" % (family, TABLE))
                else:
                    found.update(of_nftables(listing))
                continue
            saved = self.saved(version)
            if saved is None or SERVICES not in saved:
                missing.append("the chain KUBE-SERVICES of %s, table nat" % {4: "iptables", 6: "ip6tables"}[version])
            elif self.wish["mode"] == "iptables":
                found.update(of_iptables(saved))
        return found, [
            "%s, in which kube-proxy's mode %s keeps its rules, is not there, so Services do not work here. Look at: journalctl "
            "-u kube-proxy; then: systemctl restart kube-proxy." % (what, self.wish["mode"])
            for what in missing
        ]

    def leftovers(self):
        """Sentences about rules that another mode has left."""
        mode, found = self.wish["mode"], []
        if mode != "nftables":
            tables = (self.run(["nft", "list", "tables"]) or "").splitlines()
            for family in ("ip", "ip6"):
                found += (
                    ["table %s %s (nftables)" % (family, TABLE)] if "table %s %s" % (family, TABLE) in tables else []
                )
        if mode != "iptables":
            sign = SERVICES if mode == "nftables" else SERVICE_CHAIN
            for version in self.families:
                words = "chains %s* (%s)" % (sign.strip(": "), {4: "iptables", 6: "ip6tables"}[version])
                found += [words] if sign in (self.saved(version) or "") else []
        if mode != "ipvs" and os.path.exists(IPVS_LINK):
            found.append("interface kube-ipvs0 and its virtual servers (ipvs)")
        return [
            "rules of another mode of kube-proxy than %s are left: %s. Take them away: systemctl stop kube-proxy; kube-proxy "
            "--cleanup; systemctl start kube-proxy." % (mode, what)
            for what in found
        ]

    def api(self):
        """The API as this host's kube-proxy asks it."""
        texts = {}
        for name in ("ca", "cert", "key"):
            with open(self.wish[name], encoding="utf-8") as stream:
                texts[name] = stream.read()
        return Api([self.wish["server"]], texts["ca"], texts["cert"], texts["key"])

    def compare(self):
        """Sentences, and what was seen: how many ports of Services and endpoints.

        Rules follow the API with a delay, and the two are read one after the other: only what every look finds in the time
        that is given counts. Where they agree there is one look.
        """
        persists, told = None, {}
        end = time.monotonic() + self.wish["within"]
        while True:
            rules, missing = self.read()
            told = {"services": len(rules), "endpoints": sum(len(endpoints) for endpoints in rules.values())}
            if missing:
                return missing, told
            try:
                # From the server's memory, as a proxy that starts would have it.
                api = self.api()
                services = api.request("GET", "/api/v1/services?resourceVersion=0")["items"]
                slices = api.request("GET", "/apis/discovery.k8s.io/v1/endpointslices?resourceVersion=0")["items"]
            except (ApiError, OSError, ValueError) as error:
                return ["the rules of Services can't be compared with the API: %s" % error], told
            now = differences(wished(services, slices, self.wish["node"]), rules, self.wish["networks"])
            persists = now if persists is None else persists & now
            if not persists or time.monotonic() > end:
                break
            time.sleep(LOOKS_EVERY)
        sentences = sorted(persists)
        more = ["and %d more of the kind" % (len(sentences) - TOLD)] if len(sentences) > TOLD else []
        return [
            "%s, and that for %d s. Look at: journalctl -u kube-proxy; then: systemctl restart kube-proxy."
            % ("; ".join(sentences[:TOLD] + more), self.wish["within"])
        ] if sentences else [], told


RULES_SPEC = {
    "mode": {"type": "str", "choices": ["nftables", "iptables", "ipvs"], "required": True},
    "networks": {"type": "list", "elements": "str", "required": True},
    "node": {"type": "str", "required": True},
    "server": {"type": "str", "required": True},
    "ca": {"type": "path", "required": True},
    "cert": {"type": "path", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "within": {"type": "int", "default": 20},
}
