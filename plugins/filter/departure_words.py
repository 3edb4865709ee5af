# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: departure_words
short_description: What is left to do once hosts have left the cluster
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - For the person who took them out.
positional: groups, names
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  groups:
    description: The inventory's groups.
    type: dict
    required: true
  names:
    description: Names of the groups by part.
    type: dict
    required: true
"""

EXAMPLES = r"""
words: "{{ ['cp1'] | hardway.kubernetes.departure_words(groups, {'etcd': 'etcd'}) }}"
"""

RETURN = r"""
_value:
  description: Lines.
  type: list
  elements: str
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils import removal


class FilterModule:
    """The filter departure_words."""

    def filters(self):
        return {"departure_words": removal.departure_words}
