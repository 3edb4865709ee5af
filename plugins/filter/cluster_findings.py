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
  more:
    description: Sentences about the whole inventory that were found elsewhere.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
findings: "{{ views | hardway.kubernetes.cluster_findings(groups, {'etcd': 'etcd'}) }}"
"""

RETURN = r"""
_value:
  description: Sentences by host, those about the whole inventory under an empty name.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules


def cluster_findings(seen, groups, names, more=()):
    """Sentences by host, each host's own first."""
    found = {host: list(told["findings"]) for host, told in seen.items()}
    found[""] = list(more)
    views = {host: told["view"] for host, told in seen.items()}
    for host, sentences in rules.cluster_findings(views, groups, names).items():
        found.setdefault(host, []).extend(sentences)
    return {host: sentences for host, sentences in found.items() if sentences}


class FilterModule:
    """The filter cluster_findings."""

    def filters(self):
        return {"cluster_findings": cluster_findings}
