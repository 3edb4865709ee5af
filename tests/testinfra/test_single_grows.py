"""A single host, a worker beside it, and two more hosts for the control plane: the API answers all the while."""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import re
import threading
import time
from pathlib import Path

import pytest
from lab_client import administrator
from lab_cluster import (
    ETCDCTL,
    HOSTVARS,
    IMAGE,
    NAME,
    SERVERS,
    await_whole,
    changes_nothing,
    green,
    group,
    lab,
    processes,
    restarted,
    roll_out,
)
from lab_growth import Learners, grown

LATER = group("later")
NEW = [name for name in LATER if name.startswith("cp")]
pytestmark = [pytest.mark.last, pytest.mark.skipif(not NEW, reason="for an inventory with hosts to grow by")]
WORKER = next((name for name in LATER if name.startswith("worker")), "")
ANSWERS_WITHIN = 5.0  # seconds that a client of the first server may have to wait


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    """Options that add hosts to groups of the lab's inventory."""
    folder = tmp_path_factory.mktemp("more")

    return functools.partial(grown, folder)


class Client(threading.Thread):
    """Reads from the first API server again and again, as the administrator."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.context, _server = administrator(folder)
        self.address = HOSTVARS[SERVERS[0]]["ansible_host"]
        self.ended = threading.Event()
        self.good: list[float] = []
        self.asked = 0

    def run(self) -> None:
        while not self.ended.is_set():
            self.asked += 1
            connection = http.client.HTTPSConnection(self.address, 6443, timeout=3, context=self.context)
            try:
                connection.request("GET", "/api/v1/namespaces/default/configmaps/keepsake")
                if connection.getresponse().status == 200:
                    self.good.append(time.monotonic())
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self.ended.wait(0.2)

    def longest(self) -> float:
        """Ends it; the longest time between two good answers, or after the last one."""
        self.ended.set()
        self.join()
        assert len(self.good) > 20
        return max(later - sooner for sooner, later in itertools.pairwise([*self.good, time.monotonic()]))


def test_one_host_with_something_in_it(playbook, kubectl):
    """From a bare host."""
    green(playbook, "playbooks/single.yml")
    kubectl("create", "configmap", "keepsake")
    roll_out(kubectl, "alone")


def test_a_worker_beside_it(playbook, kubectl, more, on):
    """The host itself is left alone, and a second run finds nothing to do."""
    before = processes(on, SERVERS)
    with_worker = more(worker=[WORKER])
    green(playbook, *with_worker, "playbooks/single.yml")
    kubectl("wait", "node", WORKER, "--for=condition=Ready", "--timeout=60s")
    assert restarted(before, processes(on, SERVERS)) == set()
    for mode in ([], ["--check"]):
        changes_nothing(green(playbook, *with_worker, "playbooks/single.yml", *mode))
    green(playbook, *with_worker, "playbooks/verify.yml")


def test_the_worker_serves_on_without_it(playbook, kubectl, more, on):
    """Pods there run on and Services lead to them while the only control plane is off; back, it finds them as they were."""
    pinned = json.dumps({"spec": {"nodeName": WORKER}})
    kubectl("run", "stays", f"--image={IMAGE}", "--overrides", pinned, "--", "netexec")
    kubectl("wait", "pod/stays", "--for=condition=Ready", "--timeout=120s")
    kubectl("expose", "pod", "stays", "--port=80", "--target-port=8080")
    service = kubectl("get", "service", "stays", "-o", "jsonpath={.spec.clusterIP}")
    pod = kubectl("get", "pod", "stays", "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID}")
    question = f"curl -sf --max-time 5 http://{service}/hostname"
    # The rules of a new Service come a moment later.
    assert on(WORKER).check_output(f"{question} --retry 10 --retry-all-errors") == "stays"
    lab("stop", SERVERS[0])
    try:
        for _question in range(5):
            assert on(WORKER).check_output(question) == "stays"
    finally:
        lab("start", SERVERS[0])
    await_whole(playbook, *more(worker=[WORKER]))
    same = kubectl("get", "pod", "stays", "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID}")
    assert same == pod
    kubectl("delete", "pod,service", "stays", "--wait=false")


def test_one_more_would_make_it_worse(playbook, more, on):
    """An even number of members, said before any host is touched; with --limit too."""
    result = playbook(*more(control_plane=NEW[:1]), "site.yml")
    assert result.returncode == 2
    assert "the group etcd has 2 members, an even number" in re.sub(r"\s+", " ", result.stdout)
    result = playbook(*more(control_plane=NEW), "site.yml", "--limit", ",".join([*SERVERS, NEW[0]]))
    assert result.returncode == 2
    assert f"with {NEW[0]} etcd would have 2 members, an even number" in re.sub(r"\s+", " ", result.stdout)
    assert not on(NEW[0]).file("/etc/etcd").exists


def test_no_empty_etcd_takes_the_place_of_the_one_with_the_cluster(playbook, kubectl, more, on):
    """A group of etcd that has new hosts alone, as after a slip in the inventory: refused before any host is touched."""
    before = processes(on, SERVERS)
    elsewhere = [*more(elsewhere=NEW[:1]), "-e", "cluster_etcd_group=elsewhere"]
    result = playbook(*elsewhere, "site.yml")
    assert result.returncode == 2, result.stdout[-4000:]
    changes_nothing(result)
    said = re.sub(r"\s+", " ", result.stdout)
    address = HOSTVARS[SERVERS[0]]["ansible_host"]
    assert f"{SERVERS[0]}: has served a cluster that keeps its objects in etcd at https://{address}:2379" in said
    assert f"the group of etcd ({NEW[0]}) holds no data" in said
    assert not on(NEW[0]).file("/etc/etcd").exists
    assert restarted(before, processes(on, SERVERS)) == set()
    assert "keepsake" in kubectl("get", "configmap", "keepsake")


def test_what_left_one_group_only_is_told(playbook, more):
    """The host goes on running it, and a verification names it."""
    result = playbook(*more(elsewhere=NEW[:1]), "-e", "cluster_kube_scheduler_group=elsewhere", "playbooks/verify.yml")
    assert result.returncode == 2, result.stdout[-4000:]
    said = re.sub(r"\s+", " ", result.stdout)
    assert f"{SERVERS[0]}: has the unit kube-scheduler, and is not in the group elsewhere" in said


def test_two_more_make_it_a_stacked_one(playbook, kubectl, more, on, tell, tmp_path):
    """Nothing is lost, nothing restarted but the balancer that learns of them, and the API never stops answering."""
    before = processes(on, SERVERS)
    client = Client(tmp_path)
    client.start()
    with Learners(SERVERS[0]) as learners:
        green(playbook, *more(control_plane=NEW, worker=[WORKER]), "playbooks/stacked.yml")
    assert max(len(listed) for listed in learners.seen) == 1, learners.seen
    assert len(set().union(*learners.seen)) == len(NEW), learners.seen
    longest = client.longest()
    tell("a single host becomes three", longest, client.asked - len(client.good))
    assert longest < ANSWERS_WITHIN
    assert restarted(before, processes(on, SERVERS)) <= {(SERVERS[0], "load-balancer")}
    listing = on(SERVERS[0]).check_output(f"{ETCDCTL} member list -w json")
    members = json.loads(listing)["members"]
    assert sorted(member["name"] for member in members) == sorted(SERVERS + NEW)
    assert not [member for member in members if member.get("isLearner")]
    for name in SERVERS + NEW:
        assert "keepsake" in kubectl("--context", f"{NAME}-{name}", "get", "configmap", "keepsake")
    changes_nothing(green(playbook, *more(control_plane=NEW, worker=[WORKER]), "playbooks/stacked.yml"))
    green(playbook, *more(control_plane=NEW, worker=[WORKER]), "playbooks/verify.yml")


def test_the_first_host_is_not_special_any_more(playbook, kubectl, more):
    """Without its power the cluster works on; with it, all is well again."""
    other = ["--context", f"{NAME}-{NEW[0]}"]
    lab("stop", SERVERS[0])
    try:
        kubectl(*other, "wait", "node", SERVERS[0], "--for=condition=Ready=Unknown", "--timeout=120s")
        roll_out(lambda *words: kubectl(*other, *words), "without-the-first")
    finally:
        lab("start", SERVERS[0])
    kubectl(*other, "wait", "node", SERVERS[0], "--for=condition=Ready", "--timeout=120s")
    green(playbook, *more(control_plane=NEW, worker=[WORKER]), "site.yml")


def test_it_is_taken_away_again(playbook, more):
    """The last one leaves bare hosts."""
    confirm = ["-e", f"reset_confirm={NAME}", "-e", "reset_data=true"]
    green(playbook, *more(control_plane=NEW, worker=[WORKER]), "playbooks/reset.yml", *confirm)
