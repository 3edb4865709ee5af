# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: host_findings
short_description: What makes hosts unfit, alone and beside one another
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Adds to each host's own findings what only shows when hosts are compared, such as two with one machine id.
options:
  _input:
    description: Results of hardway.kubernetes.host_settings with O(ignore:state=inspected), by host.
    type: dict
    required: true
"""

EXAMPLES = r"""
findings: "{{ {'cp1': {'findings': [], 'machine_id': 'a', 'node_name': 'cp1'}} | hardway.kubernetes.host_findings }}"
"""

RETURN = r"""
_value:
  description: Sentences by host; hosts with nothing to say are left out.
  type: dict
"""


def host_findings(seen):
    """Sentences by host name, from what each host told of itself."""
    found = {host: list(told.get("findings") or []) for host, told in seen.items()}
    for key, words in (("machine_id", "machine id"), ("node_name", "host name")):
        owners = {}
        for host, told in sorted(seen.items()):
            owners.setdefault(told.get(key), []).append(host)
        for value, hosts in owners.items():
            for host in hosts if value and len(hosts) > 1 else []:
                others = ", ".join(other for other in hosts if other != host)
                found[host].append("has the same %s as %s (%s). Give each host its own." % (words, others, value))
    return {host: sentences for host, sentences in found.items() if sentences}


class FilterModule:
    """The filter host_findings."""

    def filters(self):
        return {"host_findings": host_findings}
