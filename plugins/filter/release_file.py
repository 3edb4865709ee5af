# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: release_file
short_description: Where upstream keeps a release file, and where a host keeps it
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Knows the paths, archives and checksum files of each project that the roles install.
positional: version, directory, pins
options:
  _input:
    description: Name of the release, such as kube-apiserver, etcd or containerd.
    type: str
    required: true
  version:
    description: Its version, without v.
    type: str
    required: true
  directory:
    description: Below which folder hosts keep releases.
    type: str
    required: false
  pins:
    description: More checksums, C(name/version) to architecture to SHA-256.
    type: dict
    required: false
"""

EXAMPLES = r"""
file: "{{ 'etcd' | hardway.kubernetes.release_file('3.6.14') }}"
"""

RETURN = r"""
_value:
  description: An entry for the files of hardway.kubernetes.release_files.
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import upstream


def release_file(name, version, directory="/opt/hardway", pins=None):
    """An entry for the module release_files. Raises AnsibleFilterError for a release that is not known."""
    try:
        return upstream.release_file(name, str(version), directory, pins or {})
    except KeyError as error:
        raise AnsibleFilterError("release_file: no release is known by the name %s" % name) from error


class FilterModule:
    """The filter release_file."""

    def filters(self):
        return {"release_file": release_file}
