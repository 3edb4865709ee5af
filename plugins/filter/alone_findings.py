# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: alone_findings
short_description: What one role lacks that a playbook of somebody's own uses
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - What site.yml checks for a whole cluster is checked here for one role.
positional: role, groups, names
options:
  _input:
    description: Results of hardway.kubernetes.inventory_view by host.
    type: dict
    required: true
  role:
    description: The role's name, without the collection's.
    type: str
    required: true
  groups:
    description: The inventory's groups.
    type: dict
    required: true
  names:
    description: Names of the groups by part.
    type: dict
    required: true
"""

EXAMPLES = r"""
findings: "{{ views | hardway.kubernetes.alone_findings('etcd', groups, {'etcd': 'etcd'}) }}"
"""

RETURN = r"""
_value:
  description: Sentences by host, those about all hosts under an empty name.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules


def alone_findings(seen, role, groups, names):
    """Sentences by host, each host's own first."""
    found = {host: list(told["findings"]) for host, told in seen.items()}
    views = {host: told["view"] for host, told in seen.items()}
    for host, sentences in rules.alone_findings(role, views, groups, names).items():
        found.setdefault(host, []).extend(sentences)
    return {host: sentences for host, sentences in found.items() if sentences}


class FilterModule:
    """The filter alone_findings."""

    def filters(self):
        return {"alone_findings": alone_findings}
