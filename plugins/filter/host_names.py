# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: host_names
short_description: Names of hosts from what was given with -e
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - A text with commas or spaces, or a list; each name once. Anything else names nobody.
options:
  _input:
    description: The text or list.
    type: raw
    required: true
"""

EXAMPLES = r"""
leaving: "{{ 'worker2,cp1' | hardway.kubernetes.host_names }}"
"""

RETURN = r"""
_value:
  description: Names.
  type: list
  elements: str
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import removal


class FilterModule:
    """The filter host_names."""

    def filters(self):
        return {"host_names": removal.host_names}
