"""What a person sees: steps with their time, and errors that say what to do."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class LabError(Exception):
    """An error whose text is for a person; the command ends with it."""


class Progress:
    """Says on standard error what goes on, each line with the seconds since the start."""

    def __init__(self, every: float = 15.0) -> None:
        """Long steps are heard of again after so many seconds."""
        self._start = time.monotonic()
        self._every = every
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """One line."""
        with self._lock:
            print(f"[{time.monotonic() - self._start:5.1f}s] {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A long step: says when it starts, that it still goes on, and how long it took."""
        started = time.monotonic()
        done = threading.Event()

        def tick() -> None:
            while not done.wait(self._every):
                self.say(f"{text}: {time.monotonic() - started:.0f} s so far")

        self.say(f"{text} ...")
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()
        self.say(f"{text}: done in {time.monotonic() - started:.1f} s")


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, without what a terminal would swallow."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"  (no log: {error})"
    kept = [line for raw in text.splitlines() if (line := "".join(c for c in raw if c.isprintable()).strip())]
    return "\n".join(f"  | {line}" for line in kept[-lines:]) or "  (empty)"
