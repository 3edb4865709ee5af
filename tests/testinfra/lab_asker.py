"""A client on a host that keeps asking the API, and tells how long it waited for an answer at the most."""

from __future__ import annotations

import threading

from lab_cluster import BALANCED_API, ask, connect

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
