# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: release_directories
short_description: The folders of all versions of release files
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - What has to go when a component is removed, older versions included.
options:
  _input:
    description: Entries as for hardway.kubernetes.release_files.
    type: list
    required: true
"""

EXAMPLES = r"""
directories: "{{ ['etcd' | hardway.kubernetes.release_file('3.6.14')] | hardway.kubernetes.release_directories }}"
"""

RETURN = r"""
_value:
  description: Entries for the directories of hardway.kubernetes.component.
  type: list
"""

import os


def release_directories(files):
    """A dict with path for each release's folder, the versions' parent, each once."""
    return [{"path": path} for path in dict.fromkeys(os.path.dirname(entry["directory"]) for entry in files)]


class FilterModule:
    """The filter release_directories."""

    def filters(self):
        return {"release_directories": release_directories}
