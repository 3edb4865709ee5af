"""Packages of this machine: one apt at a time, and a clear word where it can't be."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hwlab import packages
from hwlab.ui import LabError


def test_without_root_the_names_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="busybox-static libseccomp-dev"):
        packages.install(["libseccomp-dev", "busybox-static"])


def test_two_threads_never_run_apt_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root file system and release build start together on a new machine; apt ends with an error when it has company."""
    inside: list[str] = []
    most: list[int] = []

    def run(command: list[str]) -> None:
        inside.append(command[-1])
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()

    monkeypatch.setenv("HARDWAY_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(packages.os, "geteuid", lambda: 0)
    monkeypatch.setattr(packages.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(packages.proc, "run", run)
    threads = [threading.Thread(target=packages.install, args=[[name]]) for name in ("gcc", "mmdebstrap")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
