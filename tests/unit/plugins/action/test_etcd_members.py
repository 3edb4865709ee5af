"""The controller's half of membership: the plan's step on each host, new clusters side by side, joins one after the other."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki

PEERS = {host: f"https://{host}:2380" for host in ("cp1", "cp2", "cp3")}
BARE = {"data": False, "begun": None, "cluster": None, "members": None, "unhealthy": {}, "reason": "refused"}
LONE = {"id": "1", "name": "cp1", "peer_urls": [PEERS["cp1"]], "client_urls": ["https://cp1:2379"], "learner": False}
JOINS = dict(BARE, cluster="77", members=[LONE], reason=None)
COMPONENT = {
    "name": "etcd",
    "unit": "[Service]\nExecStart=/bin/sleep 600\n",
    "files": [{"path": "/etc/etcd/other", "content": "x"}],
    "healthy": {"url": "http://127.0.0.1:2381/health", "within": 90},
    "wait_first_start": False,
    "lease": {"servers": ["https://cp1:6443"], "pki_dir": "/nowhere"},
}


class Cluster:
    """Hosts whose module answers come from what is set here."""

    def __init__(self, host: SimpleNamespace, pki: Pki, folder: Path) -> None:
        self.host, self.pki, self.folder = host, pki, folder
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.failing: dict[str, str] = {}
        self.joining: set[str] = set()
        self.together = 0
        self.seen = {"cp1": dict(JOINS, data=True), "cp2": dict(JOINS), "cp3": dict(JOINS)}
        self.pki_dir = pki.folder

    def run(self, name: str, check: bool = False, **more: Any) -> dict[str, Any]:
        args = {
            "name": f"node-of-{name}",
            "peer_url": PEERS[name],
            "servers": ["https://127.0.0.1:2379"],
            "wal_dir": "/var/lib/etcd/member/wal",
            "bootstrap": "/etc/etcd/bootstrap.env",
            "pki_dir": self.pki_dir,
            "passphrase": "",
            "state": "present",
            "seen": self.seen,
            "peers": PEERS,
            "token": "example",
            "component": COMPONENT,
            "within": 300,
            **more,
        }
        task_vars = {"inventory_hostname": name, "cluster_controller_dir": str(self.folder / "example")}
        return self.host.run_action("etcd_members", args, check, task_vars, lambda *asked: self.answer(name, *asked))

    def answer(self, name: str, module: str, args: dict[str, Any]) -> dict[str, Any]:
        step = args["step"] if module == "etcd_members" else module
        self.asked.append((name, step, args))
        if step in ("announce", "component"):
            self.joining.add(name)
            self.together = max(self.together, len(self.joining))
            time.sleep(0.02)
        if self.failing.get(name) == step:
            self.joining.discard(name)
            return {"failed": True, "changed": False, "msg": f"{step} failed"}
        if step == "announce":
            return {"changed": True, "initial_cluster": f"member-1={PEERS['cp1']},node-of-{name}={PEERS[name]}"}
        if step == "component":
            return {"changed": True, "diff": [{"after": "started"}]}
        if step == "promote":
            self.joining.discard(name)
        return {"changed": True, "promoted": True, "seen": BARE}

    def steps(self, name: str) -> list[str]:
        return [step for host, step, _args in self.asked if host == name]

    def wish(self, name: str) -> dict[str, Any]:
        """The component as it was started on a host."""
        (args,) = [args for host, step, args in self.asked if (host, step) == (name, "component")]
        return args


@pytest.fixture
def cluster(host: SimpleNamespace, pki: Pki, tmp_path: Path) -> Cluster:
    return Cluster(host, pki, tmp_path)


def test_a_look_goes_with_an_hours_access_and_no_authoritys_key(cluster: Cluster) -> None:
    assert cluster.run("cp1", state="inspected")["seen"] == BARE
    ((_host, step, args),) = cluster.asked
    assert step == "look"
    assert args["ca"] == cluster.pki.read("etcd-ca.crt")
    assert "PRIVATE KEY" in args["client_key"]
    assert not {"pki_dir", "passphrase", "seen", "component"} & set(args)
    assert cluster.pki.read("etcd-ca.key") not in str(args)


def test_before_there_are_authorities_only_the_disk_is_looked_at(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pki_dir = str(tmp_path / "none")
    cluster.run("cp1", state="inspected")
    assert not {"ca", "client_key"} & set(cluster.asked[0][2])


def test_a_folder_that_is_not_whole_stops(cluster: Cluster) -> None:
    os.unlink(f"{cluster.pki.folder}/etcd-ca.key")
    result = cluster.run("cp1", state="inspected")
    assert result["failed"]
    assert cluster.asked == []


def test_a_member_has_nothing_to_do(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.run("cp1") == {"changed": False, "plan": "none"}
    assert cluster.asked == []
    assert not (tmp_path / "example").exists()


def test_a_new_cluster_is_begun_with_all_members_and_nobody_waits(cluster: Cluster, tmp_path: Path) -> None:
    cluster.seen = {host: dict(BARE) for host in PEERS}
    result = cluster.run("cp2")
    assert (result["changed"], result["plan"]) == (True, "begin")
    assert cluster.steps("cp2") == ["component"]
    wish = cluster.wish("cp2")
    assert wish["files"] == [
        COMPONENT["files"][0],
        {
            "path": "/etc/etcd/bootstrap.env",
            "content": "ETCD_INITIAL_CLUSTER_STATE=new\nETCD_INITIAL_CLUSTER_TOKEN=example\n"
            "ETCD_INITIAL_CLUSTER=member-cp1=https://cp1:2380,node-of-cp2=https://cp2:2380,member-cp3=https://cp3:2380\n",
            "restart": False,
        },
    ]
    assert (wish["wait_first_start"], wish["restart"]) == (False, "now")
    assert "lease" not in wish
    assert not (tmp_path / "example").exists()  # no turn: all start side by side


def test_a_join_announces_starts_and_promotes(cluster: Cluster) -> None:
    result = cluster.run("cp2")
    assert (result["changed"], result["plan"]) == (True, "join")
    assert cluster.steps("cp2") == ["announce", "component", "promote"]
    wish = cluster.wish("cp2")
    assert wish["files"][-1]["content"] == (
        "ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER_TOKEN=example\n"
        "ETCD_INITIAL_CLUSTER=member-1=https://cp1:2380,node-of-cp2=https://cp2:2380\n"
    )
    assert (wish["wait_first_start"], wish["healthy"]["within"]) == (True, 300)
    assert COMPONENT["healthy"]["within"] == 90
    assert {"after": "started"} in result["diff"]
    assert "PRIVATE" not in str(result)


def test_a_learner_with_data_only_has_to_run_and_vote(cluster: Cluster) -> None:
    learner = {**LONE, "id": "2", "name": "cp2", "peer_urls": [PEERS["cp2"]], "learner": True}
    cluster.seen = {"cp2": dict(JOINS, data=True, members=[LONE, learner])}
    assert cluster.run("cp2")["plan"] == "promote"
    assert cluster.steps("cp2") == ["component", "promote"]
    assert cluster.wish("cp2")["files"] == COMPONENT["files"]


def test_joins_never_happen_together(cluster: Cluster) -> None:
    threads = [threading.Thread(target=cluster.run, args=(name,)) for name in ("cp2", "cp3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cluster.together == 1
    assert cluster.steps("cp2") == cluster.steps("cp3") == ["announce", "component", "promote"]


@pytest.mark.parametrize("step", ["announce", "component", "promote"])
def test_after_a_join_that_failed_no_other_is_tried(cluster: Cluster, step: str) -> None:
    cluster.failing = {"cp2": step}
    result = cluster.run("cp2")
    assert result["failed"]
    assert result["msg"] == f"{step} failed"
    assert cluster.steps("cp2")[-1] == step
    other = cluster.run("cp3")
    assert other["failed"]
    assert "left as it is" in other["msg"]
    assert cluster.steps("cp3") == []


@pytest.mark.parametrize("seen", [{"cp2": dict(BARE)}, {"cp2": dict(JOINS)}])
def test_a_refusal_names_the_host_and_changes_nothing(cluster: Cluster, seen: dict[str, Any]) -> None:
    cluster.seen = seen
    result = cluster.run("cp2")
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"].startswith("etcd on cp2: ")
    assert cluster.asked == []


@pytest.mark.parametrize("seen", [BARE, JOINS])
def test_check_mode_says_what_would_be_done(cluster: Cluster, seen: dict[str, Any], tmp_path: Path) -> None:
    cluster.seen = {host: dict(seen) for host in PEERS}
    result = cluster.run("cp2", check=True)
    assert result["changed"]
    assert "cp1, cp2, cp3" in result["diff"][0]["after"]
    assert cluster.asked == []
    assert not (tmp_path / "example").exists()


def test_with_real_members_and_a_real_process(
    host: SimpleNamespace, systemd: Any, fake_etcd: Any, pki: Pki, tmp_path: Path, serve: Callable[..., Any]
) -> None:
    """cp2 joins cp1 as Ansible would have it done: the process gets the settings of a new member, and then votes."""
    fake_etcd.member("cp1")
    health = serve()
    args = {
        "name": "cp2",
        "peer_url": fake_etcd.peer("cp2"),
        "servers": [fake_etcd.nobody, fake_etcd.url("cp1")],
        "wal_dir": str(tmp_path / "wal"),
        "bootstrap": str(tmp_path / "bootstrap.env"),
        "pki_dir": pki.folder,
        "within": 20,
    }
    task_vars = {"inventory_hostname": "cp2", "cluster_controller_dir": str(tmp_path / "controller")}
    seen = host.run_action("etcd_members", args, task_vars=task_vars)["seen"]
    component = {
        "name": "etcd",
        "unit": "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/sleep 600\n\n[Install]\nWantedBy=multi-user.target\n",
        "healthy": {"url": health.url},
    }
    peers = {"cp1": fake_etcd.peer("cp1"), "cp2": fake_etcd.peer("cp2")}
    present = {**args, "state": "present", "component": component, "peers": peers}
    refused = host.run_action("etcd_members", {**present, "seen": {"cp2": seen}}, task_vars=task_vars)
    assert "an even number" in refused["msg"]
    peers["cp3"] = fake_etcd.peer("cp3")
    result = host.run_action("etcd_members", {**present, "seen": {"cp2": seen, "cp3": seen}}, task_vars=task_vars)
    assert not result.get("failed"), result
    assert fake_etcd.verbs() == ["add", "promote"]
    assert "isLearner" not in fake_etcd.entry("cp2")
    assert systemd.pid("etcd.service")
    assert "ETCD_INITIAL_CLUSTER_STATE=existing" in (tmp_path / "bootstrap.env").read_text()


# ---- leaving ----


class Leaving:
    """A cluster of three, asked from a host that stays."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.members = [
            {**LONE, "id": str(number), "name": host, "peer_urls": [PEERS[host]]}
            for number, host in enumerate(PEERS, 0xA1)
        ]
        self.unhealthy: dict[str, str] = {}
        self.failing = ""
        self.addresses = dict(PEERS)
        cluster.answer = self.answer

    def run(self, *hosts: str, check: bool = False) -> dict[str, Any]:
        leaving = {host: self.addresses[host] for host in hosts}
        peers = {host: url for host, url in PEERS.items() if host not in hosts}
        names = {host: host for host in hosts}
        return self.cluster.run("cp3", check, state="absent", leaving=leaving, peers=peers, names=names)

    def answer(self, name: str, module: str, args: dict[str, Any]) -> dict[str, Any]:
        self.cluster.asked.append((name, args["step"], args))
        if args["step"] == self.failing:
            return {"failed": True, "changed": False, "msg": "no"}
        if args["step"] == "remove":
            self.members = [member for member in self.members if member["id"] != args["member_id"]]
            return {"changed": True}
        assert args["health"] is True
        members = [dict(member) for member in self.members]
        return {"changed": False, "seen": dict(BARE, members=members, unhealthy=self.unhealthy)}


