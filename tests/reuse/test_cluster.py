"""A cluster whose groups all have other names, and a worker that another repository joins to it: from bare hosts to bare hosts."""

from __future__ import annotations

import shutil

import pytest
import yaml
from lab_cluster import IMAGE, await_whole, changed, green, lab, roll_out, through
from lab_elsewhere import FIFTH, FIRST_THREE, FOURTH, ON_BARE_HOSTS

BRAINS, HAND, MACHINE = FIRST_THREE, FOURTH, FIFTH
pytestmark = ON_BARE_HOSTS
NAMES = ["brain1", "brain2", "brain3", "hand1"]
KUBELET = """
- name: The kubelet alone
  hosts: machines
  become: true
  gather_facts: false
  roles:
    - hardway.kubernetes.kubelet
"""
# What the role load_balancer adds to the machines' own playbooks.
AFTER_HOST = (
    "    - hardway.kubernetes.host\n",
    "    - hardway.kubernetes.host\n    - hardway.kubernetes.load_balancer\n",
)
AWAY = """
    - name: Remove the balancer
      ansible.builtin.import_role:
        name: hardway.kubernetes.load_balancer
        tasks_from: remove
"""
CONFIRM = ["-e", "reset_confirm=plant", "-e", "reset_data=true"]


@pytest.fixture(scope="module")
def plant(elsewhere):
    """Runs a playbook of the collection by its full name, with the groups' names."""

    def _plant(name, *arguments):
        return elsewhere.play("plant", f"hardway.kubernetes.{name}", "-e", "@plant/groups.yml", *arguments)

    return _plant


@pytest.fixture(scope="module")
def machines(elsewhere):
    """Runs a playbook of the repository that knows the cluster by its address."""

    def _machines(playbook, *arguments):
        return elsewhere.play("machines", f"machines/{playbook}.yml", *arguments)

    return _machines


@pytest.fixture(scope="module")
def kubectl_there(elsewhere):
    """As the administrator of the cluster's own repository."""
    return elsewhere.kubectl("plant")


def test_names_that_were_forgotten_are_told(elsewhere):
    """Groups of the usual names hold other hosts, and not all of them are there."""
    result = elsewhere.play("plant", "hardway.kubernetes.site")
    assert result.returncode == 4
    assert "the inventory has no host in the group kube_apiserver" in result.stderr
    assert "-e or with vars of import_playbook, such as cluster_kube_apiserver_group" in result.stderr
    assert result.stdout == ""  # not even a play began


def test_check_mode_on_bare_hosts(plant, on, elsewhere):
    """It says what would come, and nothing comes."""
    result = green(plant, "site", "--check")
    assert sorted(changed(result.stdout)) == NAMES
    assert min(changed(result.stdout).values()) > 0
    assert [name for name in [*BRAINS, HAND] if on(name).file("/etc/kubernetes").exists] == []
    assert not (elsewhere.home / ".config/hardway.kubernetes").exists()


def test_the_site_playbook(plant):
    """All hosts of the renamed groups, and no other; then nothing is left to do."""
    result = green(plant, "site")
    assert sorted(changed(result.stdout)) == NAMES
    again = green(plant, "site")
    assert changed(again.stdout) == dict.fromkeys(NAMES, 0), again.stdout[-4000:]


def test_it_works(plant, kubectl_there):
    """From its users' side; every host is looked at."""
    result = green(plant, "verify")
    assert sorted(changed(result.stdout)) == NAMES
    assert sorted(kubectl_there("get", "nodes", "-o", "name").split()) == [f"node/{name}" for name in NAMES]


def test_on_some_hosts_only(plant):
    """--limit takes hosts and groups of the inventory's own names, and touches no other."""
    for limit, hosts in (("hand1", ["hand1"]), ("plant_api", NAMES[:3])):
        result = green(plant, "site", "--limit", limit)
        assert changed(result.stdout) == dict.fromkeys(hosts, 0), result.stdout[-4000:]


def test_one_of_its_hosts_lost(plant, kubectl_there):
    """The first of each group; the others go on, and it comes back by itself."""
    lab("stop", BRAINS[0])
    try:
        roll_out(through(kubectl_there, BRAINS[1]), "while-one-is-off")
    finally:
        lab("start", BRAINS[0])
    await_whole(lambda _, *arguments: plant("verify", *arguments))


def test_its_shape(plant):
    """A topology's own playbook knows the groups too."""
    assert changed(green(plant, "stacked", "--check").stdout) == dict.fromkeys(NAMES, 0)


