# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: not_let_go
short_description: Hosts that leave the cluster and may not be touched yet
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - A play goes on without hosts that failed and is passed over where it has none, so what it was to do may not have been done.
    Each step of remove_node.yml writes down for each host that leaves how far it is let go, in C(__cluster__stage).
positional: hostvars, stages
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's hostvars.
    type: dict
    required: true
  stages:
    description: The stages that allow the next step.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
findings: "{{ ['worker2'] | hardway.kubernetes.not_let_go(hostvars, ['drained']) }}"
"""

RETURN = r"""
_value:
  description: Sentences by host.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import removal


class FilterModule:
    """The filter not_let_go."""

    def filters(self):
        return {"not_let_go": removal.not_let_go}
