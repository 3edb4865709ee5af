"""Processes are told apart by more than their pid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hwlab import proc
from hwlab.ui import LabError


def test_start_time_is_read_behind_a_name_with_spaces_and_brackets() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    assert proc.parse_start_time(f"12 (a b) c) S {fields}") == 22


def test_a_running_process_is_alive_until_it_ends(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = proc.Identity.of(child.pid)
    identity.write(tmp_path / "pid")
    assert proc.Identity.read(tmp_path / "pid") == identity
    assert identity.alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its zombie is still there
    assert not identity.alive()
    child.communicate()
    assert not identity.alive()


def test_another_process_with_the_same_pid_is_not_it() -> None:
    mine = proc.Identity.of(os.getpid())
    assert not proc.Identity(mine.pid, mine.start + 1, mine.boot).alive()
    assert not proc.Identity(mine.pid, mine.start, "another boot").alive()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "start": 1, "boot": "b"}'])
def test_a_pid_file_that_is_cut_short_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert proc.Identity.read(tmp_path / "pid") is None
    assert proc.Identity.read(tmp_path / "missing") is None


def test_a_process_that_was_never_seen_is_not_alive() -> None:
    assert not proc.Identity.of(2**22 + 1).alive()


def test_all_found_processes_are_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    proc.kill_all(lambda: [child.pid])
    child.communicate()
    assert child.returncode == -9


def test_a_failing_command_says_what_it_said() -> None:
    with pytest.raises(LabError, match=r"exit 3.*so it is"):
        proc.run(["sh", "-c", "echo so it is >&2; exit 3"])


def test_files_are_replaced_whole_with_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    proc.write_atomic(path, "one", 0o600)
    proc.write_atomic(path, "two", 0o600)
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["file"]
