"""For hosts that stay, a host that leaves is as gone from their settings as if the inventory did not name it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import REPOSITORY, green

SHOWN = (
    "dict(__cluster__components"
    " | zip(query('ansible.builtin.vars', *(__cluster__components | hardway.kubernetes.role_variables('component')))))"
)


def made(inventory: Path, folder: Path, pki: Any, leaving: list[str]) -> dict[str, Any]:
    """By host that stays, what its components come to."""
    variables = {
        "role_path": str(REPOSITORY / "roles" / "cluster"),
        "cluster_controller_dir": str(Path(pki.folder).parent),
    }
    tasks = [
        {"ansible.builtin.import_tasks": str(REPOSITORY / "playbooks" / "tasks" / "variables.yml")},
        {"ansible.builtin.set_fact": {"__cluster__leaving": leaving}},
        {"ansible.builtin.set_fact": {"made": "{{ {'components': %s, 'follows': %s} }}" % (SHOWN, FOLLOWS)}},
    ]
    path = folder / "made.json"
    every = "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'made'))) | to_json }}"
    write = {"ansible.builtin.copy": {"dest": str(path), "content": every, "mode": "0600"}, "delegate_to": "localhost"}
    hosts = ["all", *("!" + host for host in leaving)]
    tasks.append({**write, "run_once": True})
    play = {"hosts": hosts, "gather_facts": False, "vars": variables, "tasks": tasks}
    (folder / "render.yml").write_text(json.dumps([play]))
    green("-i", inventory, folder / "render.yml")
    found = json.loads(path.read_text())
    for told in found.values():
        for component in told["components"].values():  # whom a gate asks first does not matter
            (component.get("restart_gate") or {}).get("others", []).sort(key=json.dumps)
    return found


FOLLOWS = "{'before': __cluster__follows_before, 'after': __cluster__follows_after}"


# Each node's part of the pods' network, to which all others have a route.
PARTS = {
    host: {"cni__pod_cidr": f"10.244.{number}.0/24,fd00:10:244:{number}::/64"}
    for number, host in enumerate(("cp1", "worker1", "worker2"))
}


def bridged(folder: Path, left_out: str = "") -> None:
    """Gives an inventory the network that knows every node's part."""
    hosts = {host: part for host, part in PARTS.items() if host != left_out}
    (folder / "bridge.json").write_text(json.dumps({"all": {"vars": {"cni__kind": "bridge"}, "hosts": hosts}}))


@pytest.mark.parametrize(
    ("topology", "leaves", "before", "after"),
    [
        ("stacked", "cp1", {"cp2": ["load_balancer"], "worker1": ["load_balancer"]}, {}),
        ("external_etcd", "etcd1", {"cp1": ["kube_apiserver"], "worker1": []}, {}),
        ("balanced", "lb1", {"lb2": []}, {"lb2": ["virtual_address"]}),
        ("balanced", "cp1", {"lb1": ["load_balancer"], "lb2": ["load_balancer"], "cp2": []}, {}),
        ("dual_stack", "worker2", {"cp1": []}, {"cp1": ["cni"], "worker1": ["cni"]}),
    ],
)
def test_the_rest_is_as_with_a_smaller_inventory(
    made_pki: Any,
    tmp_path: Path,
    topology: str,
    leaves: str,
    before: dict[str, list[str]],
    after: dict[str, list[str]],
) -> None:
    whole, smaller = tmp_path / "whole", tmp_path / "smaller"
    shutil.copytree(REPOSITORY / "inventory" / topology, whole)
    shutil.copytree(whole, smaller)
    if topology == "dual_stack":
        bridged(whole)
        bridged(smaller, leaves)
    listed = yaml.safe_load((smaller / "hosts.yml").read_text())
    for group in listed["all"]["children"].values():
        group.get("hosts", {}).pop(leaves, None)
    (smaller / "hosts.yml").write_text(yaml.safe_dump(listed, sort_keys=False))
    here = made(whole, tmp_path, made_pki, [leaves])
    there = made(smaller, tmp_path, made_pki, [])
    assert sorted(here) == sorted(there)
    assert len(here) > 1
    for host, told in there.items():
        assert here[host]["components"] == told["components"], host
        assert told["follows"] == {"before": [], "after": []}
    for host, roles in before.items():
        assert [role for role in here[host]["follows"]["before"] if role in here[host]["components"]] == roles
    for host, told in here.items():
        ours = [role for role in told["follows"]["after"] if role in told["components"]]
        assert ours == after.get(host, []), host
    if "virtual_address" in after.get("lb2", []):  # alone it goes on as unicast: a change would let go of the address
        texts = {file["path"]: file["content"] for file in here["lb2"]["components"]["virtual_address"]["files"]}
        alone = texts["/etc/kubernetes/virtual-address/keepalived.conf"]
        assert "unicast_peer {\n    127.0.0.1 min_ttl 255 max_ttl 255\n  }" in alone
        assert "state BACKUP\n  nopreempt\n" in alone


def told(folder: Path, expression: str, leaving: list[str], **variables: Any) -> Any:
    """What an expression comes to on cp1, which is no node, where an etcd of its own is."""
    more = {"all": {"hosts": {"worker1": {"kubelet__drain_within": 900}, "worker2": {"kubelet__drain_within": 20}}}}
    (folder / "more.yml").write_text(json.dumps(more))
    path = folder / "told.json"
    write = {"dest": str(path), "content": "{{ (%s) | to_json }}" % expression, "mode": "0600"}
    tasks = [
        {"ansible.builtin.import_tasks": str(REPOSITORY / "playbooks" / "tasks" / "variables.yml")},
        {"ansible.builtin.set_fact": {"__cluster__leaving": leaving}},
        {"ansible.builtin.copy": write, "delegate_to": "localhost"},
    ]
    wish = {"role_path": str(REPOSITORY / "roles" / "cluster"), **variables}
    (folder / "told.yml").write_text(
        json.dumps([{"hosts": "cp1", "gather_facts": False, "vars": wish, "tasks": tasks}])
    )
    green("-i", "inventory/external_etcd", "-i", folder / "more.yml", folder / "told.yml")
    return json.loads(path.read_text())


def test_nodes_that_leave_say_how_long_their_pods_have(tmp_path: Path) -> None:
    """The host with the API server that asks is no node, and has none of their variables."""
    assert told(tmp_path, "__kubelet__drain_within", ["worker1", "worker2"]) == 900
    assert told(tmp_path, "__kubelet__drain_within", ["worker2"]) == 20
    assert told(tmp_path, "__kubelet__drain_within", ["etcd1"]) == 300


def test_a_log_in_a_place_of_its_own_goes_with_the_data(tmp_path: Path) -> None:
    data = "[__etcd__directories | selectattr('data', 'defined') | map(attribute='path'), __etcd__unit.Service.ReadWritePaths]"
    usual = [["/var/lib/etcd"], "/var/lib/etcd"]
    assert told(tmp_path, data, []) == usual
    assert told(tmp_path, data, [], etcd__flags={"wal-dir": "/var/lib/etcd/member/wal"}) == usual
    apart = [["/var/lib/etcd", "/fast/wal"], "/var/lib/etcd /fast/wal"]
    assert told(tmp_path, data, [], etcd__flags={"wal-dir": "/fast/wal"}) == apart
