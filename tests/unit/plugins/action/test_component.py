"""Whose turn it is: first starts side by side, restarts one after the other, and none after one that failed."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import turns

UNIT = "[Service]\nExecStart=/bin/sleep 600\n"
OK = {"changed": True, "restart_pending": False}


class Cluster:
    """Hosts whose module answers come from what is set here."""

    def __init__(self, host: SimpleNamespace, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.pending = {"cp1", "cp2"}
        self.failing: set[str] = set()
        self.dying: set[str] = set()
        self.restarting: set[str] = set()
        self.together = 0

    def run(self, host_name: str, check: bool = False, **args: Any) -> dict[str, Any]:
        def execute(_module: str, wished: dict[str, Any]) -> dict[str, Any]:
            self.asked.append((host_name, wished.get("restart")))
            if wished.get("restart") == "defer":
                return {"changed": False, "restart_pending": True} if host_name in self.pending else dict(OK)
            if host_name in self.dying:
                raise AnsibleConnectionFailure("no route to host")
            self.restarting.add(host_name)
            self.together = max(self.together, len(self.restarting))
            time.sleep(0.05)
            self.restarting.discard(host_name)
            return {"failed": True, "msg": "not healthy"} if host_name in self.failing else dict(OK, restarted=True)

        task_vars = {"inventory_hostname": host_name, "cluster_controller_dir": str(self.folder / "{{ 'exam' }}ple")}
        return self.host.run_action("component", {"name": "etcd", "unit": UNIT, **args}, check, task_vars, execute)


@pytest.fixture
def cluster(host: SimpleNamespace, tmp_path: Path) -> Cluster:
    return Cluster(host, tmp_path)


def test_without_a_restart_there_is_one_call_and_no_turn(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.run("w1") == OK
    assert cluster.asked == [("w1", "defer")]
    assert os.listdir(tmp_path) == []


def test_a_restart_takes_its_turn(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.run("cp1")["restarted"]
    assert cluster.asked == [("cp1", "defer"), ("cp1", "now")]
    assert (tmp_path / "example" / "turns" / "etcd").exists()


def test_restarts_never_happen_together(cluster: Cluster) -> None:
    cluster.pending = {f"cp{number}" for number in range(4)}
    threads = [threading.Thread(target=cluster.run, args=(name,)) for name in cluster.pending]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([1 for _name, restart in cluster.asked if restart == "now"]) == 4
    assert cluster.together == 1


def test_after_one_that_failed_the_others_are_left_as_they_are(cluster: Cluster) -> None:
    cluster.failing = {"cp1"}
    assert cluster.run("cp1")["msg"] == "not healthy"
    result = cluster.run("cp2")
    assert result["failed"]
    assert not result["changed"]
    assert "left as it is" in result["msg"]
    assert "cp1" in result["msg"]
    assert ("cp2", "now") not in cluster.asked


def test_after_a_host_that_died_in_its_turn_others_are_left_alone(cluster: Cluster) -> None:
    """Its new settings may have cut it off, and Ansible raises then."""
    cluster.dying = {"cp1"}
    with pytest.raises(AnsibleConnectionFailure):
        cluster.run("cp1")
    result = cluster.run("cp2")
    assert result["failed"]
    assert "left as it is here: its new settings failed on another host. cp1" in result["msg"]
    assert ("cp2", "now") not in cluster.asked


def test_the_next_run_tries_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.failing = {"cp1"}
    cluster.run("cp1")
    monkeypatch.setattr(os, "getppid", lambda: 1)
    cluster.failing = set()
    assert cluster.run("cp2")["restarted"]
    assert cluster.run("cp1")["restarted"]


def test_a_run_is_known_by_when_it_began_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container each run may be process 1."""

    def known(process: int) -> list[str]:
        monkeypatch.setattr(os, "getppid", lambda: process)
        assert turns.this_run() == turns.this_run()
        return turns.this_run().split()

    with subprocess.Popen(["sleep", "60"]) as later:
        first, second = known(os.getpid()), known(later.pid)
        later.kill()
    assert (first[0], second[0]) == (str(os.getpid()), str(later.pid))
    assert first[1] == second[1]  # one boot
    assert int(first[2]) < int(second[2])


def test_one_components_failure_does_not_hold_back_another(cluster: Cluster) -> None:
    cluster.failing = {"cp1"}
    cluster.run("cp1")
    cluster.failing = set()
    assert cluster.run("cp2", name="kube-scheduler")["restarted"]


def test_a_host_that_fails_before_its_turn_takes_none(cluster: Cluster, host: SimpleNamespace, tmp_path: Path) -> None:
    failed = {"failed": True, "msg": "x", "restart_pending": True}
    result = host.run_action("component", {"name": "etcd"}, execute=lambda name, args: dict(failed))
    assert result["failed"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("more", [{"state": "absent"}, {"state": "healthy"}, {"check": True}])
def test_removal_health_and_check_mode_need_no_turn(cluster: Cluster, tmp_path: Path, more: dict[str, Any]) -> None:
    cluster.run("cp1", **more)
    assert cluster.asked == [("cp1", None)]
    assert os.listdir(tmp_path) == []
