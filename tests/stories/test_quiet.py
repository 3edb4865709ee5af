"""A second run beside a client that reads and writes all the time: no request fails, and nothing is restarted."""

from __future__ import annotations

import time

from lab_client import Client
from lab_cluster import changes_nothing, group, processes, restarted


def test_a_second_run_beside_a_busy_client(on, playbook, tell, tmp_path):
    """Not one failed request."""
    client = Client(tmp_path)
    before = processes(on, group("kube_node"))
    client.start()
    start = time.monotonic()
    result = playbook("site.yml")
    seconds = time.monotonic() - start
    client.ended.set()
    client.join(10)
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)
    assert restarted(before, processes(on, group("kube_node"))) == set()
    tell(f"a second run beside {client.done} requests", seconds, len(client.failed))
    assert client.done > 100
    assert client.failed == []
