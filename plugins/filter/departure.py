# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: departure
short_description: How hosts leave the cluster, and why some can't
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From what was seen of the hosts, their nodes and etcd before anything is changed.
positional: nodes, etcd, peers, staying, serving
options:
  _input:
    description: By host that is to leave, its node's name and whether it answers, is named dead, and may lose bare pods.
    type: dict
    required: true
  nodes:
    description: What hardway.kubernetes.node_drain tells of the nodes.
    type: dict
    required: true
  etcd:
    description: What hardway.kubernetes.etcd_members saw, with health, on a host that stays; nothing where no member leaves.
    type: dict
    required: true
  peers:
    description: By host that leaves and may be a member of etcd, its address for other members.
    type: dict
    required: true
  staying:
    description: Such addresses of the members that stay.
    type: list
    elements: str
    default: []
  serving:
    description: Pairs of a host and a port of it that takes connections, of those in O(left) and of hosts that do not answer.
    type: list
    elements: list
    default: []
  balancers:
    description: Hosts that leave and balance for all.
    type: list
    elements: str
    default: []
  left:
    description: Pairs of a host that balances for all and stays, and its port.
    type: list
    elements: list
    default: []
"""

EXAMPLES = r"""
plan: "{{ hosts | hardway.kubernetes.departure(seen.nodes, none, {}) }}"
"""

RETURN = r"""
_value:
  description: The findings, sentences by host; and the nodes to drain and to force.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import removal


class FilterModule:
    """The filter departure."""

    def filters(self):
        return {"departure": removal.departure}
