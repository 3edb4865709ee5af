"""Restarts that one call for all components left over: each takes its turn, and what came of it is added up."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

COMPONENTS: dict[str, Any] = {
    "etcd": {"name": "etcd", "unit": "[Service]\n", "files": [{"path": "/e", "content": "hidden-e", "secret": True}]},
    "kube_scheduler": {"name": "kube-scheduler", "files": [{"path": "/s", "content": "hidden-s", "secret": True}]},
    "kubelet": {"name": "kubelet", "files": [{"path": "/k", "content": "open"}]},
}
SECRETS = {"/e": "hidden-e", "/s": "hidden-s"}


class Cluster:
    """Hosts whose module answers come from what is set here."""

    def __init__(self, host: SimpleNamespace, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.asked: list[tuple[str, str]] = []
        self.args: list[dict[str, Any]] = []
        self.pending: list[str] = []
        self.first: dict[str, Any] = {"changed": False, "diff": [], "started": [], "restarted": [], "reloaded": []}
        self.turns: dict[str, dict[str, Any]] = {}

    def run(self, host_name: str = "cp1", check: bool = False, **more: Any) -> dict[str, Any]:
        def execute(module: str, args: dict[str, Any]) -> dict[str, Any]:
            self.asked.append((module, args.get("name", "")))
            self.args.append(copy.deepcopy(args))
            if module == "components":
                return copy.deepcopy({"restart_pending": self.pending, **self.first})
            done = {"changed": True, "diff": [{"after": args["name"]}], "restarted": True, "restart_pending": False}
            return {**done, **self.turns.get(args["name"], {})}

        args = {"components": copy.deepcopy(COMPONENTS), **more}
        task_vars = {"inventory_hostname": host_name, "cluster_controller_dir": str(self.folder / "{{ 'exam' }}ple")}
        return self.host.run_action("components", args, check, task_vars, execute)


@pytest.fixture
def cluster(host: SimpleNamespace, tmp_path: Path) -> Cluster:
    return Cluster(host, tmp_path)


def test_without_a_pending_restart_there_is_one_call_and_no_turn(cluster: Cluster, tmp_path: Path) -> None:
    images = {"etcd": [{"path": "/x", "images": ["y"]}]}
    assert cluster.run(images=images) == {**cluster.first, "restart_pending": []}
    assert cluster.asked == [("components", "")]
    assert cluster.args[0]["images"] == images
    assert list(cluster.args[0]["components"]) == list(COMPONENTS)
    assert os.listdir(tmp_path) == []


def test_each_pending_restart_takes_its_turn_in_order(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pending = ["kube_scheduler", "etcd"]
    cluster.run()
    assert cluster.asked == [("components", ""), ("component", "kube-scheduler"), ("component", "etcd")]
    assert [args["restart"] for args in cluster.args[1:]] == ["now", "now"]
    assert cluster.args[2]["unit"] == "[Service]\n"
    assert sorted(os.listdir(tmp_path / "example" / "turns")) == ["etcd", "kube-scheduler"]


def test_what_the_turns_did_is_added_up(cluster: Cluster) -> None:
    cluster.pending = ["etcd", "kube_scheduler"]
    cluster.first.update(diff=[{"after": "kubelet"}], started=["kubelet"], restarted=["containerd"])
    result = cluster.run()
    assert result["changed"]
    assert [entry["after"] for entry in result["diff"]] == ["kubelet", "etcd", "kube-scheduler"]
    assert (result["started"], result["restarted"]) == (["kubelet"], ["containerd", "etcd", "kube-scheduler"])


def test_a_turn_that_reloads_is_no_restart(cluster: Cluster) -> None:
    cluster.pending = ["etcd", "kube_scheduler"]
    cluster.turns["etcd"] = {"restarted": False, "reloaded": True}
    cluster.turns["kube-scheduler"] = {"restarted": False, "started": True}  # it had ended meanwhile
    result = cluster.run()
    assert (result["reloaded"], result["restarted"], result["started"]) == (["etcd"], [], ["kube-scheduler"])


@pytest.mark.parametrize(("first", "turn"), [(True, False), (False, True), (False, False)])
def test_changed_is_what_any_of_them_changed(cluster: Cluster, first: bool, turn: bool) -> None:
    cluster.pending = ["etcd"]
    cluster.first["changed"] = first
    cluster.turns["etcd"] = {"changed": turn}
    assert cluster.run()["changed"] is (first or turn)


@pytest.mark.parametrize("end", [{"failed": True, "msg": "not healthy"}, {"unreachable": True, "msg": "no route"}])
def test_a_turn_that_fails_ends_it_and_tells_all_that_was_changed(cluster: Cluster, end: dict[str, Any]) -> None:
    cluster.pending = ["etcd", "kube_scheduler"]
    cluster.first.update(changed=True, diff=[{"after": "kubelet"}])
    cluster.turns["etcd"] = {**end, "changed": False}
    result = cluster.run()
    assert end.items() <= result.items()
    assert result["changed"]
    assert [entry["after"] for entry in result["diff"]] == ["kubelet", "etcd"]
    assert cluster.asked == [("components", ""), ("component", "etcd")]


def test_what_failed_on_another_host_is_left_as_it_is_here(cluster: Cluster) -> None:
    cluster.pending = ["etcd"]
    cluster.turns["etcd"] = {"failed": True, "msg": "not healthy"}
    assert cluster.run("cp1")["msg"] == "not healthy"
    cluster.turns.clear()
    cluster.asked.clear()
    result = cluster.run("cp2")
    assert (result["failed"], result["changed"]) == (True, False)
    assert "etcd was left as it is" in result["msg"]
    assert "cp1" in result["msg"]
    assert cluster.asked == [("components", "")]


def test_the_next_run_tries_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.pending = ["etcd"]
    cluster.turns["etcd"] = {"failed": True, "msg": "not healthy"}
    cluster.run("cp1")
    cluster.turns.clear()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert cluster.run("cp2")["restarted"] == ["etcd"]


@pytest.mark.parametrize(
    "end",
    [
        {"failed": True, "msg": "etcd is not healthy", "restart_pending": False, "started": True},
        {"failed": True, "msg": "no module"},
        {"unreachable": True, "msg": "no route"},
    ],
)
def test_a_call_that_fails_takes_no_turn(cluster: Cluster, end: dict[str, Any], tmp_path: Path) -> None:
    cluster.first = end
    assert end.items() <= cluster.run().items()
    assert cluster.asked == [("components", "")]
    assert os.listdir(tmp_path) == []


def test_secret_contents_are_under_secrets_and_nowhere_else(cluster: Cluster) -> None:
    cluster.pending = ["etcd", "kube_scheduler", "kubelet"]
    result = cluster.run()
    secrets = [args.pop("secrets") for args in cluster.args]
    assert secrets == [SECRETS, {"/e": "hidden-e"}, {"/s": "hidden-s"}, {}]
    assert "hidden" not in str(cluster.args)
    assert "hidden" not in str(result)
    assert cluster.args[0]["components"]["kubelet"]["files"] == COMPONENTS["kubelet"]["files"]


def test_who_names_no_lease_takes_turns_without_one(cluster: Cluster) -> None:
    """A local balancer says so."""
    cluster.pending = ["kubelet"]
    cluster.run(components={"kubelet": {"name": "kubelet", "lease": None}})
    assert "turn" not in cluster.args[-1]
    assert all("lease" not in args for args in cluster.args)


def test_a_lease_goes_along_with_the_turn_alone(cluster: Cluster, pki: Any) -> None:
    cluster.pending = ["load_balancer"]
    lease = {"servers": ["https://192.168.60.11:6443"], "pki_dir": pki.folder, "passphrase": ""}
    cluster.run(components={"load_balancer": {"name": "load-balancer", "lease": lease}})
    assert "lease" not in cluster.args[0]["components"]["load_balancer"]
    assert cluster.args[-1]["turn"]["servers"] == lease["servers"]
    assert "PRIVATE KEY" in cluster.args[-1]["client_key"]
