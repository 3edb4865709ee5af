# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: leaving_hosts
short_description: What is known of hosts that are to leave the cluster
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From the inventory, from what was asked for, and from whether they answered.
positional: hostvars, nodes, dead, bare_pods, managers
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's hostvars, with what ping said of each in C(__cluster__answer).
    type: dict
    required: true
  nodes:
    description: Hosts that are nodes.
    type: list
    elements: str
    required: true
  dead:
    description: Hosts that are off for good, a text with commas or a list.
    type: raw
    required: true
  bare_pods:
    description: Hosts whose pods without a controller may go, a text with commas or a list.
    type: raw
    required: true
  managers:
    description: By C(kube-controller-manager) and C(kube-scheduler), the hosts of their groups. What those that stay answered is in
      C(__cluster__managers_seen). Without it nobody is taken for the last one.
    type: dict
    required: false
"""

EXAMPLES = r"""
hosts: "{{ ['worker2'] | hardway.kubernetes.leaving_hosts(hostvars, groups['kube_node'], 'worker2', '') }}"
"""

RETURN = r"""
_value:
  description: By host, its node's name, whether it answers, what it was named, and how its node is looked at.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import removal


class FilterModule:
    """The filter leaving_hosts."""

    def filters(self):
        return {"leaving_hosts": removal.leaving_hosts}