@pytest.fixture
def leaving(cluster: Cluster) -> Leaving:
    return Leaving(cluster)


def test_members_leave_one_by_one_with_a_look_before_each(leaving: Leaving) -> None:
    result = leaving.run("cp1", "cp2")
    assert (result["changed"], result["left"]) == (True, ["cp1", "cp2"])
    assert leaving.cluster.steps("cp3") == ["look", "remove", "look", "remove"]
    assert [entry["before"] for entry in result["diff"]] == ["cp1 has the member a1\n", "cp2 has the member a2\n"]
    assert "PRIVATE" not in str(result)
    again = leaving.run("cp1", "cp2")
    assert (again["changed"], again["left"], again["diff"]) == (False, [], [])


def test_a_member_leaves_with_access_to_the_lease_of_all_controllers(leaving: Leaving, pki: Pki) -> None:
    own = {"servers": ["https://cp3:6443"], "pki_dir": pki.folder}
    leaving.cluster.run("cp3", state="absent", leaving={"cp1": PEERS["cp1"]}, names={}, peers={}, lease=own)
    (args,) = [args for _host, step, args in leaving.cluster.asked if step == "remove"]
    assert (args["turn"]["name"], args["turn"]["servers"]) == ("hardway-restarts", own["servers"])
    assert args["turn"]["holder"].endswith(", cp3")
    assert "PRIVATE KEY" in args["turn_key"]
    assert "PRIVATE KEY" not in str(args["turn"])
    assert "lease" not in args


