# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: wished_nodes
short_description: Labels and taints that the inventory gives nodes
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From the inventory alone. A control-plane host that says nothing of taints is tainted, so that no workload lands on it.
positional: hostvars, control_plane
options:
  _input:
    description: Names of hosts.
    type: list
    required: true
  hostvars:
    description: Ansible's hostvars.
    type: dict
    required: true
  control_plane:
    description: Hosts that run an API server.
    type: list
    required: true
"""

EXAMPLES = r"""
nodes: "{{ groups['kube_node'] | hardway.kubernetes.wished_nodes(hostvars, groups['kube_apiserver']) }}"
"""

RETURN = r"""
_value:
  description: Entries for the nodes of hardway.kubernetes.cluster_nodes.
  type: list
"""

ROLE = "node-role.kubernetes.io/control-plane"


def wished_nodes(hosts, hostvars, control_plane):
    """A dict with name, labels and taints for each host."""
    found = []
    for host in hosts:
        variables = hostvars[host]
        labels = dict(variables.get("kubelet__labels") or {})
        taints = [{"key": ROLE, "effect": "NoSchedule"}] if host in control_plane else []
        if host in control_plane:
            labels.setdefault(ROLE, "")
        if variables.get("kubelet__taints") is not None:
            taints = list(variables["kubelet__taints"])
        found.append({"name": variables.get("cluster_node_name") or host.lower(), "labels": labels, "taints": taints})
    return found


class FilterModule:
    """The filter wished_nodes."""

    def filters(self):
        return {"wished_nodes": wished_nodes}
