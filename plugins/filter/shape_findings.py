# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: shape_findings
short_description: Why an inventory is not of a topology's shape
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - For the playbooks of topologies, which check that the inventory says what their user means before anything is done.
positional: groups, names, etcd_is_given
options:
  _input:
    description: The topology.
    type: str
    choices: [single, stacked, external_etcd, fully_manual]
    required: true
  groups:
    description: The inventory's groups.
    type: dict
    required: true
  names:
    description: Names of the groups by part.
    type: dict
    required: true
  etcd_is_given:
    description: Whether someone else runs etcd.
    type: bool
    default: false
"""

EXAMPLES = r"""
findings: "{{ 'stacked' | hardway.kubernetes.shape_findings(groups, {'etcd': 'etcd'}) }}"
"""

RETURN = r"""
_value:
  description: Sentences that say what to change.
  type: list
  elements: str
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import shapes


class FilterModule:
    """The filter shape_findings."""

    def filters(self):
        return {"shape_findings": shapes.shape_findings}
