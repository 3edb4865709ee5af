# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: running_findings
short_description: What a running cluster can't become
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Sets what hosts run beside what the inventory wishes of them, before anything is changed.
positional: hostvars, nodes, members, role
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's hostvars, with C(__cluster__view) and C(__cluster__survey) of each host.
    type: dict
    required: true
  nodes:
    description: Names of the hosts that are nodes.
    type: list
    elements: str
    required: true
  members:
    description: Names of the hosts of the group etcd.
    type: list
    elements: str
    required: true
  role:
    description: A role that is used alone, whose own work alone is judged. What hosts run is in C(__cluster__running) then, and hosts
      without it are passed over.
    type: str
"""

EXAMPLES = r"""
findings: "{{ ansible_play_hosts | hardway.kubernetes.running_findings(hostvars, groups['kube_node'], groups['etcd']) }}"
"""

RETURN = r"""
_value:
  description: Sentences by host; hosts with nothing to say are left out.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.filter.addresses import addresses
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules


def running_findings(hosts, hostvars, nodes, members, role=""):
    """Sentences by host."""
    at = dict(zip(members, addresses(members, hostvars), strict=True))
    if role:  # which a play may give to some of its hosts only
        hosts = [host for host in hosts if "settled" in hostvars[host].get("__cluster__running", {})]
    views = {host: hostvars[host]["__cluster__view"]["view"] for host in hosts}
    seen = {host: hostvars[host]["__cluster__running" if role else "__cluster__survey"] for host in hosts}
    if role:
        return rules.running_alone_findings(role, views, seen, at)
    return rules.running_findings(views, seen, nodes, at)


class FilterModule:
    """The filter running_findings."""

    def filters(self):
        return {"running_findings": running_findings}
