"""playbooks/remove_node.yml for tests, and what is left where a host was removed."""

from __future__ import annotations

import json
import re

from lab_cluster import ETCDCTL, HOSTVARS, changes_nothing, units

# What the roles install, keys and certificates among it.
INSTALLED = ["/etc/kubernetes", "/etc/etcd", "/etc/containerd", "/opt/hardway", "/var/lib/hardway"]


def removal(name: str, *more: str) -> list[str]:
    """Arguments that take one host out; more are further variables."""
    variables = [f"remove_hosts={name}", *more]
    return ["playbooks/remove_node.yml", *(word for variable in variables for word in ("-e", variable))]


def words(result) -> str:
    """What a run said, on one line."""
    return re.sub(r"\s+", " ", result.stdout)


def nodes(kubectl) -> list[str]:
    """Names of all nodes."""
    return sorted(item["metadata"]["name"] for item in json.loads(kubectl("get", "nodes", "-o", "json"))["items"])


def members(on, name: str) -> list[str]:
    """Names of etcd's members, as the one on this host knows them; those that do not vote left out."""
    listed = json.loads(on(name).check_output(f"{ETCDCTL} member list -w json"))["members"]
    return sorted(member.get("name", "") for member in listed if not member.get("isLearner"))


def is_bare(on, name: str, ran: list[str] | None = None) -> None:
    """No service of ours is left on a host, and no key; it ran what the inventory says, or these."""
    for unit in units(name) if ran is None else ran:
        assert not on(name).file(f"/etc/systemd/system/{unit}.service").exists, unit
    assert [path for path in INSTALLED if on(name).file(path).exists] == []


def knowing(on, name: str, hosts: list[str]) -> set[str]:
    """Those of other hosts whose services are told a host's address: servers of a pool, endpoints of etcd, peers."""
    address = HOSTVARS[name]["ansible_host"]
    look = f"grep -rlwF {address} /etc/kubernetes /etc/systemd/system"
    return {host for host in hosts if host != name and on(host).run(look).stdout}


def old_data_is_moved_away(on, playbook, name: str) -> None:
    """A member that was removed while it was dead is back: site.yml refuses its data, with the command that mends it."""
    refused = playbook("site.yml")
    assert refused.returncode == 2, refused.stdout[-4000:]
    assert f"{name}: holds data of a member that the cluster does not list" in words(refused)
    assert "take it out of the group etcd in the inventory" in words(refused)
    changes_nothing(refused)
    command = re.search(r"systemctl stop etcd && mv [\w/.-]+ [\w/.-]+", words(refused))
    assert command, refused.stdout[-4000:]
    on(name).check_output(command.group(0))
    assert on(name).file("/var/lib/etcd/member.removed").is_directory
