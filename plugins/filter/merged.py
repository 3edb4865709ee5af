# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: merged
short_description: One dict out of several, deep
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - A later dict's values take the place of an earlier one's; dicts in them are merged in the same way, lists are replaced.
  - Does what the combine filter does with O(ansible.builtin.combine#filter:recursive=true), without looking at values that
    it does not merge, which matters for what is worked out anew at every look.
options:
  _input:
    description: The dicts.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
config: "{{ [{'a': {'b': 1, 'c': 2}}, {'a': {'b': 3}}] | hardway.kubernetes.merged }}"  # {'a': {'b': 3, 'c': 2}}
"""

RETURN = r"""
_value:
  description: The merged dict.
  type: dict
"""


def merged(layers):
    """The dicts of a list, merged."""
    whole = {}
    for layer in layers:
        for key, value in layer.items():
            both = hasattr(value, "items") and hasattr(whole.get(key), "items")
            whole[key] = merged([whole[key], value]) if both else value
    return whole


class FilterModule:
    """The filter merged."""

    def filters(self):
        return {"merged": merged}