class TestJoin:
    """A worker from a repository that knows the cluster's address and its folder of authorities."""

    def test_a_folder_that_is_not_there_is_told(self, machines, on, elsewhere):
        """Nothing is made in its place."""
        (elsewhere.folder / "machines" / "kubelet.yml").write_text(KUBELET)
        result = machines("kubelet", "-e", "cluster_controller_dir=~/nowhere")
        assert result.returncode == 2
        assert "Point cluster_controller_dir at its folder" in result.stdout
        assert not (elsewhere.home / "nowhere").exists()
        assert not on(MACHINE).file("/etc/kubernetes").exists

    def test_check_mode_on_a_bare_host(self, machines, on, kubectl_there):
        """It says what would come; neither the host nor the cluster is changed."""
        assert changed(green(machines, "site", "--check").stdout)["machine1"] > 0
        assert not on(MACHINE).file("/etc/kubernetes").exists
        assert "machine1" not in kubectl_there("get", "nodes", "-o", "name")

    def test_it_joins(self, machines, kubectl_there):
        """A second run changes nothing."""
        green(machines, "site")
        assert "machine1" in kubectl_there("get", "nodes", "-o", "name")
        again = green(machines, "site")
        assert changed(again.stdout) == {"machine1": 0}, again.stdout[-4000:]

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ("cluster_node_name=other", "is the node machine1, and its kubelet would register as other, a new node"),
            (
                "cni__kind=none",
                "is a node with the network of cni__kind flannel (unit flanneld), and cni__kind is none now",
            ),
        ],
        ids=["name", "network"],
    )
    def test_a_node_is_not_turned_to_something_else(self, machines, on, kubectl_there, setting, words):
        """Its pods would end, or lose their network: the role that would do it says so instead. Roles before it did their work."""
        result = machines("site", "-e", setting)
        assert result.returncode == 2, result.stdout[-4000:]
        assert words in " ".join(result.stdout.split())
        assert "node/other" not in kubectl_there("get", "nodes", "-o", "name")
        assert on(MACHINE).service("flanneld").is_running
        green(machines, "site")
        assert changed(green(machines, "site").stdout) == {"machine1": 0}

    def test_a_pod_runs_there_and_uses_services(self, kubectl_there):
        """It resolves and asks the API's Service: DNS, kube-proxy and the network of pods work on the new node."""
        kubectl_there(
            "run", "guest", f"--image={IMAGE}", "--overrides", '{"spec": {"nodeName": "machine1"}}', "--", "pause"
        )
        kubectl_there("wait", "pod/guest", "--for=condition=Ready", "--timeout=120s")
        command = [
            "exec",
            "guest",
            "--",
            "/agnhost",
            "connect",
            "--timeout=5s",
            "kubernetes.default.svc.cluster.local:443",
        ]
        kubectl_there(*command)
        kubectl_there("delete", "pod", "guest", "--wait=true", "--timeout=60s")

    def test_the_cluster_is_as_its_own_repository_has_it(self, plant):
        """Nothing of it was changed, and it still works."""
        result = green(plant, "site")
        assert changed(result.stdout) == dict.fromkeys(NAMES, 0), result.stdout[-4000:]
        green(plant, "verify")

    def test_it_leaves(self, machines, kubectl_there, on):
        """By its own playbook; the node object is the administrator's to delete."""
        green(machines, "remove")
        kubectl_there("delete", "node", "machine1")
        for path in ("/etc/kubernetes", "/etc/containerd", "/opt/hardway", "/var/lib/hardway"):
            assert not on(MACHINE).file(path).exists


class TestJoinByGroup:
    """The same worker where its repository knows the API servers: they are in a group, and it asks through a balancer of its own."""

    @pytest.fixture(scope="class")
    def grouped(self, elsewhere):
        """Runs a playbook of that repository; its API servers are in no play, so nobody needs SSH there."""
        folder = elsewhere.folder / "grouped"
        shutil.copytree(elsewhere.folder / "machines", folder)
        hosts = yaml.safe_load((folder / "hosts.yml").read_text())
        variables = hosts["all"]["children"]["machines"]["vars"]
        del variables["load_balancer__kind"], variables["cluster_api_endpoint"]
        variables["cluster_kube_apiserver_group"] = "brains"
        brains = {name: {"ansible_host": f"192.168.60.1{number}"} for number, name in enumerate(NAMES[:3], 1)}
        hosts["all"]["children"]["brains"] = {"hosts": brains, "vars": {"ansible_port": 1}}
        (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
        joins, leaves = folder / "site.yml", folder / "remove.yml"
        joins.write_text(joins.read_text().replace(*AFTER_HOST))
        leaves.write_text(leaves.read_text() + AWAY)

        return lambda playbook, *arguments: elsewhere.play("grouped", f"grouped/{playbook}.yml", *arguments)

    def test_it_joins(self, grouped, kubectl_there, on):
        """A second run changes nothing; the kubelet asks at loopback."""
        green(grouped, "site")
        again = green(grouped, "site")
        assert changed(again.stdout) == {"machine1": 0}, again.stdout[-4000:]
        kubectl_there("wait", "node/machine1", "--for=condition=Ready", "--timeout=60s")
        assert "server: https://127.0.0.1:7443" in on(MACHINE).check_output("cat /etc/kubernetes/kubelet/kubeconfig")

    def test_it_leaves(self, grouped, kubectl_there, on):
        """Its balancer too."""
        green(grouped, "remove")
        kubectl_there("delete", "node", "machine1")
        for path in ("/etc/kubernetes", "/etc/systemd/system/load-balancer.service", "/opt/hardway"):
            assert not on(MACHINE).file(path).exists


def test_it_is_taken_away(plant, on):
    """All of it, after its name was asked for; the folder of authorities stays."""
    refused = plant("reset", "-e", "reset_confirm=stacked")
    assert refused.returncode == 2
    assert "reset_confirm=plant" in refused.stdout
    green(plant, "reset", *CONFIRM)
    for name in [*BRAINS, HAND]:
        assert not on(name).file("/etc/kubernetes").exists
        assert not on(name).file("/etc/etcd").exists
