"""The sample of somebody else's repository, without its hosts: who is in which play, and what stops before a host is touched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import REPOSITORY, ansible_playbook, refused

SAMPLE = REPOSITORY / "tests" / "reuse" / "repository"
# The checkout is its collection.
THERE: Any = {"cwd": SAMPLE, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections")}
GROUPS = yaml.safe_load((SAMPLE / "plant" / "groups.yml").read_text())
PLANT = {"brain1", "brain2", "brain3", "hand1"}
BRAINS = PLANT - {"hand1"}


def plays(*arguments: str) -> dict[str, list[set[str]]]:
    """By playbook, the hosts of each play."""
    done = ansible_playbook("--list-hosts", *arguments, **THERE)
    assert done.returncode == 0, done.stderr
    found = {}
    for told in done.stdout.split("playbook: ")[1:]:
        blocks = re.findall(r"hosts \(\d+\):((?:\n      \S+)*)", told)
        found[told.split()[0]] = [set(block.split()) for block in blocks]
    return found


# ---- every group renamed ----

RENAMED = ["-i", "plant/hosts.yml", "-e", "@plant/groups.yml"]


PLAYBOOKS = [f"hardway.kubernetes.{path.stem}" for path in sorted((REPOSITORY / "playbooks").glob("*.yml"))]


def test_all_playbooks_are_about_the_renamed_groups():
    """The other cluster's hosts, in groups of the usual names, are in no play."""
    found = plays(*RENAMED, *PLAYBOOKS)
    assert len(found) == len(PLAYBOOKS) >= 8
    assert {name for name, hosts in found.items() if set().union(*hosts) != PLANT} == set()
    (site,) = (hosts for name, hosts in found.items() if name.endswith("site") or name.endswith("site.yml"))
    assert site == [PLANT, BRAINS, BRAINS, PLANT, PLANT]


@pytest.mark.parametrize(("limit", "hosts"), [("hand1", {"hand1"}), ("plant_store", BRAINS)])
def test_limit_takes_the_inventorys_own_names(limit, hosts):
    """Of hosts and of groups."""
    found = plays(*RENAMED, "--limit", limit, *(f"hardway.kubernetes.{name}" for name in ("site", "verify", "reset")))
    assert len(found) == 3
    assert [set().union(*one) for one in found.values()] == [hosts] * 3


def test_names_as_variables_of_an_imported_playbook(tmp_path):
    """The other way to give them, for those who want a playbook of their own."""
    wrapper = tmp_path / "plant.yml"
    play = {"name": "The plant", "ansible.builtin.import_playbook": "hardway.kubernetes.site", "vars": GROUPS}
    wrapper.write_text(yaml.safe_dump([play]))
    (found,) = plays("-i", "plant/hosts.yml", str(wrapper)).values()
    assert found == [PLANT, BRAINS, BRAINS, PLANT, PLANT]


def test_a_pair_of_balancers_under_another_name(tmp_path):
    """All six groups have names."""
    more = tmp_path / "more.yml"
    more.write_text("all: {children: {plant_doors: {hosts: {door1: {}, door2: {}}}}}\n")
    (found,) = plays(*RENAMED, "-i", str(more), "hardway.kubernetes.site").values()
    assert found[0] == PLANT | {"door1", "door2"}


@pytest.mark.parametrize("name", ["site", "reset", "remove_node"])
def test_names_in_the_inventory_are_told(name, tmp_path):
    """Roles would know them, and plays would not."""
    inventory = tmp_path / "hosts.yml"
    text = (REPOSITORY / "inventory" / "external_etcd" / "hosts.yml").read_text().replace("    etcd:", "    stores:")
    inventory.write_text(text)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("{cluster_name: plant, cluster_etcd_group: stores}\n")
    told = ["-e", "reset_confirm=plant", "-e", "remove_hosts=etcd1"]
    output = refused("-i", inventory, f"hardway.kubernetes.{name}", *told, **THERE)
    assert "etcd1, etcd2, etcd3: in the cluster's groups, but in none of the playbook's plays" in output
    assert "tell them with -e or with vars of import_playbook" in output


