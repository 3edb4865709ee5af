# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: etcd_findings
short_description: Why hosts can't be members of one cluster of etcd
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - From what each host saw of its own disk and of the members, before anything is changed.
positional: peers
options:
  _input:
    description: What each host saw, as hardway.kubernetes.survey and hardway.kubernetes.etcd_members tell it, by host.
    type: dict
    required: true
  peers:
    description: By host of the group, its address for other members.
    type: dict
    required: true
"""

EXAMPLES = r"""
findings: "{{ seen | hardway.kubernetes.etcd_findings({'cp1': 'https://192.168.60.11:2380'}) }}"
"""

RETURN = r"""
_value:
  description: Sentences by host, those about all under an empty name.
  type: dict
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.etcd_plan import plan


def etcd_findings(seen, peers):
    """Sentences by host."""
    return plan(seen, peers)[1]


class FilterModule:
    """The filter etcd_findings."""

    def filters(self):
        return {"etcd_findings": etcd_findings}
