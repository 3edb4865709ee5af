# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Release files in their versioned directories: which are there, and which are not."""

from __future__ import annotations

import json
import os
import platform

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MARKER = ".release.json"


class ReleaseFile:
    """One release file of a version, and the directory that holds what is used of it."""

    def __init__(self, wish, options, arch):
        self.options = options
        self.arch = arch
        self.name = "%s %s" % (wish["name"], wish["version"])
        self.url = wish["url"].replace("{arch}", arch)
        self.checksum_url = (wish["checksum_url"] or "").replace("{arch}", arch)
        self.pinned = str(wish["checksums"].get(arch) or "").replace("sha256:", "").lower()
        self.members = {member.replace("{arch}", arch): to for member, to in wish["members"].items()}
        self.unpack_all = wish["unpack_all"]
        self.file_name = wish["file_name"] or os.path.basename(self.url)
        self.directory = wish["directory"]
        self.mode = int(wish["mode"], 8)

    def present(self):
        """Whether the whole directory is there, made from a file with the checksum that is pinned now."""
        try:
            with open(os.path.join(self.directory, MARKER), encoding="utf-8") as stream:
                marker = json.load(stream)
        except (OSError, ValueError):
            return False
        if self.options["checksums"] == "pinned" and self.pinned and marker.get("sha256") != self.pinned:
            return False
        return all(os.path.exists(os.path.join(self.directory, name)) for name in marker.get("files", []))

    def mirror_path(self, url):
        """The path below a mirror, upstream's host name first."""
        return url.split("://", 1)[-1]


def lacking_files(module, wish, kind=ReleaseFile):
    """The release files of a wish that are not there yet, as objects of this kind."""
    arch = ARCHITECTURES.get(platform.machine())
    if not arch:
        module.fail_json(msg="no release files are known for the architecture %s" % platform.machine())
    files = [kind(wished, wish, arch) for wished in wish["files"]]
    return [release for release in files if not release.present()]


RELEASE_SPEC = {
    "files": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "checksums": {"type": "dict", "default": {}},
            "checksum_url": {"type": "str"},
            "members": {"type": "dict", "default": {}},
            "unpack_all": {"type": "bool", "default": False},
            "file_name": {"type": "str"},
            "mode": {"type": "str", "default": "0755"},
        },
    },
    "mirror_url": {"type": "str", "default": ""},
    "local_dir": {"type": "path"},
    "checksums": {"type": "str", "choices": ["pinned", "published"], "default": "pinned"},
    "timeout": {"type": "int", "default": 30},
    "staged": {"type": "dict", "default": {}},
}
