"""Locks between commands; the kernel frees them when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from hwlab.ui import LabError, Progress


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _note_holder(fd: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def holder(path: Path) -> str:
    """Who holds the lock, for messages only."""
    try:
        return f"process {path.read_text().strip() or '?'}"
    except OSError:
        return "another process"


@contextlib.contextmanager
def locked(path: Path, progress: Progress | None = None, why: str = "") -> Iterator[None]:
    """Holds the lock; waits for it, and says so when that takes time."""
    fd = _open(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress is None:
                fcntl.flock(fd, fcntl.LOCK_EX)
            else:
                with progress.step(f"waiting for {holder(path)}: {why or path}"):
                    fcntl.flock(fd, fcntl.LOCK_EX)
        _note_holder(fd)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def locked_or_error(path: Path, message: str) -> Iterator[None]:
    """Holds the lock, or ends with the message ({holder} in it names the process) when another one has it."""
    fd = _open(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(message.format(holder=holder(path))) from None
        _note_holder(fd)
        yield
    finally:
        os.close(fd)
