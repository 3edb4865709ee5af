"""Reading a topology, writing the lab's own inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hwlab import inventory
from hwlab.paths import Lab
from hwlab.ui import LabError


def listing(**hosts: dict[str, Any]) -> dict[str, Any]:
    return {"_meta": {"hostvars": hosts}, "all": {"children": ["ungrouped"]}, "etcd": {"hosts": list(hosts)}}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "lab").mkdir()
    return Lab("test", tmp_path)


def test_hosts_addresses_and_version_are_read() -> None:
    both = {"cluster_version": "1.36.3"}
    topology = inventory.parse(
        "t", listing(b={"ansible_host": "10.0.0.2", **both}, a={"ansible_host": "10.0.0.1", **both})
    )
    assert dict(topology.addresses) == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert topology.kubernetes == "1.36.3"


def test_second_addresses_are_read_where_there_are_some() -> None:
    one, two = {"ansible_host": "10.0.0.1", "cluster_address_v6": "fd00::1:1"}, {"ansible_host": "10.0.0.2"}
    assert dict(inventory.parse("t", listing(a=one, b=two)).addresses_v6) == {"a": "fd00::1:1"}


def test_hosts_of_several_versions_have_none_in_common() -> None:
    one, two = ({"ansible_host": f"10.0.0.{n}", "cluster_version": f"1.{n}.0"} for n in (1, 2))
    assert inventory.parse("t", listing(a=one, b=two)).kubernetes is None


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ({}, "has no hosts"),
        ({"a": {}}, "host a has no ansible_host"),
        ({"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.1"}}, "a and b have the same"),
        ({"A_b": {"ansible_host": "10.0.0.1"}}, "can't be a host's name"),
        (
            {
                "a": {"ansible_host": "10.0.0.1", "lab_kind": "vm"},
                "b": {"ansible_host": "10.0.0.2", "lab_kind": "nspawn"},
            },
            "lab_kind must be the same for all hosts, not nspawn and vm",
        ),
    ],
)
def test_what_a_lab_cannot_run_is_refused(hosts: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError, match=words):
        inventory.parse("t", listing(**hosts))


def test_unknown_topology_names_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "inventory" / "stacked").mkdir(parents=True)
    with pytest.raises(LabError, match="inventory/ has: stacked"):
        inventory.directory(tmp_path, "nope")


def test_a_topology_with_a_slash_is_a_folder_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hosts.yml").touch()
    (tmp_path / "inventory" / "mine").mkdir(parents=True)
    assert inventory.directory(tmp_path, f"{tmp_path}/mine") == tmp_path / "mine"
    assert inventory.directory(tmp_path, "mine") == tmp_path / "inventory" / "mine"
    with pytest.raises(LabError, match=f"there is no folder {tmp_path}/nope"):
        inventory.directory(tmp_path, f"{tmp_path}/nope")


def test_a_folder_that_is_no_inventory_is_refused_before_ansible_runs_what_is_in_it() -> None:
    with pytest.raises(LabError, match="no file of hosts"):
        inventory.directory(Path("/"), str(Path(__file__).resolve().parents[3]))


def test_a_path_that_ansible_would_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    with pytest.raises(LabError, match="comma"):
        inventory.directory(tmp_path, f"{tmp_path}/a,b")


def test_a_folder_elsewhere_is_remembered_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert inventory.named("./mine/") == inventory.named("other/../mine") == f"{tmp_path}/mine"
    assert inventory.named("stacked") == "stacked"


def test_messages_name_the_folder_as_it_was_given() -> None:
    with pytest.raises(LabError, match="^inventory/t has no hosts"):
        inventory.parse("t", listing())
    with pytest.raises(LabError, match="^/tmp/t has no hosts"):
        inventory.parse("/tmp/t", listing())


def written(lab: Lab, kubernetes: str | None = None, kind: str = "nspawn") -> dict[str, Any]:
    topology = inventory.Topology("t", {"a": "10.0.0.2"}, None)
    inventory.write(lab, topology, kind, "http://10.0.0.1:8080", kubernetes)
    merged: dict[str, Any] = {}
    for path in sorted((lab.inventory / "group_vars" / "all").iterdir()):
        merged.update(yaml.safe_load(path.read_text()) or {})
    return merged


def test_inventory_connects_as_a_plain_user_with_the_labs_key(lab: Lab) -> None:
    values = written(lab)
    assert values["ansible_user"] == "admin"
    assert values["ansible_become"] is True
    assert values["ansible_ssh_private_key_file"] == str(lab.key)
    assert str(lab.known_hosts) in values["ansible_ssh_common_args"]
    assert yaml.safe_load((lab.inventory / "hosts.yml").read_text()) == {"all": {"hosts": {"a": {}}}}


def test_computed_variables_are_there_and_the_version_only_when_asked_for(lab: Lab) -> None:
    values = written(lab)
    assert values["release__mirror_url"] == "http://10.0.0.1:8080"
    assert values["cluster_controller_dir"] == str(lab.controller)
    assert values["kubectl__kubeconfig"] == str(lab.kubeconfig)
    assert "cluster_version" not in values
    assert written(lab, "1.35.4")["cluster_version"] == "1.35.4"


def test_exceptions_are_merged_below_what_is_computed(lab: Lab) -> None:
    (lab.repository / "lab" / "exceptions.yml").write_text("---\nkubelet__x: {a: 1}\nrelease__mirror_url: wrong\n")
    values = written(lab)
    assert values["kubelet__x"] == {"a": 1}
    assert values["release__mirror_url"] == "http://10.0.0.1:8080"
    (lab.repository / "lab" / "exceptions.yml").unlink()
    assert "kubelet__x" not in written(lab)


def test_virtual_machines_get_no_exceptions(lab: Lab) -> None:
    (lab.repository / "lab" / "exceptions.yml").write_text("kubelet__x: {a: 1}\n")
    assert "kubelet__x" in written(lab)
    values = written(lab, kind="vm")
    assert "kubelet__x" not in values
    assert values["lab_kind"] == "vm"
    assert values["ansible_ssh_timeout"] > 10  # Ansible's own, which containers keep
    assert "ansible_ssh_timeout" not in written(lab)
    # Not of the hosts: the lab makes release files itself, and its mirror tells their checksums.
    assert values["release__checksums"] == "published"


def test_virtual_machines_are_waited_for_by_every_role_that_waits(lab: Lab) -> None:
    roles = Path(__file__).resolve().parents[3] / "roles"
    defaults: dict[str, int] = {}
    for path in roles.glob("*/defaults/main.yml"):
        found = yaml.safe_load(path.read_text()) or {}
        defaults |= {name: value for name, value in found.items() if name.endswith("__start_within")}
    assert defaults
    values, containers = written(lab, kind="vm"), written(lab)
    for name, value in defaults.items():
        assert values[name] > value, name
        assert name not in containers


def test_which_hosts_an_inventory_wants() -> None:
    host = {"ansible_host": "10.0.0.1"}
    assert inventory.parse("t", listing(a=host)).kind is None
    topology = inventory.parse("t", listing(a={**host, "lab_kind": "vm", "lab_debian": "trixie"}))
    assert (topology.kind, topology.debian) == ("vm", "trixie")


def test_control_sockets_fit_a_unix_socket_address(tmp_path: Path) -> None:
    deep = Lab("n" * 40, tmp_path / ("long" * 40))
    # OpenSSH first makes the socket under a longer, temporary name.
    assert len(inventory.control_path(deep, "255.255.255.255")) + len(".0123456789abcdef") < 108


def test_the_socket_that_is_hung_up_is_the_one_that_ansible_makes(lab: Lab) -> None:
    made = inventory.control_path(lab).replace("%h", "10.0.0.2").replace("%p", "22").replace("%r", "admin")
    assert made == inventory.control_path(lab, "10.0.0.2")
