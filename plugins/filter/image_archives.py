# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: image_archives
short_description: Release files from a list of image archives
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - An archive comes to a host like any other release file, and is loaded into containerd from there.
positional: directory
options:
  _input:
    description: Archives as in containerd__image_archives.
    type: list
    required: true
  directory:
    description: Below which folder hosts keep releases.
    type: str
    default: /opt/hardway
"""

EXAMPLES = r"""
files: "{{ ([archive] | hardway.kubernetes.image_archives).files }}"
vars:
  archive:
    name: pause
    version: 3.10.1
    url: https://mirror.example.com/pause-3.10.1.tar
    images: [registry.k8s.io/pause:3.10.1]
"""

RETURN = r"""
_value:
  description: Under files entries for hardway.kubernetes.release_files, under archives those for
    hardway.kubernetes.image_archives.
  type: dict
"""


def image_archives(archives, directory="/opt/hardway"):
    """A dict with files for the module release_files and archives for the module image_archives."""
    files, loads = [], []
    for archive in archives:
        folder = "%s/images/%s/%s" % (directory, archive["name"], archive["version"])
        checksum = archive.get("checksum")
        files.append(
            {
                "name": archive["name"],
                "version": str(archive["version"]),
                "url": archive["url"],
                "checksum_url": archive.get("checksum_url", archive["url"] + ".sha256"),
                "checksums": {"amd64": checksum, "arm64": checksum} if checksum else {},
                "directory": folder,
                "file_name": "image.tar",
                "mode": "0644",
            }
        )
        loads.append({"path": folder + "/image.tar", "images": archive["images"]})
    return {"files": files, "archives": loads}


class FilterModule:
    """The filter image_archives."""

    def filters(self):
        return {"image_archives": image_archives}
