"""Writes how long each task took, and how many ran on each host, to the file that HARDWAY_DURATIONS names."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: durations
type: aggregate
short_description: How long each task took
description: For tests/benchmarks/run.
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

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins, and so the one before has ended."""
        self._end()
        self.tasks.append([task.get_name(), time.monotonic()])

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count what ran on each host."""
        self.hosts[result._host.get_name()] += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run is over."""
        self._end()
        with open(os.environ["HARDWAY_DURATIONS"], "w", encoding="utf-8") as stream:
            json.dump({"tasks": self.tasks, "hosts": self.hosts}, stream)

    def _end(self) -> None:
        if self.tasks:
            self.tasks[-1][1] = round(time.monotonic() - self.tasks[-1][1], 2)
