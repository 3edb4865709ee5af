"""Hosts of the inventory's group `later` put into other groups, and what etcd lists meanwhile."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path

import yaml
from lab_cluster import ETCDCTL, connect, inventories

LISTING = """
while [ ! -e %(flag)s ]; do
  %(etcdctl)s member list -w json
  sleep 0.1
done
rm -f %(flag)s
"""


def grown(folder: Path, **groups: list[str]) -> list[str]:
    """Options that give the lab's inventory with more hosts in its groups."""
    path = folder / f"{'-'.join([*groups, *sum(groups.values(), [])])}.yml"
    children = {name: {"hosts": {host: {} for host in hosts}} for name, hosts in groups.items()}
    path.write_text(yaml.safe_dump({"all": {"children": children}}))
    return inventories(str(path))


class Learners(threading.Thread):
    """Asks one member again and again who is listed, and keeps the learners of each answer by id; ends with `with`."""

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True)
        self.host = connect(name)
        self.flag = f"/tmp/listing-ends-{uuid.uuid4()}"
        self.seen: list[set[int]] = []

    def run(self) -> None:
        told = self.host.run("bash -c %s", LISTING % {"etcdctl": ETCDCTL, "flag": self.flag}).stdout
        for line in told.splitlines():
            listed = json.loads(line)["members"]
            self.seen.append({member["ID"] for member in listed if member.get("isLearner")})

    def __enter__(self) -> Learners:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.host.run(f"touch {self.flag}")
        self.join(30)
