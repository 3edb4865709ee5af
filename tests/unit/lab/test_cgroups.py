"""Where hosts' control groups lie."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hwlab import cgroups

MOUNTS_V1 = """\
proc /proc proc rw,relatime 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,release_agent=/x,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime,nsdelegate 0 0
"""
MEMBERSHIP = """\
4:cpu,cpuacct:/
3:memory:/session/one
2:name=systemd:/user.slice
0::/
"""


def group(path: str, mounts: str = MOUNTS_V1, membership: str = MEMBERSHIP) -> Path:
    hierarchy = next(h for h in cgroups.parse_mounts(mounts) if h.path.name == path)
    return cgroups.host_group(hierarchy, cgroups.parse_membership(membership), "abc", "cp1")


def test_mounts_of_both_versions_are_found() -> None:
    found = {h.path.name: h for h in cgroups.parse_mounts(MOUNTS_V1)}
    assert set(found) == {"cpu,cpuacct", "memory", "systemd", "unified"}
    assert found["cpu,cpuacct"].controllers == {"cpu", "cpuacct"}
    assert found["unified"].version == 2
    assert "systemd" in found["systemd"].controllers


def test_mount_points_with_escapes_are_decoded() -> None:
    (hierarchy,) = cgroups.parse_mounts("cgroup /a\\040b cgroup rw,pids 0 0\n")
    assert hierarchy.path == Path("/a b")


def test_a_host_is_below_its_starters_group() -> None:
    assert group("memory") == Path("/sys/fs/cgroup/memory/session/one/hwlab/abc/cp1")
    assert group("systemd") == Path("/sys/fs/cgroup/systemd/user.slice/hwlab/abc/cp1")
    assert group("unified") == Path("/sys/fs/cgroup/unified/hwlab/abc/cp1")


def test_controllers_mounted_together_are_one_hierarchy() -> None:
    assert group("cpu,cpuacct") == Path("/sys/fs/cgroup/cpu,cpuacct/hwlab/abc/cp1")


def test_a_lab_started_from_inside_a_labs_group_is_beside_it() -> None:
    nested = MEMBERSHIP.replace("/session/one", "/session/one/hwlab/other/_mirror")
    assert group("memory", membership=nested) == Path("/sys/fs/cgroup/memory/session/one/hwlab/abc/cp1")


def test_groups_are_joined_before_the_command_runs(tmp_path: Path) -> None:
    groups = [tmp_path / "a", tmp_path / "b c"]
    for directory in groups:
        directory.mkdir()
    command = cgroups.join_command(groups, ["sh", "-c", 'echo "$$ $1"', "x", "two words"])
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    pid = result.stdout.split()[0]
    assert result.stdout == f"{pid} two words\n"
    assert [(directory / "cgroup.procs").read_text() for directory in groups] == [f"{pid}\n"] * 2


def test_processes_are_read_from_all_groups_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "cgroup.procs").write_text("5\n0\n")
    (tmp_path / "below" / "cgroup.procs").write_text("7\n8\n")
    assert cgroups.processes([tmp_path]) == {5, 7, 8}


def test_scopes_are_named_after_lab_and_host() -> None:
    assert cgroups.scope_name("abc", "cp1") == "hwlab-abc-cp1.scope"
