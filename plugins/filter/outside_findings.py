# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: outside_findings
short_description: Hosts of the cluster that a play over all of them does not have
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Names of groups that stand in the inventory's variables reach roles, but not the hosts of a play.
positional: play_hosts
options:
  _input:
    description: Names of the hosts that roles take for the cluster's.
    type: list
    elements: str
    required: true
  play_hosts:
    description: Names of the play's hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
findings: "{{ groups['etcd'] | hardway.kubernetes.outside_findings(ansible_play_hosts_all) }}"
"""

RETURN = r"""
_value:
  description: One sentence, or none where the play has them all.
  type: list
  elements: str
"""


def outside_findings(hosts, play_hosts):
    """A sentence that names the hosts, and what to do."""
    outside = sorted(set(hosts) - set(play_hosts))
    if not outside:
        return []
    return [
        "%s: in the cluster's groups, but in none of the playbook's plays. Plays read the names of groups (cluster_etcd_group "
        "and so on) before the inventory's variables are known: tell them with -e or with vars of import_playbook, and not in "
        "the inventory (docs/reuse.md)." % ", ".join(outside)
    ]


class FilterModule:
    """The filter outside_findings."""

    def filters(self):
        return {"outside_findings": outside_findings}
