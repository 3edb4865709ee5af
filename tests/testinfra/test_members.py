"""Members of etcd that lost their disk or were removed by hand: nothing is guessed, and what the message says to do works."""

from __future__ import annotations

import json
import re
import time

import pytest
from lab_cluster import ETCDCTL, SERVERS, changes_nothing, green, group, processes, restarted

MEMBERS = group("etcd")
pytestmark = pytest.mark.skipif(
    bool(set(MEMBERS) & set(SERVERS)) or len(MEMBERS) < 3, reason="for etcd on hosts of its own"
)
REST, LAST = MEMBERS[:-1], MEMBERS[-1:]
TRIES, TRIES_WITHIN = 2, 60  # how often systemd starts a unit that fails again, within so many seconds


def etcdctl(on, *words):
    """What etcdctl says on a host that has not lost anything."""
    return on(REST[0]).check_output(f"{ETCDCTL} {' '.join(words)}")


def listed(on):
    """Members by name, those that do not vote left out."""
    members = json.loads(etcdctl(on, "member", "list", "-w", "json"))["members"]
    return {member.get("name"): f"{member['ID']:x}" for member in members if not member.get("isLearner")}


def words(result):
    """What a run said, on one line."""
    return re.sub(r"\s+", " ", result.stdout)


def joins_anew(on, playbook, before):
    """The next run makes it a member again, and touches no other."""
    green(playbook, "site.yml")
    assert sorted(listed(on)) == MEMBERS
    assert restarted(before, processes(on, REST)) == set()
    changes_nothing(green(playbook, "site.yml"))
    green(playbook, "playbooks/verify.yml")


def tries_in_vain(host):
    """Waits until systemd has started etcd again a few times."""
    end = time.monotonic() + TRIES_WITHIN
    while True:
        tries = int(host.check_output("systemctl show etcd --property=NRestarts --value"))
        if tries >= TRIES or time.monotonic() > end:
            break
    assert tries >= TRIES


@pytest.mark.usefixtures("healed")
def test_a_member_whose_disk_was_emptied(on, playbook):
    """It does not come up by itself, the run says what to do, and that works."""
    (name,) = LAST
    before = processes(on, REST)
    on(name).check_output("systemctl stop etcd && rm -rf /var/lib/etcd/member && systemctl start --no-block etcd")
    tries_in_vain(on(name))
    assert on(name).run("ls /var/lib/etcd/member/wal/*.wal").rc != 0
    result = playbook("site.yml")
    assert result.returncode == 2, result.stdout[-4000:]
    changes_nothing(result)
    command = re.search(r"etcdctl member remove ([0-9a-f]+)", words(result))
    assert command, result.stdout[-4000:]
    assert command.group(1) == listed(on)[name]
    etcdctl(on, "member", "remove", command.group(1))
    joins_anew(on, playbook, before)


@pytest.mark.usefixtures("healed")
def test_a_member_that_was_removed_by_hand(on, playbook):
    """Its host still has the data and is in the inventory: refused before anything is changed, until the data is gone."""
    (name,) = LAST
    before = processes(on, REST)
    etcdctl(on, "member", "remove", listed(on)[name])
    result = playbook("site.yml")
    assert result.returncode == 2, result.stdout[-4000:]
    changes_nothing(result)
    assert f"{name}: holds data of a member that the cluster does not list" in words(result)
    on(name).check_output("systemctl stop etcd && rm -rf /var/lib/etcd/member")
    joins_anew(on, playbook, before)
