"""Hosts of the inventory's group `later` put into other groups, and what etcd lists meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from lab_asker import Repeating
from lab_cluster import ETCDCTL, inventories


def grown(folder: Path, **groups: list[str]) -> list[str]:
    """Options that give the lab's inventory with more hosts in its groups."""
    path = folder / f"{'-'.join([*groups, *sum(groups.values(), [])])}.yml"
    children = {name: {"hosts": {host: {} for host in hosts}} for name, hosts in groups.items()}
    path.write_text(yaml.safe_dump({"all": {"children": children}}))
    return inventories(str(path))


class Learners(Repeating):
    """Asks one member again and again who is listed, until its `with` ends; seen has the ids of the learners in each answer."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"{ETCDCTL} member list -w json")
        self.seen: list[set[int]] = []

    def __enter__(self) -> Learners:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()
        for line in self.told.splitlines():
            listed = json.loads(line)["members"]
            self.seen.append({member["ID"] for member in listed if member.get("isLearner")})
