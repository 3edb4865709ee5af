# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: plugin_releases
short_description: Release files and links of CNI plugins that the inventory names
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - A plugin of someone else's network comes to a host like any other release file, and is linked into C(/opt/cni/bin).
positional: directory
options:
  _input:
    description: Releases as in cni__releases.
    type: list
    required: true
  directory:
    description: Below which folder hosts keep releases.
    type: str
    default: /opt/hardway
"""

EXAMPLES = r"""
files: "{{ ([release] | hardway.kubernetes.plugin_releases).files }}"
vars:
  release:
    name: calico
    version: 3.30.3
    url: https://mirror.example.com/calico-cni-v3.30.3-{arch}
    checksum: 0f4c...
"""

RETURN = r"""
_value:
  description: Under files entries for hardway.kubernetes.release_files, under links those for hardway.kubernetes.component.
  type: dict
"""


def plugin_releases(releases, directory="/opt/hardway"):
    """A dict with files for the module release_files and links for the module component."""
    files, links = [], {}
    for release in releases:
        folder = "%s/cni/%s/%s" % (directory, release["name"], release["version"])
        checksum, members = release.get("checksum"), dict(release.get("members") or {})
        files.append(
            {
                "name": release["name"],
                "version": str(release["version"]),
                "url": release["url"],
                "checksum_url": release.get("checksum_url") or release["url"] + ".sha256",
                "checksums": {"amd64": checksum, "arm64": checksum} if checksum else {},
                "directory": folder,
                "members": members,
                "file_name": release["name"],
            }
        )
        for plugin in members.values() or [release["name"]]:
            links["/opt/cni/bin/" + plugin] = "%s/%s" % (folder, plugin)
    return {"files": files, "links": links}


class FilterModule:
    """The filter plugin_releases."""

    def filters(self):
        return {"plugin_releases": plugin_releases}
