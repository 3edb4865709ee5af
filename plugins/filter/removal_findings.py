# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: removal_findings
short_description: Why hosts can't be taken out of the cluster, as far as the inventory shows
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Names that are none of the cluster's, the last host of a part, data that is to go without the cluster's name being told.
positional: groups, names, cluster_name
options:
  _input:
    description: What was asked for - hosts, data, dead, bare_pods, confirm, limit, authorities and outside.
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
  cluster_name:
    description: The cluster's name.
    type: str
    required: true
"""

EXAMPLES = r"""
findings: "{{ wish | hardway.kubernetes.removal_findings(groups, {'etcd': 'etcd'}, 'example') }}"
"""

RETURN = r"""
_value:
  description: Sentences by host, those about all under an empty name.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import removal


class FilterModule:
    """The filter removal_findings."""

    def filters(self):
        return {"removal_findings": removal.wrong_request}
