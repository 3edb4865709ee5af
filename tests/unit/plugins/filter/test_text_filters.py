"""Text from data: units, TOML, flags, kubeconfigs, containerd's hosts; and data in layers."""

from __future__ import annotations

import base64
import copy
import tomllib
from typing import Any

import pytest
import yaml
from ansible_collections.hardway.kubernetes.plugins.filter.kubeconfig import kubeconfig
from ansible_collections.hardway.kubernetes.plugins.filter.merged import merged
from ansible_collections.hardway.kubernetes.plugins.filter.registry_hosts import registry_hosts
from ansible_collections.hardway.kubernetes.plugins.filter.to_flags import to_flags
from ansible_collections.hardway.kubernetes.plugins.filter.to_toml import to_toml
from ansible_collections.hardway.kubernetes.plugins.filter.to_unit import to_unit

# ---- units ----


def words(text: str) -> list[str]:
    """The words of ExecStart as systemd reads them (systemd.service(5), 'Command lines')."""
    line = text.split("ExecStart=")[1].replace("\\\n", " ").split("\n")[0]
    found: list[str] = []
    word, quote, index = None, "", 0
    escapes = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'", "s": " "}
    while index < len(line):
        character = line[index]
        if character == "\\":
            index += 1
            word = (word or "") + escapes[line[index]]
        elif quote:
            quote, word = ("", word) if character == quote else (quote, word + character)
        elif character in "\"'" and word is None:
            quote, word = character, ""
        elif character in " \t":
            if word is not None:
                found.append(word)
            word = None
        else:
            word = (word or "") + character
        index += 1
    assert not quote
    found += [] if word is None else [word]
    assert ";" not in found or '";"' in line
    return [word.replace("%%", "%").replace("$$", "$") for word in found]


def test_a_unit() -> None:
    text = to_unit(
        {
            "Unit": {"Description": "etcd", "After": ["network-online.target", "time-sync.target"]},
            "Service": {
                "Type": "notify",
                "NoNewPrivileges": True,
                "PrivateUsers": False,
                "User": None,
                "LimitNOFILE": 20000,
            },
            "Install": {"WantedBy": "multi-user.target"},
        }
    )
    assert text.splitlines()[1:] == [
        "",
        "[Unit]",
        "Description=etcd",
        "After=network-online.target",
        "After=time-sync.target",
        "",
        "[Service]",
        "Type=notify",
        "NoNewPrivileges=yes",
        "PrivateUsers=no",
        "LimitNOFILE=20000",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    assert text.startswith("# ")
    assert text.endswith("\n")


@pytest.mark.parametrize(
    "argument",
    [
        "--plain=1",
        "--name=a b",
        '--quote=a"b',
        "--single=it's",
        "--percent=100%",
        "--specifier=%n",
        "--dollar=$HOME",
        "--regex=^a\\.b$",
        "--both=\"$x\" 'y' \\ z",
        '--json={"a": [1, 2]}',
        "--hash=#x",
        "--tab=a\tb",
        ";",
        "--list=a;b",
        "--lines=a\nb",
        "",
    ],
)
def test_each_argument_reaches_the_process_as_it_is(argument: str) -> None:
    text = to_unit({"Service": {"ExecStart": ["/usr/local/bin/etcd", argument, "--last"]}})
    assert words(text) == ["/usr/local/bin/etcd", argument, "--last"]


def test_a_command_given_as_text_is_left_as_it_is() -> None:
    assert "\nExecStart=/bin/sh -c 'a b'\n" in to_unit({"Service": {"ExecStart": "/bin/sh -c 'a b'"}})


def test_several_commands() -> None:
    commands = [["/sbin/ip", "route", "replace", "10.244.1.0/24"], ["/bin/echo", "a b"]]
    lines = to_unit({"Service": {"Type": "oneshot", "ExecStart": commands}}).replace(" \\\n  ", " ").splitlines()
    assert lines[-2:] == ["ExecStart=/sbin/ip route replace 10.244.1.0/24", 'ExecStart=/bin/echo "a b"']


def test_a_later_units_settings_take_the_place_of_an_earlier_ones() -> None:
    common = {"Unit": {"After": "a"}, "Service": {"User": "x", "UMask": "0077"}, "Install": {"WantedBy": "b"}}
    mine = {"Unit": {"Description": "etcd"}, "Service": {"User": None, "UMask": "0027", "Type": "notify"}}
    before = copy.deepcopy([common, mine])
    sections = {"Unit": {"After": "a", "Description": "etcd"}, "Service": {"UMask": "0027", "Type": "notify"}}
    assert to_unit([common, mine, {}]) == to_unit({**sections, "Install": {"WantedBy": "b"}})
    assert [common, mine] == before


def test_variables_of_the_environment_come_beside_those_that_are_there() -> None:
    """etcd would begin a cluster of its own, and flanneld would not start, without theirs."""
    ours = {"Service": {"Environment": "ETCD_INITIAL_CLUSTER_STATE=existing", "User": "etcd"}}
    for mine in ("GOGC=400", ["GOGC=400"]):
        text = to_unit([ours, {"Service": {"Environment": mine, "User": "other"}}])
        assert "\nEnvironment=ETCD_INITIAL_CLUSTER_STATE=existing\nEnvironment=GOGC=400\nUser=other\n" in text
    assert "Environment" not in to_unit([ours, {"Service": {"Environment": None}}])
    assert "\nEnvironment=A=1\n" in to_unit([{"Service": {}}, {"Service": {"Environment": "A=1"}}])
    assert ours["Service"]["Environment"] == "ETCD_INITIAL_CLUSTER_STATE=existing"


# ---- TOML ----


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"version": 3, "root": "/var/lib/containerd", "float": 1.5, "on": True, "off": False, "empty": ""},
        {"list": ["a", "b"], "numbers": [1, 2], "nested": [["a"], []], "none": []},
        {"a": {"b": {"c": 1}}, "x": {"y": "z"}},
        {
            "plugins": {
                "io.containerd.cri.v1.runtime": {
                    "containerd": {"runtimes": {"runc": {"options": {"SystemdCgroup": True}}}}
                }
            }
        },
        {"table": {"later": {"x": 1}, "plain": "after a table"}},
        {"empty": {}, "inner": {"empty": {}}},
        {"key with space": 1, 'quote"': 2, "dotted.key": 3, "ümlaut": 4, "": 5},
        {"text": 'quote " back\\slash \n line \t tab \u0001 ü 😀'},
    ],
)
def test_toml_reads_back(data: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(data)) == data


