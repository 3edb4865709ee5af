"""Writes what a run did and cost to the file that HARDWAY_DURATIONS names: tasks, hosts, changes, CPU of the forks."""

from __future__ import annotations

import json
import os
import resource
import time
from collections import Counter
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: durations
type: aggregate
short_description: How long each task took
description: For tests/benchmarks.
"""


class CallbackModule(CallbackBase):
    """Collects, and writes at the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "durations"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[list[Any]] = []
        self.hosts: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins, and so the one before has ended."""
        self._end()
        self.tasks.append([task.get_name(), time.monotonic()])

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count what ran on each host, and what changed something."""
        self.hosts[result.host.get_name()] += 1
        if result.result.get("changed"):
            self.changed[result.task.get_name()] += 1

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """What failed ran, too."""
        self.hosts[result.host.get_name()] += 1

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Whoever was not reached was asked, at least."""
        self.hosts[result.host.get_name()] += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run is over, and every fork of it was waited for: Ansible does so at the end of each play."""
        self._end()
        forks = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = {
            "tasks": self.tasks,
            "hosts": self.hosts,
            "changed": self.changed,
            "forks_cpu": forks.ru_utime + forks.ru_stime,
        }
        with open(os.environ["HARDWAY_DURATIONS"], "w", encoding="utf-8") as stream:
            json.dump(told, stream)

    def _end(self) -> None:
        if self.tasks:
            self.tasks[-1][1] = round(time.monotonic() - self.tasks[-1][1], 2)
