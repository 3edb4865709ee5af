# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: addresses
short_description: The addresses of hosts
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From the inventory alone, so that a host that is down has one too.
positional: hostvars
options:
  _input:
    description: Names of hosts.
    type: list
    required: true
  hostvars:
    description: Ansible's hostvars.
    type: dict
    required: true
"""

EXAMPLES = r"""
members: "{{ groups['etcd'] | hardway.kubernetes.addresses(hostvars) }}"
"""

RETURN = r"""
_value:
  description: An address for each host, in the same order.
  type: list
"""


def addresses(hosts, hostvars):
    """cluster_address of each host, else ansible_host, else its name."""
    found = []
    for host in hosts:
        variables = hostvars[host]
        found.append(variables.get("cluster_address") or variables.get("ansible_host") or host)
    return found


class FilterModule:
    """The filter addresses."""

    def filters(self):
        return {"addresses": addresses}
