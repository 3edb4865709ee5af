# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings release files from upstream, a mirror or a folder: whole, with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import tarfile
import tempfile
import urllib.error

from ansible.module_utils.urls import open_url
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import make_parents
from ansible_collections.hardway.kubernetes.plugins.module_utils.release import MARKER, ReleaseFile

BLOCK = 128 << 10  # bytes; for larger ones malloc asks the kernel for fresh pages each time, which doubles the cost


class Refused(Exception):
    """A release file that can't be had or must not be used; the message says why."""


class Download(ReleaseFile):
    """One release file on its way to its versioned directory."""

    def open(self, url):
        """A stream of the file at url, wherever this host has to take it from."""
        path = self.mirror_path(url)
        if path in self.options["staged"]:
            return open(self.options["staged"][path], "rb")
        if self.options["mirror_url"]:
            url = self.options["mirror_url"].rstrip("/") + "/" + path
        try:
            if url.startswith("file://"):
                return open(url[len("file://") :], "rb")
            return open_url(url, timeout=self.options["timeout"])
        except urllib.error.HTTPError as error:
            raise Refused(
                "%s: %s answers HTTP %d. Check the version, and that the mirror holds this path."
                % (self.name, url, error.code)
            ) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refused(
                "%s: %s can't be fetched: %s. Set release__mirror_url or release__local_dir where upstream is out of reach."
                % (self.name, url, getattr(error, "reason", error))
            ) from error

    def expected(self):
        """The SHA-256 that the file must have."""
        if self.pinned and self.options["checksums"] == "pinned":
            return self.pinned
        if not self.checksum_url:
            raise Refused(
                "%s: no checksum is known. Upstream publishes none for it; pin one in release__pins: {%r: {%s: <sha256>}}."
                % (self.name, self.name.replace(" ", "/"), self.arch)
            )
        try:
            with self.open(self.checksum_url) as stream:
                text = stream.read(1 << 20).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise Refused("%s: the download of %s broke off: %s" % (self.name, self.checksum_url, error)) from error
        name = os.path.basename(self.url)
        for line in text.splitlines():
            found = re.match(r"^([0-9a-fA-F]{64})(?:\s+\*?(?:\./)?(\S+))?\s*$", line)
            if found and found.group(2) in (None, name):
                return found.group(1).lower()
        raise Refused("%s: %s holds no SHA-256 for %s" % (self.name, self.checksum_url, name))

    def fetch(self):
        """Download, verify, unpack and swap in; nothing appears in the directory unless all of it went well."""
        parent = os.path.dirname(self.directory)
        make_parents(self.directory)
        expected = self.expected()
        staging = tempfile.mkdtemp(dir=parent, prefix=".partial-")
        try:
            archive = os.path.join(staging, ".download")
            seen = self._download(archive)
            if seen != expected:
                raise Refused(
                    "%s: %s has the SHA-256 %s and not %s. It is half downloaded, corrupt or not what was asked for; it was "
                    "thrown away and nothing on this host was changed." % (self.name, self.url, seen, expected)
                )
            files = self._unpack(archive, staging)
            if os.path.exists(archive):
                os.unlink(archive)
            for name in files:
                os.chmod(os.path.join(staging, name), self.mode)
            with open(os.path.join(staging, MARKER), "w", encoding="utf-8") as stream:
                json.dump({"url": self.url, "sha256": expected, "files": files}, stream)
            os.chmod(staging, 0o755)
            if os.path.isdir(self.directory):
                os.rename(self.directory, os.path.join(staging, ".replaced"))
            os.rename(staging, self.directory)
            shutil.rmtree(os.path.join(self.directory, ".replaced"), ignore_errors=True)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _download(self, path):
        digest = hashlib.sha256()
        try:
            with self.open(self.url) as source, open(path, "wb") as target:
                while True:
                    block = source.read(BLOCK)
                    if not block:
                        break
                    digest.update(block)
                    target.write(block)
        except (OSError, http.client.HTTPException) as error:
            raise Refused("%s: the download of %s broke off: %s" % (self.name, self.url, error)) from error
        return digest.hexdigest()

    def _unpack(self, archive, staging):
        if not self.members and not self.unpack_all:
            os.rename(archive, os.path.join(staging, self.file_name))
            return [self.file_name]
        files = []
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    name = os.path.normpath(member.name)
                    to = self.members.get(name) or (os.path.basename(name) if self.unpack_all else None)
                    if not to or not member.isfile():
                        continue
                    with tar.extractfile(member) as source, open(os.path.join(staging, to), "wb") as target:
                        shutil.copyfileobj(source, target, BLOCK)
                    files.append(to)
                    if not self.unpack_all and len(files) == len(self.members):
                        break  # what else is in it need not be unpacked
        except (tarfile.TarError, OSError, EOFError) as error:
            raise Refused("%s: %s can't be unpacked: %s" % (self.name, self.url, error)) from error
        lacking = sorted(set(self.members.values()) - set(files))
        if lacking or not files:
            raise Refused("%s: %s lacks %s" % (self.name, self.url, ", ".join(lacking) or "any file"))
        return files


def clean_partial(directories):
    """Remove what a killed run left half downloaded."""
    for parent in {os.path.dirname(directory) for directory in directories}:
        for name in os.listdir(parent) if os.path.isdir(parent) else []:
            if name.startswith(".partial-"):
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