def test_a_member_at_another_address_stays(leaving: Leaving) -> None:
    leaving.addresses["cp1"] = "https://new:2380"
    result = leaving.run("cp1")
    assert (result["failed"], result["changed"]) == (True, False)
    assert "may be a member at another one: etcd lists cp1 (https://cp1:2380)" in result["msg"]


def test_a_quorum_that_would_be_lost_keeps_them(leaving: Leaving) -> None:
    leaving.unhealthy = {"cp2": "off"}
    result = leaving.run("cp1")
    assert (result["failed"], result["changed"]) == (True, False)
    assert "of the 2 members that would be left 1 serve" in result["msg"]
    assert leaving.cluster.steps("cp3") == ["look"]


@pytest.mark.parametrize("step", ["look", "remove"])
def test_a_failure_ends_it(leaving: Leaving, step: str) -> None:
    leaving.failing = step
    result = leaving.run("cp1", "cp2")
    assert (result["failed"], result["changed"], result["msg"]) == (True, False, "no")
    assert leaving.cluster.steps("cp3")[-1] == step


def test_check_mode_names_all_that_would_leave(leaving: Leaving, tmp_path: Path) -> None:
    result = leaving.run("cp1", "cp2", check=True)
    assert (result["changed"], result["left"]) == (True, ["cp1", "cp2"])
    assert leaving.cluster.steps("cp3") == ["look"]
    assert not (tmp_path / "example").exists()
