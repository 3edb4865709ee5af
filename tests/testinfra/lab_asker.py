"""A client on a host that keeps asking the API, and tells how long it waited for an answer at the most."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable

from lab_cluster import connect

ASKS_BEFORE = 3  # seconds, before anything is done to what it asks
REPEATED = """
while [ ! -e %(flag)s ]; do
  %(command)s
  sleep 0.1
done
rm -f %(flag)s
"""


class Repeating(threading.Thread):
    """Runs a command on a host again and again until it is ended; what it printed is in told."""

    def __init__(self, name: str, command: str) -> None:
        super().__init__(daemon=True)
        self.host, self.command = connect(name), command
        self.flag = f"/tmp/ends-{uuid.uuid4()}"
        self.told = ""

    def run(self) -> None:
        self.told = self.host.run("bash -c %s", REPEATED % {"command": self.command, "flag": self.flag}).stdout

    def end(self) -> None:
        """Ends it, if it has not ended."""
        if self.is_alive():
            self.host.run(f"touch {self.flag}")
            self.join(30)


class Asker(Repeating):
    """Asks as a node, over one new connection after the other.

    :arg question: the command that asks.
    :arg good: the HTTP status of a good answer.
    :arg tell: given what was lost, the seconds that the client waited then, and the number of requests that failed.
    """

    def __init__(self, name: str, question: str, good: str, tell: Callable[[str, float, int], None]) -> None:
        super().__init__(name, f'code=$({question}); echo "$(date +%s.%N) $code"')
        self.good, self.tell = good, tell
        self.failed: list[str] = []

    def longest_wait(self, what: str, looks_on: float = 0) -> float:
        """Ends it after some seconds; returns the longest time in seconds between two good answers, or after the last one."""
        time.sleep(looks_on)
        self.end()
        answers = [line.split() for line in self.told.splitlines() if len(line.split()) == 2]
        good = [float(when) for when, code in answers if code == self.good]
        self.failed = [f"{when} {code}" for when, code in answers if code != self.good]
        assert len(good) > 20, self.told[-2000:]
        last = float(answers[-1][0])  # of any kind: who gets no good answer any more waits until the end
        gap = max(later - sooner for sooner, later in itertools.pairwise([*good, last]))
        self.tell(what, gap, len(self.failed))
        return gap
