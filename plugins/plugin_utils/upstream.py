# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where each upstream project keeps its release files and checksums. The one place that knows their paths.

release_checksums.json beside this file holds SHA-256 of official release files, by name, version and architecture.
"""

from __future__ import annotations

import json
import os

KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")

# {v} stands for the version, {arch} for the host's architecture (filled in on the host).
GITHUB = {
    "etcd": {
        "url": "https://github.com/etcd-io/etcd/releases/download/v{v}/etcd-v{v}-linux-{arch}.tar.gz",
        "checksum_url": "https://github.com/etcd-io/etcd/releases/download/v{v}/SHA256SUMS",
        "members": {"etcd-v{v}-linux-{arch}/" + name: name for name in ("etcd", "etcdctl", "etcdutl")},
    },
    "containerd": {
        "url": "https://github.com/containerd/containerd/releases/download/v{v}/containerd-{v}-linux-{arch}.tar.gz",
        "checksum_url": (
            "https://github.com/containerd/containerd/releases/download/v{v}/containerd-{v}-linux-{arch}.tar.gz.sha256sum"
        ),
        "members": {"bin/" + name: name for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
    },
    "runc": {
        "url": "https://github.com/opencontainers/runc/releases/download/v{v}/runc.{arch}",
        "checksum_url": "https://github.com/opencontainers/runc/releases/download/v{v}/runc.sha256sum",
        "file_name": "runc",
    },
    "cni-plugins": {
        "url": (
            "https://github.com/containernetworking/plugins/releases/download/v{v}/cni-plugins-linux-{arch}-v{v}.tgz"
        ),
        "checksum_url": (
            "https://github.com/containernetworking/plugins/releases/download/v{v}/cni-plugins-linux-{arch}-v{v}.tgz.sha256"
        ),
        "unpack_all": True,
    },
    # flannel publishes no checksums: a mirror of one's own can hold one beside the file, and release__pins can name it.
    "flannel": {
        "url": "https://github.com/flannel-io/flannel/releases/download/v{v}/flannel-v{v}-linux-{arch}.tar.gz",
        "checksum_url": (
            "https://github.com/flannel-io/flannel/releases/download/v{v}/flannel-v{v}-linux-{arch}.tar.gz.sha256"
        ),
        "members": {"flanneld": "flanneld"},
    },
}


def _pinned():
    with open(os.path.join(os.path.dirname(__file__), "release_checksums.json"), encoding="utf-8") as stream:
        return json.load(stream)


PINNED = _pinned()


def release_file(name, version, directory, pins):
    """An entry for the module release_files, as a dict.

    :arg name: release name; KeyError for one that is not known.
    :arg version: version without v.
    :arg directory: folder of the host below which releases lie.
    :arg pins: dict of "name/version" to {architecture: SHA-256}, which win over the ones known here.
    """
    if name in KUBERNETES:
        url = "https://dl.k8s.io/release/v{v}/bin/linux/{arch}/" + name
        known = {"url": url, "checksum_url": url + ".sha256"}
    else:
        known = GITHUB[name]
    checksums = dict(PINNED.get(name, {}).get(version, {}))
    checksums.update(pins.get("%s/%s" % (name, version), {}))
    entry = {
        "name": name,
        "version": version,
        "directory": "%s/%s/%s" % (directory, name, version),
        "checksums": checksums,
    }
    for key, value in known.items():
        if isinstance(value, dict):
            entry[key] = {member.replace("{v}", version): to for member, to in value.items()}
        else:
            entry[key] = value.replace("{v}", version) if isinstance(value, str) else value
    return entry
