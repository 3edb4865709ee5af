"""The options of bin/lab and what its commands run in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hwlab import cli, network
from hwlab.lifecycle import State
from hwlab.paths import Lab
from hwlab.ui import LabError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["up"], {"verb": "up", "name": "default", "topology": None, "kubernetes": None}),
        (["up", "--name", "a", "--topology", "single"], {"name": "a", "topology": "single"}),
        (["hosts", "up", "--topology", "../mine"], {"topology": "../mine"}),
        (["up", "--kubernetes", "v1.35.4"], {"kubernetes": "1.35.4"}),
        (["hosts", "up", "--name", "a"], {"verb": "hosts", "hosts_verb": "up", "name": "a", "no_release": False}),
        (["hosts", "down", "--name", "a"], {"hosts_verb": "down", "name": "a"}),
        (["stop", "--name", "a", "cp1"], {"verb": "stop", "name": "a", "host": ["cp1"], "all": False}),
        (["start", "--all"], {"verb": "start", "host": [], "all": True}),
        (["up", "--kind", "vm", "--debian", "trixie"], {"kind": "vm", "debian": "trixie"}),
        (["hosts", "up"], {"kind": None, "debian": None}),
        (["exec", "--", "ls", "--name", "b"], {"name": "default", "command": ["ls", "--name", "b"]}),
        (["exec", "--name", "a", "--", "ls", "-l"], {"name": "a", "command": ["ls", "-l"]}),
        (["ssh", "--name", "a", "cp1", "--", "ls", "-l"], {"host": "cp1", "command": ["ls", "-l"]}),
        (["ssh", "cp1"], {"host": "cp1", "command": []}),
        (["ssh", "cp1", "ls"], {"host": "cp1", "command": ["ls"]}),
        (["exec", "--", "kubectl", "exec", "p", "--", "ls"], {"command": ["kubectl", "exec", "p", "--", "ls"]}),
        (["exec"], {"command": []}),
    ],
)
def test_options(words: list[str], expected: dict[str, object]) -> None:
    options = vars(cli.parse(words))
    assert {key: options[key] for key in expected} == expected


@pytest.mark.parametrize(
    "words", [[], ["hosts"], ["fly"], ["up", "--kubernetes", "latest"], ["up", "--na", "x"], ["up", "--kind", "pod"]]
)
def test_wrong_options_end_with_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_remote_words_stay_apart_and_one_word_is_a_line() -> None:
    assert cli.remote_command(["echo", "a  b", "$x"]) == ["echo 'a  b' '$x'"]
    assert cli.remote_command(["ls | wc -l"]) == ["ls | wc -l"]
    assert cli.remote_command([]) == []


def test_commands_find_the_labs_inventory_kubeconfig_and_kubectl(tmp_path: Path) -> None:
    (tmp_path / "inventory" / "stacked").mkdir(parents=True)
    lab = Lab("a", tmp_path)
    state = State("stacked", None, "/cache/mirror", "10.0.0.1")
    env = cli.environment(lab, state, {"PATH": "/bin", "HOME": "/h"})
    assert env["ANSIBLE_INVENTORY"] == f"{tmp_path}/inventory/stacked,{tmp_path}/.lab/a/inventory"
    assert env["ANSIBLE_CONFIG"] == f"{tmp_path}/ansible.cfg"
    assert env["KUBECONFIG"] == f"{tmp_path}/.lab/a/kubeconfig"
    assert env["PATH"] == f"{tmp_path}/.lab/a/bin:{Path(sys.executable).parent}:/bin"
    assert (env["LAB_NAME"], env["LAB_DIR"], env["HOME"]) == ("a", f"{tmp_path}/.lab/a", "/h")


def test_commands_find_an_inventory_that_lies_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hosts.yml").touch()
    lab = Lab("a", tmp_path / "clone")
    env = cli.environment(lab, State(f"{tmp_path}/mine", None, "/cache/mirror", "10.0.0.1"), {})
    assert env["ANSIBLE_INVENTORY"] == f"{tmp_path}/mine,{tmp_path}/clone/.lab/a/inventory"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", "a b", "x" * 41])
def test_names_that_would_leave_the_labs_directory_are_refused(name: str) -> None:
    with pytest.raises(LabError):
        Lab(name)


def test_labs_of_two_clones_differ_also_when_their_names_do_not() -> None:
    one, two = Lab("a", Path("/one")), Lab("a", Path("/two"))
    assert one.id != two.id
    assert one.netns != two.netns
    assert one.run != two.run


def test_the_bridge_has_the_first_address_of_the_hosts_network() -> None:
    assert str(network.subnet(["192.168.60.11", "192.168.60.22"])[1]) == "192.168.60.1"


@pytest.mark.parametrize("addresses", [[], ["10.0.0.2", "10.0.1.2"], ["10.0.0.1"], ["host.example"], ["fd00::1"]])
def test_addresses_that_a_lab_cannot_give_are_refused(addresses: list[str]) -> None:
    with pytest.raises(LabError):
        network.subnet(addresses)


def test_second_addresses_have_a_network_of_their_own() -> None:
    assert network.subnet_v6([]) is None
    found = network.subnet_v6(["fd00:60::11", "fd00:60::22"])
    assert found and (str(found), str(found[1])) == ("fd00:60::/64", "fd00:60::1")


@pytest.mark.parametrize(
    "addresses", [["fd00:60::11", "fd00:61::11"], ["fd00:60::1"], ["192.168.60.11"], ["fd00:60::11/64"]]
)
def test_second_addresses_that_a_lab_cannot_give_are_refused(addresses: list[str]) -> None:
    with pytest.raises(LabError):
        network.subnet_v6(addresses)
