"""A client on a host that keeps asking the API, and tells how long it waited for an answer at the most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lab_cluster import BALANCED_API, ask, connect

# In seconds: how long it asks before anything is done to it, and how long it looks on at what is lost.
BEFORE, LOOKS_ON = 3, 10
ASK_ON = """
while [ ! -e /tmp/client-ends ]; do
  code=$(%s)
  echo "$(date +%%s.%%N) $code"
  sleep 0.1
done
rm -f /tmp/client-ends
"""


class Asker(threading.Thread):
    """Asks as a node, over one new connection after the other, where the host's components ask or at another address."""

    def __init__(self, name: str, url: str = BALANCED_API) -> None:
        super().__init__(daemon=True)
        self.host, self.url = connect(name), url
        self.told = ""
        self.failed: list[str] = []

    def run(self) -> None:
        self.told = self.host.run("bash -c %s", ASK_ON % ask(self.url)).stdout

    def end(self) -> float:
        """Ends it; returns the longest time in seconds that passed between two good answers."""
        self.host.run("touch /tmp/client-ends")
        self.join(30)
        answers = [line.split() for line in self.told.splitlines() if len(line.split()) == 2]
        # 403 is the API's own answer to a node.
        good = [float(when) for when, code in answers if code in ("200", "403")]
        self.failed = [f"{when} {code}" for when, code in answers if code not in ("200", "403")]
        assert len(good) > 20, self.told[-2000:]
        return max(later - sooner for sooner, later in zip(good, good[1:], strict=False))

    def longest_wait(self, what: str, record_property: Callable[[str, float], None], looks_on: int = LOOKS_ON) -> float:
        """Ends it after a while; returns as end() does, and tells what the wait was for."""
        time.sleep(looks_on)
        gap = self.end()
        print(f"{what}: a client waited {gap:.1f} s at the most, {len(self.failed)} requests failed")
        record_property(what, round(gap, 1))
        return gap


def asking(name: str, url: str = BALANCED_API) -> Asker:
    """A client on a host that has asked for a while already."""
    asker = Asker(name, url)
    asker.start()
    time.sleep(BEFORE)
    return asker
