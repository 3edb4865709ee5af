"""One run of a playbook, and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import REPOSITORY
from .bench import Bench
from .machine import Memory, Peak, machine_cpu, memory, shared_connections

CALLBACK = Path(__file__).resolve().parents[1] / "callback"


@dataclass
class Run:
    """What one run of ansible-playbook did and cost; seconds and MiB."""

    name: str
    wall: float
    main: float  # CPU of ansible-playbook's own process, which no second core makes shorter
    forks: float  # CPU of its forks, and of ssh and whatever else they waited for
    ssh: float  # CPU of SSH's shared connections during the run
    machine: float  # CPU of the whole machine during the run: controller, hosts and whoever else works there
    largest: float = 0.0  # memory of the largest process, which is ansible-playbook's own
    peak: Peak = field(default_factory=Peak)
    connection: float = 0.0  # memory of one shared connection
    lost: int = 0  # shared connections that ended during the run, their CPU with them
    tasks: list[tuple[str, float]] = field(default_factory=list)
    hosts: dict[str, int] = field(default_factory=dict)  # tasks by host
    changed: dict[str, int] = field(default_factory=dict)  # hosts that a task changed, by task
    notes: list[str] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """All of the controller's CPU."""
        return self.main + self.forks + self.ssh


def measure(
    bench: Bench, name: str, arguments: Sequence[str], topology: Path | None = None, watch_memory: bool = True
) -> Run:
    """Run a playbook in the lab; ends with its output where it fails.

    ansible-playbook waits for its forks and these for their ssh, so one rusage holds them all; SSH's shared connections
    leave that family and are counted beside it.
    """
    with tempfile.TemporaryDirectory(prefix="hardway-benchmark-") as folder:
        durations, log = Path(folder) / "durations.json", Path(folder) / "output"
        environment = bench.environment(topology)
        environment.update(
            HARDWAY_DURATIONS=str(durations),
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACK),
            ANSIBLE_CALLBACKS_ENABLED="durations",
            ANSIBLE_NOCOLOR="1",
        )
        sockets = bench.lab.sockets
        with log.open("wb") as output:
            connections, machine = shared_connections(sockets), machine_cpu()
            start = time.monotonic()
            process = subprocess.Popen(
                bench.inside("ansible-playbook", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=REPOSITORY,
            )
            looks = Memory(process.pid)
            if watch_memory:
                looks.start()
            _pid, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - start
            machine = machine_cpu() - machine
            after = shared_connections(sockets)
            peak = looks.stop() if watch_memory else Peak()
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not durations.exists():
            raise SystemExit(
                f"{name}: ansible-playbook {' '.join(arguments)} ended with {process.returncode}; the end of its output:\n"
                + log.read_text(errors="replace")[-8000:]
            )
        seen = json.loads(durations.read_text())
    if not seen["hosts"]:
        raise SystemExit(f"{name}: no task ran on any host, so nothing was measured")
    return Run(
        name=name,
        wall=wall,
        main=usage.ru_utime + usage.ru_stime - seen["forks_cpu"],
        forks=seen["forks_cpu"],
        ssh=sum(cpu - connections.get(key, 0.0) for key, cpu in after.items()),
        machine=machine,
        largest=usage.ru_maxrss / 1024,
        peak=peak,
        connection=memory(pid for pid, _start in after) / len(after) if after and watch_memory else 0.0,
        lost=len(connections.keys() - after.keys()),
        tasks=[(task, seconds) for task, seconds in seen["tasks"]],
        hosts=seen["hosts"],
        changed=seen["changed"],
    )


def only_on(run: Run, host: str) -> None:
    """Notes whether a run kept to one host, by the tasks that the callback counted."""
    others = {name: count for name, count in run.hosts.items() if name != host}
    if others:
        run.notes.append(f"WRONG: tasks ran on other hosts than {host}: {others}")
    else:
        run.notes.append(f"asserted: all {run.hosts[host]} tasks ran on {host}, none on any other host")


def unchanged(run: Run) -> None:
    """Notes what a run changed that had nothing to do."""
    if run.changed:
        run.notes.append(f"WRONG: it changed something: {run.changed}")


def in_words(run: Run) -> str:
    """One run for a person."""
    lines = [
        f"{run.name:32} {run.wall:6.1f} s wall  {run.cpu:6.1f} s CPU of the controller"
        f" (own process {run.main:.1f}, forks {run.forks:.1f}, SSH connections {run.ssh:.1f})"
        f"  {run.machine:6.1f} s CPU of the machine",
        f"{'':33}{len(run.hosts)} hosts  tasks a host: {min(run.hosts.values())} to {max(run.hosts.values())}"
        f"  changes: {sum(run.changed.values())}"
        f"  memory: {run.peak.together:.0f} MiB with {run.peak.forks} forks, {run.peak.fork:.0f} MiB a fork,"
        f" {run.connection:.0f} MiB a connection",
    ]
    lines += [f"{'':33}{note}" for note in run.notes]
    if run.lost:
        lines.append(f"{'':33}{run.lost} SSH connections ended meanwhile; their CPU is not in these figures")
    lines += [
        f"{'':33}{seconds:6.1f} s  {task}" for task, seconds in sorted(run.tasks, key=lambda entry: -entry[1])[:8]
    ]
    return "\n".join(lines)


def middle(runs: Sequence[Run], what: str) -> float:
    """The median of one figure over rounds."""
    return median(float(getattr(run, what)) for run in runs)


def table(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = [list(row) for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def summary(runs: Sequence[Run]) -> str:
    """The runs of one kind of inventory as a table, rounds of the same run as their median."""
    rows = [
        (
            "run",
            "hosts",
            "wall, s",
            "controller's CPU, s",
            "of it own process, s",
            "a host, s",
            "machine's CPU, s",
            "memory, MiB",
            "changes",
        )
    ]
    for name in dict.fromkeys(run.name for run in runs):
        of_name = [run for run in runs if run.name == name]
        hosts = len(of_name[0].hosts)
        rows.append(
            (
                name,
                str(hosts),
                f"{middle(of_name, 'wall'):.1f}",
                f"{middle(of_name, 'cpu'):.1f}",
                f"{middle(of_name, 'main'):.1f}",
                f"{middle(of_name, 'cpu') / hosts:.2f}",
                f"{middle(of_name, 'machine'):.1f}",
                f"{max(run.peak.together for run in of_name):.0f}",
                "/".join(str(sum(run.changed.values())) for run in of_name),
            )
        )
    return table(rows)
