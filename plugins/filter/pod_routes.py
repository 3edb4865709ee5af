# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_routes
short_description: Routes to the pods of nodes in one layer-2 network
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From the inventory alone, so that a node that is down has its routes too. A node without cni__pod_cidr has none.
positional: hostvars
options:
  _input:
    description: Names of the nodes' hosts.
    type: list
    required: true
  hostvars:
    description: Ansible's hostvars.
    type: dict
    required: true
"""

EXAMPLES = r"""
routes: "{{ groups['kube_node'] | hardway.kubernetes.pod_routes(hostvars) }}"  # 10.244.1.0/24 192.168.60.21
"""

RETURN = r"""
_value:
  description: For each network of pods a line with the network and the node's address of the same family, in the kernel's form.
  type: list
"""

import ipaddress

from ansible.errors import AnsibleFilterError
from ansible_collections.hardway.kubernetes.plugins.filter.addresses import addresses


def pod_routes(hosts, hostvars):
    """A line 'network gateway' for each network of each host. Raises AnsibleFilterError for what is no network or address."""
    found = []
    for host, address in zip(hosts, addresses(hosts, hostvars), strict=True):
        for part in str(hostvars[host].get("cni__pod_cidr") or "").split(","):
            if not part.strip():
                continue
            try:
                network = ipaddress.ip_network(part.strip())
                text = address if network.version == 4 else hostvars[host].get("cluster_address_v6")
                found.append("%s %s" % (network, ipaddress.ip_address(str(text))))
            except ValueError as error:
                raise AnsibleFilterError("pod_routes: %s: %s" % (host, error)) from error
    return found


class FilterModule:
    """The filter pod_routes."""

    def filters(self):
        return {"pod_routes": pod_routes}
