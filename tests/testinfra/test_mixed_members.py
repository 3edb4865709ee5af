"""Some API servers with a member of etcd beside them, some without; then those hosts leave etcd alone, as docs/nodes.md says."""

from __future__ import annotations

import json
import re

import pytest
from lab_cluster import (
    ETCDCTL,
    HOSTVARS,
    REPOSITORY,
    SERVERS,
    await_whole,
    changes_nothing,
    green,
    group,
    lab,
    processes,
    restarted_by_a_run,
    roll_out,
    through,
)
from lab_growth import grown
from lab_losses import READS_WITHIN
from lab_removal import members, words

APART, BESIDE = group("etcd"), SERVERS[:2]
pytestmark = [
    pytest.mark.last,
    pytest.mark.skipif(len(SERVERS) < 3 or bool(set(APART) & set(SERVERS)), reason="for etcd on hosts of its own"),
]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Options that put two of three control-plane hosts into the group etcd too."""
    return grown(tmp_path_factory.mktemp("mixed"), etcd=BESIDE)


def asked(on, name: str) -> set[str]:
    """The hosts of the members that an API server asks, by its process."""
    pid = on(name).check_output("systemctl show -P MainPID kube-apiserver")
    command = on(name).check_output(f"tr '\\0' ' ' </proc/{pid}/cmdline")
    return set(re.findall(r"https://([\d.]+):2379", command))


def addresses(names: list[str]) -> set[str]:
    """Where hosts are."""
    return {HOSTVARS[name]["ansible_host"] for name in names}


def test_members_come_to_some_api_servers(on, playbook, mixed):
    """Each of these asks its own one, the other API servers ask all; a second run finds nothing to do."""
    green(playbook, *mixed, "site.yml")
    assert members(on, APART[0]) == sorted(APART + BESIDE)
    for name in SERVERS:
        assert asked(on, name) == ({"127.0.0.1"} if name in BESIDE else addresses(APART + BESIDE))
    changes_nothing(green(playbook, *mixed, "site.yml"))
    await_whole(playbook, *mixed)


def test_a_mixed_cluster_loses_one_of_each(playbook, kubectl, mixed, asking):
    """An API server with its member, and a member of those apart."""
    lost = [BESIDE[0], APART[-1]]
    client = asking(group("worker")[0], reads=True)
    lab("stop", *lost)
    try:
        others = through(kubectl, SERVERS[-1])
        roll_out(others, "mixed")
        assert client.longest_wait(f"{' and '.join(lost)} lost, of five members of etcd", READS_WITHIN) < READS_WITHIN
    finally:
        lab("start", *lost)
    await_whole(playbook, *mixed)


def test_hosts_that_leave_one_group_only(on, playbook, tmp_path):
    """The steps of the page, with its own playbook: nothing of etcd is left there, and the API server goes on."""
    page = (REPOSITORY / "docs" / "nodes.md").read_text().split("## A host that leaves one group only")[1]
    play = re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1)
    assert "hosts: cp3\n" in play
    (tmp_path / "take.yml").write_text(play.replace("hosts: cp3\n", f"hosts: {','.join(BESIDE)}\n"))
    listed = json.loads(on(APART[0]).check_output(f"{ETCDCTL} member list -w json"))["members"]
    for member in listed:
        if member["name"] in BESIDE:
            on(APART[0]).check_output(f"{ETCDCTL} member remove {member['ID']:x}")
    told = playbook("playbooks/verify.yml")
    assert told.returncode == 2, told.stdout[-4000:]
    assert f"{', '.join(sorted(BESIDE))}: has the unit etcd, and is not in the group etcd" in words(told)

    green(playbook, str(tmp_path / "take.yml"))
    for name in BESIDE:
        assert not on(name).file("/etc/systemd/system/etcd.service").exists
        assert not on(name).file("/etc/etcd").exists
        assert not on(name).file("/var/lib/etcd/member").exists
    before = processes(on, APART + SERVERS)
    # First those whose API server has no etcd now: until then the third is the only one that is ready, and can't be missed.
    green(playbook, "site.yml", "--limit", ",".join(APART + BESIDE))
    green(playbook, "site.yml")
    assert restarted_by_a_run(before, processes(on, APART + SERVERS)) <= {(name, "kube-apiserver") for name in SERVERS}
    for name in SERVERS:
        assert asked(on, name) == addresses(APART)
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)
