"""Control groups of the lab's hosts: who is in them, and how a host gets its own.

Version 1 (also mixed with 2): each host has a group .../hwlab/LAB/HOST in every hierarchy, below the group of whoever
started it, so that limits set on that one still hold. Version 2: a delegated scope when systemd runs this machine, else
a group of the same name.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hwlab import proc

TOP = "hwlab"
ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy."""

    path: Path
    version: int
    controllers: frozenset[str]


def parse_mounts(mounts: str) -> list[Hierarchy]:
    """The hierarchies in the text of /proc/mounts."""
    found: dict[Path, Hierarchy] = {}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[2] not in ("cgroup", "cgroup2"):
            continue
        path = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        options = [option.removeprefix("name=") for option in fields[3].split(",")]
        ignored = {"rw", "ro", "relatime", "nosuid", "nodev", "noexec", "xattr", "nsdelegate", "clone_children"}
        names = frozenset(o for o in options if o not in ignored and "=" not in o)
        found[path] = Hierarchy(path, 2 if fields[2] == "cgroup2" else 1, names)
    return list(found.values())


def parse_membership(text: str) -> dict[frozenset[str], str]:
    """Group by controllers in the text of /proc/PID/cgroup; the empty set stands for version 2."""
    groups: dict[frozenset[str], str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        names = frozenset(name.removeprefix("name=") for name in controllers.split(",") if name)
        groups[names] = path
    return groups


def own_group(hierarchy: Hierarchy, membership: dict[frozenset[str], str]) -> Path:
    """The group that a process is in, as a directory."""
    for names, path in membership.items():
        matches = not names if hierarchy.version == 2 else bool(names & hierarchy.controllers)
        if matches:
            # A process started inside a lab's own group must not nest the next lab in it.
            outer = path.split(f"/{TOP}/")[0]
            return hierarchy.path / outer.lstrip("/")
    return hierarchy.path


def host_group(hierarchy: Hierarchy, membership: dict[frozenset[str], str], lab: str, host: str) -> Path:
    """Where a host's group lies in a hierarchy."""
    return own_group(hierarchy, membership) / TOP / lab / host


def hierarchies() -> list[Hierarchy]:
    """What this machine has mounted."""
    return parse_mounts(Path("/proc/mounts").read_text())


def unified() -> bool:
    """Whether this machine has version 2 only."""
    return all(hierarchy.version == 2 for hierarchy in hierarchies())


def prepare(lab: str, host: str) -> list[Path]:
    """Makes a host's groups, for join_command."""
    membership = parse_membership(Path("/proc/self/cgroup").read_text())
    groups = []
    for hierarchy in hierarchies():
        group = host_group(hierarchy, membership, lab, host)
        for attempt in range(5):
            try:
                for directory in (group.parents[1], group.parents[0], group):
                    directory.mkdir(exist_ok=True)
                    _inherit_cpuset(directory)
                    _hand_down(directory)
                break
            except FileNotFoundError:  # another lab's end has just removed what was empty
                if attempt == 4:
                    raise
        groups.append(group)
    return groups


def join_command(groups: list[Path], command: list[str]) -> list[str]:
    """The command, run by a shell that joins the groups first, so that none of its processes is ever outside."""
    join = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1/cgroup.procs"; shift; n=$((n - 1)); done; exec "$@"'
    return ["sh", "-euc", join, "hwlab", str(len(groups)), *map(str, groups), *command]


def _inherit_cpuset(directory: Path) -> None:
    # A new cpuset is empty, and no process may enter an empty one.
    for name in ("cpuset.cpus", "cpuset.mems"):
        mine, above = directory / name, directory.parent / name
        if mine.exists() and above.exists() and not mine.read_text().strip() and directory.name:
            with contextlib.suppress(OSError):
                mine.write_text(above.read_text())


def _hand_down(directory: Path) -> None:
    # Version 2 without systemd (not tried on the machines that build this project): controllers are handed down level
    # by level; those that can't be are not there for the host either.
    controllers = directory.parent / "cgroup.controllers"
    if controllers.exists():
        for controller in controllers.read_text().split():
            with contextlib.suppress(OSError):
                (directory.parent / "cgroup.subtree_control").write_text(f"+{controller}")


def scope_name(lab: str, host: str) -> str:
    """The systemd scope of a host on a machine with version 2."""
    return f"{TOP}-{lab}-{host}.scope"


def labs_groups(lab: str | None = None, host: str | None = None) -> list[Path]:
    """All groups of a lab (of one host of it), wherever they were made."""
    found = []
    for hierarchy in hierarchies():
        for top in _tops(hierarchy.path):
            directory = top / lab if lab else top
            if host:
                directory = directory / host
            if directory.is_dir():
                found.append(directory)
        if hierarchy.version == 2 and lab:
            found += hierarchy.path.glob(f"system.slice/{TOP}-{lab}-{host or '*'}.scope")
    return found


def _tops(root: Path, depth: int = 8) -> Iterator[Path]:
    # Labs started from elsewhere (another session, another clone) may hang below another group.
    try:
        children = [entry for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for child in children:
        if child.name == TOP:
            yield Path(child.path)
        elif depth:
            yield from _tops(Path(child.path), depth - 1)


def processes(groups: list[Path]) -> set[int]:
    """All processes in these groups and below."""
    pids: set[int] = set()
    for group in groups:
        for directory, _, files in os.walk(group):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    pids.update(int(pid) for pid in (Path(directory) / "cgroup.procs").read_text().split())
    pids.discard(0)
    return pids


def kill(lab: str, host: str | None = None) -> None:
    """Ends all processes of a lab or of one of its hosts at once, as a power cut does, and removes their groups."""
    groups = labs_groups(lab, host)
    for group in groups:
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1")  # version 2 only
    proc.kill_all(lambda: processes(groups))
    remove(groups)


def remove(groups: list[Path], within: float = 5.0) -> None:
    """Removes empty groups, the deepest first, and what they leave empty above."""
    deadline = time.monotonic() + within
    for group in groups:
        # The last process of a group may still be on its way out.
        while group.exists() and time.monotonic() < deadline:
            for directory, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
            if group.exists():
                time.sleep(0.02)
        for parent in (group.parent, group.parent.parent):
            if TOP in (parent.name, parent.parent.name):
                with contextlib.suppress(OSError):
                    parent.rmdir()
