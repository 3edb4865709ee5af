"""For hosts that stay, a host that leaves is as gone from their settings as if the inventory did not name it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
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
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(folder / "render.yml")],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found = json.loads(path.read_text())
    for told in found.values():
        for component in told["components"].values():  # whom a gate asks first does not matter
            (component.get("restart_gate") or {}).get("others", []).sort(key=json.dumps)
    return found


FOLLOWS = "{'before': __cluster__follows_before, 'after': __cluster__follows_after}"


@pytest.mark.parametrize(
    ("topology", "leaves", "before", "after"),
    [
        ("stacked", "cp1", {"cp2": ["load_balancer"], "worker1": ["load_balancer"]}, {}),
        ("external_etcd", "etcd1", {"cp1": ["kube_apiserver"], "worker1": []}, {}),
        ("balanced", "lb1", {"lb2": []}, {"lb2": ["virtual_address"]}),
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
    smaller = tmp_path / "smaller"
    shutil.copytree(REPOSITORY / "inventory" / topology, smaller)
    listed = yaml.safe_load((smaller / "hosts.yml").read_text())
    for group in listed["all"]["children"].values():
        group.get("hosts", {}).pop(leaves, None)
    (smaller / "hosts.yml").write_text(yaml.safe_dump(listed, sort_keys=False))
    here = made(REPOSITORY / "inventory" / topology, tmp_path, made_pki, [leaves])
    there = made(smaller, tmp_path, made_pki, [])
    assert sorted(here) == sorted(there)
    assert len(here) > 2
    for host, told in there.items():
        assert here[host]["components"] == told["components"], host
        assert told["follows"] == {"before": [], "after": []}
    for host, roles in before.items():
        assert [role for role in here[host]["follows"]["before"] if role in here[host]["components"]] == roles
    for host, told in here.items():
        ours = [role for role in told["follows"]["after"] if role in told["components"]]
        assert ours == after.get(host, []), host
