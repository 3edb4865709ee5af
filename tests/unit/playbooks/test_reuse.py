"""The sample of somebody else's repository, without its hosts: who is in which play, and what stops before a host is touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE = REPOSITORY / "tests" / "reuse" / "repository"
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
GROUPS = yaml.safe_load((SAMPLE / "plant" / "groups.yml").read_text())
PLANT = {"brain1", "brain2", "brain3", "hand1"}
BRAINS = PLANT - {"hand1"}


def ansible(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """ansible-playbook with the checkout as its collection, and nothing of the caller's settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(REPOSITORY / ".collections")
    environment["HOME"] = str(home or environment["HOME"])
    return subprocess.run(
        [str(PLAYBOOK), *arguments], capture_output=True, text=True, check=False, cwd=SAMPLE, env=environment
    )


def plays(*arguments: str) -> list[set[str]]:
    """The hosts of each play."""
    result = ansible("--list-hosts", *arguments)
    assert result.returncode == 0, result.stderr
    blocks = re.findall(r"hosts \(\d+\):((?:\n      \S+)*)", result.stdout)
    return [set(block.split()) for block in blocks]


def refused(*arguments: str, home: Path | None = None) -> str:
    """What a run says that stops before it touches a host, on one line."""
    result = ansible(*arguments, home=home)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "UNREACHABLE" not in result.stdout
    return re.sub(r"\s+", " ", result.stdout + result.stderr)


# ---- every group renamed ----

RENAMED = ["-i", "plant/hosts.yml", "-e", "@plant/groups.yml"]


def test_the_site_playbook_is_about_the_renamed_groups():
    """The other cluster's hosts, in groups of the usual names, are in no play."""
    assert plays(*RENAMED, "hardway.kubernetes.site") == [PLANT, BRAINS, BRAINS, PLANT, PLANT]


@pytest.mark.parametrize("name", [path.stem for path in sorted((REPOSITORY / "playbooks").glob("*.yml"))])
def test_no_play_is_about_a_group_of_the_usual_name(name):
    """Whatever the playbook: with all names given, no other host is in it."""
    found = plays(*RENAMED, f"hardway.kubernetes.{name}")
    assert found
    assert set().union(*found) == PLANT


@pytest.mark.parametrize("name", ["site", "verify", "reset"])
def test_limit_takes_the_inventorys_own_names(name):
    """Of hosts and of groups."""
    for limit, hosts in (("hand1", {"hand1"}), ("plant_store", BRAINS)):
        assert set().union(*plays(*RENAMED, "--limit", limit, f"hardway.kubernetes.{name}")) == hosts


def test_names_as_variables_of_an_imported_playbook(tmp_path):
    """The other way to give them, for those who want a playbook of their own."""
    wrapper = tmp_path / "plant.yml"
    play = {"name": "The plant", "ansible.builtin.import_playbook": "hardway.kubernetes.site", "vars": GROUPS}
    wrapper.write_text(yaml.safe_dump([play]))
    assert plays("-i", "plant/hosts.yml", str(wrapper)) == [PLANT, BRAINS, BRAINS, PLANT, PLANT]


def test_a_pair_of_balancers_under_another_name(tmp_path):
    """All six groups have names."""
    more = tmp_path / "more.yml"
    more.write_text("all: {children: {plant_doors: {hosts: {door1: {}, door2: {}}}}}\n")
    assert plays(*RENAMED, "-i", str(more), "hardway.kubernetes.site")[0] == PLANT | {"door1", "door2"}


@pytest.mark.parametrize("name", ["site", "reset", "remove_node"])
def test_names_in_the_inventory_are_told(name, tmp_path):
    """Roles would know them, and plays would not."""
    inventory = tmp_path / "hosts.yml"
    text = (REPOSITORY / "inventory" / "external_etcd" / "hosts.yml").read_text().replace("    etcd:", "    stores:")
    inventory.write_text(text)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("{cluster_name: plant, cluster_etcd_group: stores}\n")
    output = refused(
        "-i", str(inventory), f"hardway.kubernetes.{name}", "-e", "reset_confirm=plant", "-e", "remove_hosts=etcd1"
    )
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
    result = ansible("-i", str(tmp_path / "hosts.yml"), f"hardway.kubernetes.{name}", "-e", "remove_hosts=worker2")
    assert result.returncode not in (0, 2)
    assert "no host in the group kube_apiserver" in re.sub(r"\s+", " ", result.stderr)


@pytest.mark.parametrize("name", ["site", "verify", "reset", "remove_node"])
def test_an_inventory_with_none_of_the_groups(name):
    """A playbook that would do nothing says so."""
    result = ansible("-i", "store/hosts.yml", f"hardway.kubernetes.{name}")
    assert result.returncode not in (0, 2)
    words = re.sub(r"\s+", " ", result.stderr)
    assert "the inventory has none of the groups kube_apiserver, etcd," in words


# ---- roles alone ----


def alone(folder: Path, role: str, **variables: object) -> str:
    """What a role says that is used alone, on a host that is not there."""
    playbook = folder / "alone.yml"
    play = {"hosts": "boxes", "gather_facts": False, "roles": [f"hardway.kubernetes.{role}"]}
    playbook.write_text(yaml.safe_dump([play]))
    return refused("-i", "boxes/hosts.yml", str(playbook), "-e", json.dumps(variables), home=folder)


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
