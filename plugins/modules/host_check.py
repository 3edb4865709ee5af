#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: See whether this host does its part in the cluster
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Looks at units, health, certificates, disk and clock, and changes nothing. What is wrong comes back as sentences, so that
    one report can hold the findings of all hosts.
attributes:
  check_mode:
    description: It changes nothing, in check mode or not.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  units:
    description: systemd units that must run, without C(.service).
    type: list
    elements: str
    default: []
  probes:
    description: What must answer, each with a name and the probe's fields.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What is probed, in words.
        type: str
        required: true
      url:
        description: Asked with GET; 200 is healthy.
        type: str
      tcp:
        description: host:port that must accept a connection.
        type: str
      socket:
        description: Unix socket that must accept a connection.
        type: path
      ca:
        description: CA certificate that the server's must chain to.
        type: path
      cert:
        description: Client certificate.
        type: path
      key:
        description: The client certificate's key.
        type: path
      expect:
        description: Text that the answer must hold.
        type: str
      behind:
        description: URLs of what answers through the url. While none of them is healthy by itself, the url need only take connections.
        type: list
        elements: str
        default: []
      within:
        description: Not used here; O(answers_within) counts.
        type: int
        default: 60
  answers_within:
    description: Seconds within which each probe must be healthy, and etcd tell its state.
    type: int
    default: 5
  unwanted_units:
    description: Units that this host is not to have, written by this collection's roles, each with the group of hosts that have it.
      One of etcd that runs is no finding - its other members tell whether it is one, and it may serve something else.
    type: dict
    default: {}
  certificates:
    description: Paths of certificates, without C(.crt).
    type: list
    elements: path
    default: []
  given_certificates:
    description: The same for certificates that the inventory gives, each with the name of its variable.
    type: dict
    default: {}
  minimum_days:
    description: Days of life below which a certificate is a finding.
    type: int
    default: 14
  minimum_free_percent:
    description: Free space of a file system, in percent, below which it is a finding.
    type: int
    default: 10
  paths:
    description: Paths whose file systems are looked at.
    type: list
    elements: path
    default: [/, /var/lib]
  virtual_address:
    description: An address that one of several hosts holds; it is told whether this one does.
    type: str
    default: ""
  etcd:
    description: Ask this host's etcd member for the members and their leader.
    type: dict
    suboptions:
      endpoint:
        description: The member's address for clients.
        type: str
        required: true
      ca:
        description: The etcd authority's certificate.
        type: path
        required: true
      cert:
        description: Client certificate.
        type: path
        required: true
      key:
        description: Its key.
        type: path
        required: true
      members:
        description: How many members the inventory names.
        type: int
        required: true
  endpoint:
    description: Addresses that stand for all API servers, asked over new connections from this host.
    type: dict
    suboptions:
      addresses:
        description: The addresses, host:port.
        type: list
        elements: str
        required: true
      servers:
        description: The API servers by name, C(https://host:port). Their certificates say which of them answers.
        type: dict
        required: true
      ca:
        description: CA certificate of the API.
        type: path
        required: true
      asks:
        description: How many connections are opened, all at the same time.
        type: int
        default: 10
  service_rules:
    description: Compare what kube-proxy wrote into the kernel with the Services and EndpointSlices of the API, as kube-proxy's own
      certificate may read them.
    type: dict
    suboptions:
      mode:
        description: kube-proxy's mode.
        type: str
        choices: [nftables, iptables, ipvs]
        required: true
      networks:
        description: The networks of Services, one of each family.
        type: list
        elements: str
        required: true
      node:
        description: The node's name.
        type: str
        required: true
      server:
        description: Where kube-proxy asks for the API, C(https://host:port).
        type: str
        required: true
      ca:
        description: CA certificate of the API.
        type: path
        required: true
      cert:
        description: kube-proxy's client certificate.
        type: path
        required: true
      key:
        description: Its key.
        type: path
        required: true
      within:
        description: Seconds within which rules and API must agree once. Where they agree at once there is one look.
        type: int
        default: 20
  maximum_clock_skew:
    description: Seconds by which the host's clock may differ from the controller's. Without it the clock is not judged.
    type: int
"""

EXAMPLES = r"""
- name: Look at the host
  hardway.kubernetes.host_check:
    units: [kubelet]
    certificates: [/etc/kubernetes/kubelet/pki/serving]
"""

RETURN = r"""
findings:
  description: What is wrong, each a sentence with cause and mend.
  returned: always
  type: list
  elements: str
certificate_days:
  description: Days of life left of the certificate that ends first; null where there is none.
  returned: always
  type: int
etcd_leader:
  description: Id of the leader that this host's member knows.
  returned: with O(etcd)
  type: str
holds_virtual_address:
  description: Whether an interface of this host has the address.
  returned: with O(virtual_address)
  type: bool
endpoint_answers:
  description: By address, which API server answered how many connections.
  returned: with O(endpoint)
  type: dict
service_rules:
  description: With which mode, and how many ports of Services and endpoints its rules hold.
  returned: with O(service_rules)
  type: dict
"""

import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils import balancer, endpoint
from ansible_collections.hardway.kubernetes.plugins.module_utils import probe as probing
from ansible_collections.hardway.kubernetes.plugins.module_utils.etcd import Etcd, EtcdError
from ansible_collections.hardway.kubernetes.plugins.module_utils.service_rules import RULES_SPEC, Rules
from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import units, written
from ansible_collections.hardway.kubernetes.plugins.module_utils.x509 import not_after

DAY = 86400


def file_systems(paths):
    """Of the paths that are there, the first on each file system."""
    found = {}
    for path in paths:
        if os.path.isdir(path):
            found.setdefault(os.stat(path).st_dev, path)
    return list(found.values())


class Check:
    """One look at one host."""

    def __init__(self, module):
        self.module = module
        self.wish = module.params
        self.findings = []

    def units(self):
        for unit in units(self.module, self.wish["units"]):
            if not unit.running or unit.failed:
                self.findings.append(
                    "%s is %s. Its last log lines: %s. Look at: journalctl -u %s; then run site.yml."
                    % (unit.name, unit.state, " | ".join(unit.last_lines(3)) or "none", unit.service)
                )

    def unwanted_units(self):
        wished = self.wish["unwanted_units"]
        for unit in units(self.module, sorted(name for name in wished if written(name))):
            if unit.service != "etcd" or unit.properties.get("ActiveState") != "active":
                self.findings.append(
                    "has the unit %s, and is not in the group %s: what a host ran stays when it leaves one group only. Put it back "
                    "into the group, or take that part away: docs/nodes.md." % (unit.service, wished[unit.service])
                )

    def probes(self):
        seconds = self.wish["answers_within"]
        for wished in self.wish["probes"]:
            wrong = probing.wait(dict(wished, within=seconds), timeout=seconds)
            if wrong:
                self.findings.append("%s does not answer at %s: %s" % (wished["name"], probing.describe(wished), wrong))

    def certificates(self):
        """Findings for certificates that end soon; returns the days of the one that ends first."""
        least = None
        given = self.wish["given_certificates"]
        for path in self.wish["certificates"] + list(given):
            try:
                end = not_after(_text(path + ".crt"))
            except (OSError, ValueError):
                mend = "written" if path in given else "issued"
                self.findings.append("%s.crt is missing or unreadable. Run site.yml to have it %s." % (path, mend))
                continue
            days = int((end - time.time()) // DAY)
            least = days if least is None else min(least, days)
            if days < self.wish["minimum_days"]:
                mend = "Run site.yml with the tag certificates to have it renewed, then without tags."
                if path in given:
                    mend = "Put a newer one and its key into the inventory (%s), then run site.yml." % given[path]
                ends = "ends in %d days" % days if days >= 0 else "has expired %d days ago" % -days
                self.findings.append("%s.crt %s. %s" % (path, ends, mend))
        return least

    def disk(self):
        for path in file_systems(self.wish["paths"]):
            usage = shutil.disk_usage(path)
            percent = 100 * usage.free // usage.total
            if percent < self.wish["minimum_free_percent"]:
                self.findings.append(
                    "the file system of %s has %d%% free (%d MiB). Make room: journalctl --vacuum-size=500M, old versions below "
                    "/opt/hardway, or a larger disk." % (path, percent, usage.free >> 20)
                )
            status = os.statvfs(path)
            if status.f_files and 100 * status.f_favail // status.f_files < 3:
                self.findings.append("the file system of %s has hardly any inodes left. Remove small files." % path)

    def endpoint(self):
        """Findings about connections that led to no ready API server; returns who answered the others."""
        wish, told = self.wish["endpoint"], {}
        for address in wish["addresses"]:
            try:
                told[address], wrong = endpoint.answers(address, wish["ca"], wish["asks"], wish["servers"])
            except FileNotFoundError:
                wrong = {"%s is missing; run site.yml" % wish["ca"]: wish["asks"]}
            for sentence, count in sorted(wrong.items()):
                self.findings.append(
                    "%d of %d connections to %s led to no ready API server (%s). The balancer must hand connections only to "
                    "servers that answer HTTPS GET /readyz with 200: docs/load-balancers.md."
                    % (count, wish["asks"], address, sentence)
                )
        return told

    def service_rules(self):
        """Findings about the rules of Services; returns how many there are."""
        rules = Rules(self.module, self.wish["service_rules"])
        found, told = rules.compare()
        self.findings += found + rules.leftovers()
        return dict(told, mode=self.wish["service_rules"]["mode"])

    def etcd(self):
        """Findings about members and leader; returns the leader's id."""
        wish = self.wish["etcd"]
        try:
            texts = [_text(wish[name]) for name in ("ca", "cert", "key")]
            etcd = Etcd([wish["endpoint"]], *texts, timeout=self.wish["answers_within"])
            status, members = etcd.status(), etcd.members()["members"]
        except (EtcdError, OSError) as error:
            self.findings.append(
                "etcd does not tell its state: %s. Look at: journalctl -u etcd; then run site.yml." % error
            )
            return None
        if len(members) != wish["members"]:
            mend = "Run site.yml, which makes the missing ones members or says why not."
            if len(members) > wish["members"]:
                mend = (
                    "Put the hosts of the others back into its group, or take their members out (docs/operations.md)."
                )
            names = ", ".join(member["name"] or "unnamed" for member in members)
            self.findings.append(
                "etcd has %d members (%s) and the inventory names %d. %s" % (len(members), names, wish["members"], mend)
            )
        for member in members:
            if member["learner"]:
                self.findings.append(
                    "etcd's member %s does not vote yet: a run that added it did not finish. Run site.yml."
                    % (member["name"] or "unnamed")
                )
        for error in status["errors"]:
            self.findings.append("etcd reports: %s" % error)
        if not status["leader"]:
            self.findings.append("etcd has no leader.")
        return status["leader"]


def _text(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def main():
    options = dict(probing.PROBE_SPEC, name={"type": "str", "required": True})
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "default": []},
            "unwanted_units": {"type": "dict", "default": {}},
            "probes": {"type": "list", "elements": "dict", "default": [], "options": options},
            "answers_within": {"type": "int", "default": 5},
            "certificates": {"type": "list", "elements": "path", "default": []},
            "given_certificates": {"type": "dict", "default": {}},
            "minimum_days": {"type": "int", "default": 14},
            "minimum_free_percent": {"type": "int", "default": 10},
            "paths": {"type": "list", "elements": "path", "default": ["/", "/var/lib"]},
            "virtual_address": {"type": "str", "default": ""},
            "etcd": {
                "type": "dict",
                "options": {
                    "endpoint": {"type": "str", "required": True},
                    "ca": {"type": "path", "required": True},
                    "cert": {"type": "path", "required": True},
                    "key": {"type": "path", "required": True, "no_log": False},
                    "members": {"type": "int", "required": True},
                },
            },
            "endpoint": {
                "type": "dict",
                "options": {
                    "addresses": {"type": "list", "elements": "str", "required": True},
                    "servers": {"type": "dict", "required": True},
                    "ca": {"type": "path", "required": True},
                    "asks": {"type": "int", "default": 10},
                },
            },
            "service_rules": {"type": "dict", "options": RULES_SPEC},
            "maximum_clock_skew": {"type": "int"},
        },
        supports_check_mode=True,
    )
    check = Check(module)
    check.units()
    check.unwanted_units()
    check.probes()
    days = check.certificates()
    check.disk()
    result = {"certificate_days": days, "clock": time.time()}
    if module.params["etcd"]:
        result["etcd_leader"] = check.etcd()
    if module.params["virtual_address"]:
        result["holds_virtual_address"] = balancer.has(module, module.params["virtual_address"])
    if module.params["endpoint"]:
        result["endpoint_answers"] = check.endpoint()
    if module.params["service_rules"]:
        result["service_rules"] = check.service_rules()
    module.exit_json(changed=False, findings=check.findings, **result)


if __name__ == "__main__":
    main()
