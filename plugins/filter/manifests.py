# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: manifests
short_description: The objects in files of Kubernetes manifests
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Reads YAML files of the controller, each with one document or more. Empty documents are left out, and of a list its items
    are taken.
options:
  _input:
    description: Paths.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
objects: "{{ ['files/calico.yaml'] | hardway.kubernetes.manifests }}"
"""

RETURN = r"""
_value:
  description: The objects, in the order of the files.
  type: list
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import manifests as reading


def manifests(paths):
    """The objects of several files. Raises AnsibleFilterError where a file holds something else."""
    found = []
    for path in paths:
        objects, wrong = reading.read(path)
        if wrong:
            raise AnsibleFilterError("manifests: " + " ".join(wrong))
        found += objects
    return found


class FilterModule:
    """The filter manifests."""

    def filters(self):
        return {"manifests": manifests}
