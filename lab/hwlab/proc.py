"""Processes of the lab: told apart by pid and start time, so that a recycled pid is never signalled."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hwlab.ui import LabError

_PR_SET_PDEATHSIG = 1


def boot_id() -> str:
    """This boot of the machine: start times of other boots mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def parse_start_time(stat: str) -> int:
    """The start time in a /proc/PID/stat line, whose second field may hold spaces and brackets."""
    return int(stat.rpartition(")")[2].split()[19])


def start_time(pid: int) -> int | None:
    """When the process started (ticks since boot); None when there is none or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return None if stat.rpartition(")")[2].split()[0] in "ZX" else parse_start_time(stat)


@dataclass(frozen=True)
class Identity:
    """One process of one boot."""

    pid: int
    start: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a process that runs now."""
        return cls(pid, start_time(pid) or 0, boot_id())

    @classmethod
    def read(cls, path: Path) -> Identity | None:
        """What a pid file says; None when there is none or it was cut short."""
        try:
            data = json.loads(path.read_text())
            return cls(int(data["pid"]), int(data["start"]), str(data["boot"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Makes the pid file."""
        write_atomic(path, json.dumps(asdict(self)) + "\n")

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.start > 0 and self.boot == boot_id() and start_time(self.pid) == self.start


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as out:
        out.write(text)
    temporary.chmod(mode)
    temporary.replace(path)


def run(command: Sequence[str], check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command and shows what it said when it failed."""
    result = subprocess.run(
        list(command),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and result.returncode != 0:
        said = (result.stderr or result.stdout).strip()
        raise LabError(f"'{' '.join(command)}' failed (exit {result.returncode}): {said}")
    return result


def die_with_parent(signum: int = signal.SIGTERM) -> None:
    """For a child, before its exec: ends it when the command that waits for it is killed."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)


def kill_all(pids: Callable[[], Iterable[int]], within: float = 20.0) -> None:
    """SIGKILLs all that the function finds, again and again until it finds none."""
    deadline = time.monotonic() + within
    pause = 0.01
    while left := [pid for pid in pids() if start_time(pid) is not None]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(f"processes {left} do not end although killed (blocked in the kernel?)")
        time.sleep(pause)
        pause = min(pause * 2, 0.2)