def test_toml_leaves_none_out() -> None:
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


def test_toml_lists_of_tables_read_back() -> None:
    data = {"hosts": [{"name": "a", "ports": [1]}, {"name": "b"}]}
    assert tomllib.loads(to_toml(data)) == data


# ---- flags ----


def test_flags() -> None:
    flags = {
        "v": 2,
        "profiling": False,
        "allow": True,
        "none": None,
        "empty": "",
        "list": ["a", "b", 3],
        "nothing": [],
        "gates": {"B": "x", "A": 1},
        "text": "a b",
    }
    assert to_flags(flags) == [
        "--allow=true",
        "--empty=",
        "--gates=A=1,B=x",
        "--list=a,b,3",
        "--nothing=",
        "--profiling=false",
        "--text=a b",
        "--v=2",
    ]
    assert to_flags({}) == []


def test_later_flags_take_the_place_of_earlier_ones() -> None:
    layers = [{"v": 2, "name": "a", "gone": "x"}, {"gone": None, "v": 4}, {"more": True}]
    assert to_flags(layers) == ["--more=true", "--name=a", "--v=4"]
    assert to_flags([]) == []


# ---- layers ----


def test_layers_are_merged_deep_and_lists_and_text_replaced() -> None:
    layers = [
        {"a": {"b": {"c": 1, "d": 2}, "list": [1, 2]}, "text": "x", "dict": {"y": 1}, "kept": None},
        {"a": {"b": {"d": 3}, "list": [3]}, "text": {"now": "a dict"}, "dict": "now text"},
        {"a": {"b": {"c": None}}},
    ]
    before = copy.deepcopy(layers)
    assert merged(layers) == {
        "a": {"b": {"c": None, "d": 3}, "list": [3]},
        "text": {"now": "a dict"},
        "dict": "now text",
        "kept": None,
    }
    assert layers == before
    assert merged([]) == {}


# ---- kubeconfigs ----


def test_a_kubeconfig_names_certificates_by_path() -> None:
    text = kubeconfig("https://127.0.0.1:6443", "kube-proxy", "/etc/kubernetes/kube-proxy/pki/client")
    config = yaml.safe_load(text)
    assert config["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:6443",
        "certificate-authority": "/etc/kubernetes/pki/ca.crt",
    }
    assert config["users"][0] == {
        "name": "kube-proxy",
        "user": {
            "client-certificate": "/etc/kubernetes/kube-proxy/pki/client.crt",
            "client-key": "/etc/kubernetes/kube-proxy/pki/client.key",
        },
    }
    context = config["contexts"][0]
    assert context == {"name": config["current-context"], "context": {"cluster": "cluster", "user": "kube-proxy"}}
    assert (config["apiVersion"], config["kind"]) == ("v1", "Config")
    other = yaml.safe_load(kubeconfig("https://x", "u", "/c", "/ca"))
    assert other["clusters"][0]["cluster"]["certificate-authority"] == "/ca"


# ---- registries ----


def hosts_toml(registries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["path"].split("/")[-2]: tomllib.loads(entry["content"]) for entry in registry_hosts(registries)}


def test_registries_with_mirrors_in_order() -> None:
    mirrors = [{"url": "https://b.example.com"}, {"url": "https://a.example.com/v2", "override_path": True}]
    found = hosts_toml(
        {"docker.io": {"mirrors": mirrors}, "quay.io": {}, "localhost:5000": {"server": "http://localhost:5000"}}
    )
    assert found["docker.io"]["server"] == "https://registry-1.docker.io"
    assert list(found["docker.io"]["host"]) == ["https://b.example.com", "https://a.example.com/v2"]
    assert found["docker.io"]["host"]["https://a.example.com/v2"] == {
        "capabilities": ["pull", "resolve"],
        "override_path": True,
    }
    assert found["quay.io"]["server"] == "https://quay.io"
    assert found["localhost:5000"]["server"] == "http://localhost:5000"


def test_what_stands_for_all_other_registries_has_no_address_of_its_own() -> None:
    """containerd asks each at its own name where the mirror lacks something."""
    found = hosts_toml({"_default": {"mirrors": [{"url": "https://m"}]}})
    assert found["_default"] == {"host": {"https://m": {"capabilities": ["pull", "resolve"]}}}


def test_credentials_and_authorities_of_a_mirror() -> None:
    mirror = {"url": "https://m", "username": "kim", "password": "s:ecret", "ca": "/etc/m.crt", "skip_verify": True}
    (entry,) = registry_hosts({"docker.io": {"mirrors": [mirror]}})
    host = tomllib.loads(entry["content"])["host"]["https://m"]
    scheme, pair = host["header"]["authorization"].split()
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "kim:s:ecret")
    assert (host["ca"], host["skip_verify"]) == ("/etc/m.crt", True)
    assert (entry["mode"], entry["secret"], entry["restart"]) == ("0600", True, False)
    assert entry["path"] == "/etc/containerd/certs.d/docker.io/hosts.toml"
