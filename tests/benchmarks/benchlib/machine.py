"""What the machine and the controller's processes used: CPU and memory, as the kernel counts them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def parse_busy(stat: str) -> float:
    """Seconds that all CPUs worked, from the text of /proc/stat: all but idle, iowait and steal."""
    user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in stat.splitlines()[0].split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


def machine_cpu() -> float:
    """Seconds that all CPUs of this machine have worked since its boot, for whomever."""
    return parse_busy((PROC / "stat").read_text())


def settle(calm: float = 0.3, seconds: float = 2.0, within: float = 90.0) -> float:
    """Waits until the machine has little to do; returns how many CPUs were busy in the last look.

    Hosts that have just booted still work, and so may somebody else: both would be counted as the benchmark's.
    """
    deadline = time.monotonic() + within
    while True:
        before, start = machine_cpu(), time.monotonic()
        time.sleep(seconds)
        busy = (machine_cpu() - before) / (time.monotonic() - start)
        if busy <= calm:
            return busy
        if time.monotonic() > deadline:
            print(
                f"WARNING: something else keeps {busy:.1f} CPUs of this machine busy; times and the machine's CPU below"
                " hold its work too",
                file=sys.stderr,
                flush=True,
            )
            return busy


def parse_stat(stat: str) -> tuple[int, float]:
    """Start time (ticks since boot) and CPU seconds of a process itself, from the text of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[19]), (int(fields[11]) + int(fields[12])) / TICK


def shared_connections(sockets: Path) -> dict[tuple[int, int], float]:
    """SSH's shared connections of a lab: pid and start time to CPU seconds.

    They leave Ansible's processes (ControlPersist makes them children of init), so nobody waits for them and no rusage
    holds them. ssh itself gives them the name "ssh: SOCKET [mux]".
    """
    found = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes()
            if title.startswith(f"ssh: {sockets}/".encode()):
                start, cpu = parse_stat((entry / "stat").read_text())
                found[int(entry.name), start] = cpu
        except OSError:
            continue
    return found


@dataclass(frozen=True)
class Peak:
    """The most memory that the controller's processes had together (MiB), and what one fork adds."""

    together: float = 0.0
    forks: int = 0
    fork: float = 0.0


def _rollup(pid: int) -> tuple[float, float]:
    """A process's share of memory (PSS), and what it shares with nobody, in MiB."""
    values = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) / 1024
    return values.get("Pss", 0.0), values.get("Private_Clean", 0.0) + values.get("Private_Dirty", 0.0)


def memory(pids: Iterable[int]) -> float:
    """What these processes have together, in MiB; those that have ended have nothing."""
    found = 0.0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            found += _rollup(pid)[0]
    return found


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in (PROC / str(pid) / "task").iterdir() for child in (task / "children").read_text().split()
    ]


class Memory(threading.Thread):
    """Looks at a process and all below it now and then; the peak is that of the looks, so it is a little low.

    A look walks through all pages of all these processes, so the next one waits until it is a fiftieth of the time.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = Peak()
        self._fork = 0.0
        self._ended = threading.Event()

    def run(self) -> None:
        """Until stop()."""
        pause = 1.0
        while not self._ended.wait(pause):
            start = time.thread_time()
            self.look()
            pause = max(1.0, 50 * (time.thread_time() - start))

    def look(self) -> None:
        """One look."""
        try:
            forks = [self._below(child) for child in _children(self.pid)]
            together = _rollup(self.pid)[0] + sum(pss for pss, _private in forks)
        except (OSError, ValueError):  # it has just ended
            return
        self._fork = max([self._fork, *(private for _pss, private in forks)])
        if together > self.peak.together:
            self.peak = Peak(together, len(forks), self._fork)
        else:
            self.peak = Peak(self.peak.together, self.peak.forks, self._fork)

    def _below(self, pid: int) -> tuple[float, float]:
        """A process with all below it: PSS and private memory."""
        try:
            pss, private = _rollup(pid)
            for child in _children(pid):
                more = self._below(child)
                pss, private = pss + more[0], private + more[1]
        except (OSError, ValueError):
            return 0.0, 0.0
        return pss, private

    def stop(self) -> Peak:
        """Ends the looks; returns what they saw."""
        self._ended.set()
        self.join()
        return self.peak
