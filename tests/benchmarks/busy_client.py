"""The busy client of the stories as a process of its own: works until its standard input ends, then tells as JSON.

Usage, inside the lab's network: bin/lab exec -- python tests/benchmarks/busy_client.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "testinfra"))

from lab_client import Client  # noqa: E402


def main() -> None:
    """Says "busy" after the first requests, and at the end what came of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder))
        client.start()
        while client.done < 10 and client.is_alive():
            time.sleep(0.02)
        if not client.is_alive():
            raise SystemExit("the busy client ended at once; its reason is above")
        print("busy", flush=True)
        before = client.done
        sys.stdin.read()
        alive = client.is_alive()
        done = client.done - before
        client.ended.set()
        client.join(10)
    # What failed before "busy" counts too: nothing was going on then, so it is a failure all the more.
    print(json.dumps({"done": done, "failed": client.failed, "ended_early": not alive}), flush=True)


if __name__ == "__main__":
    main()