@pytest.mark.parametrize("name", ["site", "remove_node"])
def test_a_name_in_the_inventory_that_only_api_servers_have_is_told(name, tmp_path):
    """Their hosts are in other groups as well, and the play for them alone would be passed over."""
    text = (
        (REPOSITORY / "inventory" / "stacked" / "hosts.yml").read_text().replace("    kube_apiserver:", "    masters:")
    )
    (tmp_path / "hosts.yml").write_text(text)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("{cluster_name: plant, cluster_kube_apiserver_group: masters}\n")
    told = ["-e", "remove_hosts=worker2"]
    result = ansible_playbook("-i", tmp_path / "hosts.yml", f"hardway.kubernetes.{name}", *told, **THERE)
    assert result.returncode not in (0, 2)
    assert "no host in the group kube_apiserver" in re.sub(r"\s+", " ", result.stderr)


@pytest.mark.parametrize("name", ["site", "verify", "reset", "remove_node"])
def test_an_inventory_with_none_of_the_groups(name):
    """A playbook that would do nothing says so."""
    result = ansible_playbook("-i", "store/hosts.yml", f"hardway.kubernetes.{name}", **THERE)
    assert result.returncode not in (0, 2)
    words = re.sub(r"\s+", " ", result.stderr)
    assert "the inventory has none of the groups kube_apiserver, etcd," in words


# ---- roles alone ----


def alone(folder: Path, role: str, **variables: object) -> str:
    """What a role says that is used alone, on a host that is not there."""
    playbook = folder / "alone.yml"
    play = {"hosts": "boxes", "gather_facts": False, "roles": [f"hardway.kubernetes.{role}"]}
    playbook.write_text(yaml.safe_dump([play]))
    return refused("-i", "boxes/hosts.yml", playbook, "-e", json.dumps(variables), HOME=str(folder), **THERE)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("etcd", ["box1: is not in the group etcd", "cluster_etcd_group"]),
        ("kube_apiserver", ["box1: is not in the group kube_apiserver", "cluster_kube_apiserver_group"]),
        ("kube_controller_manager", ["cluster_kube_controller_manager_group", "nothing says where the API is"]),
        ("kube_scheduler", ["cluster_kube_scheduler_group", "nothing says where the API is"]),
        (
            "kubelet",
            ["cluster_kube_node_group", "nothing says where the API is", "Point cluster_controller_dir at its folder"],
        ),
        (
            "cni",
            ["cluster_kube_node_group", "nothing says where the API is", "Point cluster_controller_dir at its folder"],
        ),
        ("kube_proxy", ["cluster_kube_node_group", "nothing says where the API is"]),
        ("load_balancer", ["there is nothing to balance", "cluster_kube_apiserver_group"]),
        ("virtual_address", ["cluster_load_balancer_group", "there is nothing to balance"]),
        ("cluster_dns", ["nothing says where the API is"]),
        ("kubectl", ["nothing says where the API is"]),
    ],
)
def test_what_a_role_lacks_is_told_before_a_host_is_touched(tmp_path, role, words):
    """Host, variable and mend; no folder of authorities is made."""
    output = alone(tmp_path, role)
    assert f"Role {role} can't be used so. It changed nothing." in output
    for word in words:
        assert word in output
    assert not (tmp_path / ".config").exists()


@pytest.mark.parametrize("role", ["host", "containerd", "etcd", "kubelet"])
def test_a_name_that_no_role_knows(tmp_path, role):
    """As in the site playbook."""
    assert "Did you mean containerd__registries?" in alone(tmp_path, role, containerd__registry={})


def test_a_certificate_without_its_use(tmp_path):
    """The argument spec rejects what is missing."""
    wish = {"path": "/etc/shop/etcd", "ca": "etcd", "common_name": "shop"}
    output = alone(tmp_path, "certificates", certificates__extra=[wish])
    assert "missing required arguments: usages found in certificates__extra" in output
