# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: plugin_lists
short_description: Lists of CNI plugins that the inventory gives, as files
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - containerd reads C(/etc/cni/net.d) again whenever something changes there, so nothing needs a restart for them.
options:
  _input:
    description: File name to content, a text or a dict, as in cni__conf.
    type: dict
    required: true
"""

EXAMPLES = r"""
files: "{{ {'10-mine.conflist': {'cniVersion': '1.0.0', 'name': 'mine', 'plugins': []}} | hardway.kubernetes.plugin_lists }}"
"""

RETURN = r"""
_value:
  description: Entries for the files of hardway.kubernetes.component.
  type: list
"""

import json


def plugin_lists(lists):
    """Entries for the module component, in the order of their names."""
    return [
        {
            "path": "/etc/cni/net.d/" + name,
            "content": content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True) + "\n",
            "mode": "0600",
            "restart": False,
        }
        for name, content in sorted(lists.items())
    ]


class FilterModule:
    """The filter plugin_lists."""

    def filters(self):
        return {"plugin_lists": plugin_lists}
