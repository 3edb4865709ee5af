"""What an install left on a lab host. Sent over SSH to the host's own Python: `look` prints JSON, `pack` a tar.

Standard library only, and nothing of the project: it looks at the disk alone.
"""

from __future__ import annotations

import glob
import grp
import json
import os
import pwd
import re
import subprocess
import sys
import tarfile

UNITS = "/etc/systemd/system"
RELEASES = "/opt/hardway"
INPUTS = "/var/lib/hardway"
TREES = ("/etc/kubernetes", "/etc/etcd", "/etc/containerd", "/etc/cni")
FILES = ("/etc/sysctl.d/99-zz-hardway-kubernetes.conf", "/etc/modules-load.d/hardway-kubernetes.conf")
LINKS = ("/usr/local/bin", "/opt/cni/bin")
# Of these only that they are there, whose and with which mode; each after the one that it lies in.
EMPTY = (
    INPUTS,
    "/opt/cni",
    "/opt/cni/bin",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/kubernetes",
    "/var/log/kubernetes/kube-apiserver",
)
# flanneld writes it once it knows its subnet; an old one would let a node be Ready with another one's subnet.
WRITTEN_BY_FLANNELD = "/etc/cni/net.d/10-pods.conflist"


def packages():
    """Names of the packages that are installed."""
    command = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return sorted(line.split()[1] for line in out.splitlines() if line.startswith("installed "))


def masks():
    """Units that were linked to nothing."""
    paths = (os.path.join(UNITS, name) for name in os.listdir(UNITS))
    return sorted(os.path.basename(path) for path in paths if os.path.islink(path) and os.readlink(path) == "/dev/null")


def units():
    """Services that were installed by us: each has a note of what it was started with."""
    return sorted(os.path.basename(path)[: -len(".inputs")] for path in glob.glob(INPUTS + "/*.inputs"))


def unit_file(name):
    """Where a service's unit is."""
    return "%s/%s.service" % (UNITS, name)


def users():
    """Users that our services run as."""
    found = set()
    for name in units():
        with open(unit_file(name), encoding="utf-8") as stream:
            found.update(re.findall(r"^User=(\S+)$", stream.read(), re.MULTILINE))
    return sorted(found - {"root"})


def releases():
    """The release files: where each came from, its checksum, and what was unpacked of it."""
    found = []
    for marker in sorted(glob.glob(RELEASES + "/**/.release.json", recursive=True)):
        with open(marker, encoding="utf-8") as stream:
            told = json.load(stream)
        directory = os.path.dirname(marker)
        files = []
        for name in told["files"]:
            status = os.stat(os.path.join(directory, name))
            time = "%d.%09d" % divmod(status.st_mtime_ns, 10**9)
            files.append({"name": name, "mode": "%04o" % (status.st_mode & 0o7777), "time": time})
        found.append({"directory": directory, "url": told["url"], "sha256": told["sha256"], "files": files})
    return found


def paths():
    """All that the tar holds, folders before what is in them."""
    found = [path for path in EMPTY if os.path.isdir(path)]
    for tree in TREES:
        for folder, folders, files in os.walk(tree):
            folders.sort()
            found.append(folder)
            found += [os.path.join(folder, name) for name in sorted(files)]
    found += [path for path in FILES if os.path.exists(path)]
    found += [unit_file(name) for name in units()]
    found += ["%s/%s.inputs" % (INPUTS, name) for name in units()]
    found += [release["directory"] + "/.release.json" for release in releases()]
    for folder in LINKS:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            if os.path.islink(path) and os.readlink(path).startswith(RELEASES + "/"):
                found.append(path)
    if "flanneld" in units():
        found = [path for path in found if path != WRITTEN_BY_FLANNELD]
    return found


def pack(stream):
    """The tar; owners by name, since numbers of users may differ on the next host."""
    known = {"root"} | set(users())
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for path in paths():
            status = os.lstat(path)
            names = {pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name}
            if not names <= known:
                sys.exit("%s belongs to %s, whom no service of ours runs as" % (path, ", ".join(sorted(names - known))))
            tar.add(path, recursive=False)


def main():
    """look or pack."""
    if sys.argv[1] == "pack":
        pack(sys.stdout.buffer)
    else:
        seen = {"packages": packages(), "masks": masks(), "units": units(), "users": users(), "releases": releases()}
        json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
