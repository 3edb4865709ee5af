# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: unturned
short_description: Which hosts may still ask for the API where they asked before
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From what the survey saw of each host and what this run has done there since.
  - A host counts when a component that asks through a balancer differed and this run left it out, when such a component runs
    there and is not the host's any more, and when this run knows nothing of the host.
positional: hostvars, alive, asking
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's hostvars, with C(__cluster__survey), and C(__cluster__ran) where components were run.
    type: dict
    required: true
  alive:
    description: Hosts that are in this run and have not failed.
    type: list
    elements: str
    required: true
  asking:
    description: Roles whose components ask through a balancer, each with the names of its units.
    type: dict
    required: true
"""

EXAMPLES = r"""
hosts: "{{ ['worker1'] | hardway.kubernetes.unturned(hostvars, ansible_play_hosts, {'kubelet': ['kubelet']}) }}"
"""

RETURN = r"""
_value:
  description: Names of hosts, in the order in which they were given.
  type: list
  elements: str
"""


def unturned(hosts, hostvars, alive, asking):
    """Those of the hosts that may still ask where they asked before."""
    units = {unit for names in asking.values() for unit in names}
    found = []
    for host in hosts:
        survey = hostvars[host].get("__cluster__survey") if host in alive else None
        if not survey:
            found.append(host)
            continue
        done = (hostvars[host].get("__cluster__ran") or {}).get("done") or []
        left = (set(survey["todo"]) & set(asking)) - set(done)
        if left or units & set(survey["unwanted"]):
            found.append(host)
    return found


class FilterModule:
    """The filter unturned."""

    def filters(self):
        return {"unturned": unturned}
