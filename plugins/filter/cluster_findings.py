# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_findings
short_description: What is wrong with an inventory
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Puts what each host's variables lack beside what only shows across hosts, such as networks that overlap.
positional: groups, names, more
options:
  _input:
    description: Results of hardway.kubernetes.inventory_view by host.
    type: dict
    required: true
  groups:
    description: The inventory's groups.
    type: dict
    required: true
  names:
    description: Names of the groups by part.
    type: dict
    required: true
  hostvars:
    description: Ansible's hostvars. Of the groups' hosts that the run leaves out, such as with C(--limit), it is asked what
      belongs to them.
    type: dict
    required: true
  more:
    description: Sentences about the whole inventory that were found elsewhere.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
findings: "{{ views | hardway.kubernetes.cluster_findings(groups, {'etcd': 'etcd'}, hostvars) }}"
"""

RETURN = r"""
_value:
  description: Sentences by host, those about the whole inventory under an empty name.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.filter.addresses import addresses
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules


def left_out(seen, groups, names, hostvars):
    """What belongs to hosts of the cluster's groups that were not looked at, by host, as the inventory has it."""
    found = {}
    for host in {host for group in names.values() for host in groups.get(group) or []} - set(seen):
        variables = hostvars[host]
        found[host] = {
            "address": addresses([host], {host: variables})[0],
            "address_v6": variables.get("cluster_address_v6") or "",
            "node_name": variables.get("cluster_node_name") or host.lower(),
            "cni_pod_cidr": variables.get("cni__pod_cidr") or "",
        }
    return found


def cluster_findings(seen, groups, names, hostvars, more=()):
    """Sentences by host, each host's own first."""
    found = {host: list(told["findings"]) for host, told in seen.items()}
    found[""] = list(more)
    views = {host: told["view"] for host, told in seen.items()}
    others = left_out(seen, groups, names, hostvars)
    for host, sentences in rules.cluster_findings(views, groups, names, others).items():
        found.setdefault(host, []).extend(sentences)
    return {host: sentences for host, sentences in found.items() if sentences}


class FilterModule:
    """The filter cluster_findings."""

    def filters(self):
        return {"cluster_findings": cluster_findings}
