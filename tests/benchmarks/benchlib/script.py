"""The plain script that brings a host to where an install left it: packages, release files, files, services."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

FOLDER = "/root/floor"  # on the host; goes with the script's end
ARCHIVES = (".tar.gz", ".tgz")
LATER = "kubelet"  # without containerd's images it would try to pull them, and wait ten seconds after that

# What the controller runs on the host: brings script and tar in one stream, so that nothing else reads the script's input.
RECEIVE = f"umask 077; rm -rf {FOLDER}; mkdir {FOLDER} && tar -xf - -C {FOLDER} && exec sh {FOLDER}/run"

HEAD = f"""\
# Made by tests/benchmarks/floor. Says when each part is done; the clock is the machine's, for all hosts.
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
mark() {{ echo "FLOOR $1 $(date +%s.%N)"; }}
quietly() {{ "$@" >{FOLDER}/log 2>&1 </dev/null || {{ tail -n 40 {FOLDER}/log; echo "FAILED: $*"; exit 1; }}; }}
mark begin
"""


def _lines(*commands: str) -> str:
    return "".join(command + "\n" for command in commands)


def _words(values: Iterable[str]) -> str:
    return " ".join(shlex.quote(value) for value in values)


def _is_archive(release: Mapping[str, Any]) -> bool:
    return str(release["url"]).endswith(ARCHIVES)


def _target(release: Mapping[str, Any]) -> str:
    """Where a download goes."""
    files = release["files"]
    if _is_archive(release):
        return f"{release['directory']}/.download"
    if len(files) != 1:
        raise ValueError(f"{release['url']} is no archive, and {len(files)} files came of it")
    return f"{release['directory']}/{files[0]['name']}"


def _packages(names: Iterable[str], masks: Iterable[str]) -> str:
    wanted = sorted(names)
    masked = [f"ln -s /dev/null /etc/systemd/system/{shlex.quote(name)}" for name in sorted(masks)]
    if not wanted:
        return _lines(*masked)
    keep = "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
    return _lines(
        *masked,
        "quietly apt-get --quiet update",
        f"quietly apt-get --quiet {keep} --yes --no-install-recommends install {_words(wanted)}",
    )


def _release_files(releases: Iterable[Mapping[str, Any]], mirror: str) -> str:
    releases = list(releases)
    if not releases:
        return ""
    urls = " ".join(
        f"-o {shlex.quote(_target(release))} {shlex.quote(mirror + '/' + release['url'].split('://', 1)[-1])}"
        for release in releases
    )
    lines = [
        f"mkdir -p {_words(release['directory'] for release in releases)}",
        # One process and one connection for all of them.
        f"quietly curl --silent --show-error --fail --fail-early {urls}",
        "sha256sum --quiet --check <<'SUMS'",
        *(f"{release['sha256']}  {_target(release)}" for release in releases),
        "SUMS",
    ]
    for release in releases:
        directory, names = release["directory"], [file["name"] for file in release["files"]]
        if _is_archive(release):
            lines.append(
                f"tar -xzf {shlex.quote(_target(release))} -C {shlex.quote(directory)} --no-same-owner --no-anchored"
                f" --transform='s,.*/,,' {_words(names)}"
            )
            lines.append(f"rm {shlex.quote(_target(release))}")
        for mode in sorted({file["mode"] for file in release["files"]}):
            of_mode = [f"{directory}/{file['name']}" for file in release["files"] if file["mode"] == mode]
            lines.append(f"chmod {mode} {_words(of_mode)}")
    return _lines(*lines)


def install(seen: Mapping[str, Any], before: Mapping[str, Any], mirror: str) -> str:
    """The script for one host.

    :arg seen: what on_host.py saw after the install.
    :arg before: what it saw on the bare host.
    :arg mirror: address of the mirror.
    """
    packages = set(seen["packages"]) - set(before["packages"])
    masks = set(seen["masks"]) - set(before["masks"])
    units = list(seen["units"])
    if not units:
        raise ValueError("the install left no service on this host: there is nothing to start")
    images = [
        _target(release) for release in seen["releases"] if release["directory"].startswith("/opt/hardway/images/")
    ]
    useradd = "useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --user-group"
    first = [unit for unit in units if unit != LATER]
    parts = [
        HEAD,
        _packages(packages, masks),
        _lines("mark packages"),
        _release_files(seen["releases"], mirror),
        _lines(*(f"{useradd} {shlex.quote(user)}" for user in seen["users"])),
        _lines(
            f"tar -xpf {FOLDER}/state.tar -C /",
            # What the kernel has built in can't be loaded, and the install has found that all of it is there.
            "modprobe --all --quiet $(cat /etc/modules-load.d/hardway-kubernetes.conf 2>/dev/null) || true",
            "if [ -e /etc/sysctl.d/99-zz-hardway-kubernetes.conf ]; then",
            "  sysctl --quiet --load=/etc/sysctl.d/99-zz-hardway-kubernetes.conf",
            "fi",
            "mark files",
            "systemctl daemon-reload",
            f"systemctl --quiet enable {_words(units)}",
            f"systemctl start --no-block {_words(first)}",
        ),
    ]
    if "containerd" in units:
        parts.append(_lines("systemctl start containerd"))
        parts += [
            _lines(f"quietly /usr/local/bin/ctr --namespace k8s.io images import --no-unpack {shlex.quote(image)}")
            for image in images
        ]
    if LATER in units:
        parts.append(_lines(f"systemctl start --no-block {LATER}"))
    parts.append(_lines("mark services", f"rm -rf {FOLDER}"))
    return "".join(parts)


def settle_times(seen: Mapping[str, Any]) -> str:
    """A script, not measured, that gives release files the times they had: by these a run knows what a process was
    started with, and so the run that checks the result has nothing to restart."""
    return "set -eu\n" + _lines(
        *(
            f"touch --date=@{file['time']} {shlex.quote(release['directory'] + '/' + file['name'])}"
            for release in seen["releases"]
            for file in release["files"]
        )
    )


def marks(output: str) -> dict[str, float]:
    """When each part was done, from what the script printed."""
    found = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "FLOOR":
            found[words[1]] = float(words[2])
    return found
