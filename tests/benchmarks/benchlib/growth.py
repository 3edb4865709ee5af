"""From a few measured sizes to many hosts: a straight line, and what follows from it. Nothing here measures."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression

from .runs import Run, table

CORES = (1, 2, 4, 8, 16)
FORKS = (20, 50, 100, 200)
FAR = (100, 1000)
BATCH = 100


@dataclass(frozen=True)
class Line:
    """fixed + each * hosts, by least squares."""

    fixed: float
    each: float
    off: float  # how far the point that fits least is from it

    def at(self, hosts: float) -> float:
        """What it says for so many hosts."""
        return self.fixed + self.each * hosts


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The line through (hosts, figure); of a single size there is none."""
    if len({hosts for hosts, _figure in points}) < 2:
        raise ValueError("a line needs at least two numbers of hosts")
    each, fixed = linear_regression([hosts for hosts, _ in points], [figure for _, figure in points])
    found = Line(fixed, each, 0.0)
    return Line(fixed, each, max(abs(found.at(hosts) - figure) for hosts, figure in points))


def lines(runs: Sequence[Run], what: Sequence[str]) -> dict[str, Line]:
    """A line for each figure of runs of the same name."""
    return {name: line([(len(run.hosts), float(getattr(run, name))) for run in runs]) for name in what}


def shortest(total: float, main: float, cores: int) -> float:
    """The least time that the controller's own work takes on so many cores.

    Forks work side by side; ansible-playbook's own process is one thread that no further core makes shorter.
    """
    return max(main, total / cores)


def fitted(name: str, found: dict[str, Line]) -> list[list[str]]:
    """Rows of the table of lines."""
    words = {
        "cpu": "controller's CPU",
        "main": "of it own process",
        "wall": f"wall here, {os.cpu_count()} cores for all",
    }
    return [
        [name, words.get(what, what), f"{one.fixed:.2f}", f"{one.each:.3f}", f"{one.off:.2f}"]
        for what, one in found.items()
    ]


def projected(name: str, found: dict[str, Line]) -> list[list[str]]:
    """Rows of the table for many hosts: the controller's CPU, and the least time it takes."""
    rows = []
    for hosts in FAR:
        total, main = found["cpu"].at(hosts), found["main"].at(hosts)
        rows.append(
            [
                name,
                f"{hosts:,}",
                f"{total:.0f}",
                f"{main:.0f}",
                *(f"{shortest(total, main, cores):.0f}" for cores in CORES),
            ]
        )
    return rows


def batched(install: Line, added: float, hosts: int, first: int) -> float:
    """The controller's CPU of an install in batches: the control plane first, then workers by --limit.

    :arg install: the line of whole installs; what the control plane costs more than workers is in its fixed part.
    :arg added: CPU of the run that added one worker, from which follows what each batch pays beside its hosts.
    :arg hosts: all hosts.
    :arg first: those of the first run.
    """
    each_batch = max(0.0, added - install.each)
    batches = math.ceil((hosts - first) / BATCH)
    return install.at(first) + batches * each_batch + install.each * (hosts - first)


def forks_table(base: float, fork: float, connection: float) -> str:
    """What the number of forks costs in memory, and how often a task goes round.

    :arg base: MiB that ansible-playbook has without forks.
    :arg fork: MiB that one fork adds.
    :arg connection: MiB of one shared SSH connection.
    """
    rows = [["forks", "memory with that many forks, MiB", *(f"rounds a task, {hosts:,} hosts" for hosts in FAR)]]
    for forks in FORKS:
        rows.append([str(forks), f"{base + forks * fork:.0f}", *(str(math.ceil(hosts / forks)) for hosts in FAR)])
    text = table(rows)
    return (
        text + f"\n\nand for each host a shared SSH connection of {connection:.0f} MiB, as long as ControlPersist says."
    )


HONESTLY = f"""\
How to read this: all hosts of the lab share the {os.cpu_count()} cores of this machine with the controller, so wall grows
with the work of the hosts themselves, which real hosts do each on its own. On real machines only the controller's share
grows with their number; that share is the lines of the controller's CPU. The sizes differ in workers only, so a host is a
worker here, and what three control-plane hosts cost more is in the fixed part. A line through so few and so small sizes
can't see what grows faster than the number of hosts, and what stands here of many hosts is that line made longer, not
measured."""
