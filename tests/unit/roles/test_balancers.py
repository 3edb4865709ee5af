"""What each kind of balancer makes of the sample inventory; where a program is installed here, it judges its configuration."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import REPOSITORY, green

VIRTUAL = "192.168.60.30"
EXTERNAL = "203.0.113.5:443"
KINDS: dict[str, dict[str, Any]] = {
    "local": {"load_balancer__kind": "local", "cluster_api_endpoint": ""},
    "haproxy": {"load_balancer__kind": "haproxy"},
    "nginx": {"load_balancer__kind": "nginx"},
    "named": {
        "load_balancer__kind": "haproxy",
        "cluster_api_endpoint": "k8s.example.com:443",
        "virtual_address__address": VIRTUAL,
    },
    "on control planes": {
        "load_balancer__kind": "haproxy",
        "cluster_load_balancer_group": "control_plane",
        "cluster_api_endpoint": f"{VIRTUAL}:8443",
    },
    "nginx on control planes": {
        "load_balancer__kind": "nginx",
        "cluster_load_balancer_group": "control_plane",
        "cluster_api_endpoint": f"{VIRTUAL}:8443",
    },
    "of slow hosts": {"load_balancer__kind": "haproxy", "load_balancer__check_within": "10", "cluster_api_port": "443"},
    "nginx of slow hosts": {"load_balancer__kind": "nginx", "load_balancer__check_within": "10"},
    "on another interface": {"load_balancer__kind": "haproxy", "virtual_address__interface": "eth1"},
    "external": {"load_balancer__kind": "external", "cluster_api_endpoint": EXTERNAL},
    "hybrid": {
        "load_balancer__kind": "hybrid",
        "cluster_api_endpoint": EXTERNAL,
        "load_balancer__program": "nginx",
        "load_balancer__pair_port": 6443,
    },
    "hybrid with an address": {
        "load_balancer__kind": "hybrid",
        "cluster_api_endpoint": EXTERNAL,
        "load_balancer__pair_port": 6443,
        "virtual_address__address": VIRTUAL,
    },
}
HOSTS = ["cp1", "worker1", "lb1", "lb2"]
SHOWN = {
    "components": "__cluster__components",
    "api": "__cluster__balanced_api",
    "own_api": "__cluster__own_api",
    "hosts": "__cluster__hosts",
    "packages": "__host__packages",
    "fitness": "__host__fitness",
    "names": "__kube_apiserver__certificates[0].sans",
    "keeping": "__kube_apiserver__certificates | map(attribute='keep_names', default=false) | list if __cluster__has_api else []",
    "kubeconfig": "(__kubelet__files | selectattr('path', 'search', 'kubeconfig') | first).content",
    "balancer": "__load_balancer__component if __cluster__balances else {}",
    "address": "__virtual_address__component if 'virtual_address' in __cluster__components else {}",
    "delay": "__kube_apiserver__flags['shutdown-delay-duration']",
    "api_unit": "__kube_apiserver__component.unit if __cluster__has_api else ''",
    "units": "__verify__units",
    "probes": "__verify__probes | map(attribute='name')",
    "asked": "__verify__endpoint.addresses if __cluster__shared_api else []",
    "mend": "__cluster__shared.mend",
    "unwanted": "__cluster__unwanted",
    "kubeconfigs": "__cluster__kubeconfigs",
    "unturned": "__cluster__unturned",
}
# As if of each host the kubelet differed, and the run had turned worker1's.
SEEN = {
    "__cluster__survey": {
        "todo": ["kubelet"],
        "unwanted": ["load-balancer"],
        "balances": "{{ '*:6443' if inventory_hostname == 'lb1' else '127.0.0.1:7443' }}",
    },
    "__cluster__ran": {"done": "{{ ['kubelet'] if inventory_hostname in ['worker1', 'lb1', 'lb2'] else [] }}"},
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By kind and host, what the roles' variables come to; Ansible works all of it out in one run and touches no host."""
    folder = tmp_path_factory.mktemp("rendered")
    shown = "{" + ", ".join(f"'{name}': {value}" for name, value in SHOWN.items()) + "}"
    plays: list[dict[str, Any]] = [
        {
            "hosts": ":".join(HOSTS),
            "gather_facts": False,
            "vars": {**variables, "role_path": str(REPOSITORY / "roles" / "cluster")},
            "tasks": [
                {"ansible.builtin.import_tasks": str(REPOSITORY / "playbooks" / "tasks" / "variables.yml")},
                {"ansible.builtin.set_fact": SEEN},
                {
                    "ansible.builtin.set_fact": {
                        "made": "{{ made | default({}) | combine({'" + kind + "': " + shown + "}) }}"
                    }
                },
            ],
        }
        for kind, variables in KINDS.items()
    ]
    everything = f"{{{{ dict({HOSTS} | zip({HOSTS} | map('extract', hostvars, 'made'))) | to_json }}}}"
    write = {"ansible.builtin.copy": {"dest": str(folder / "made.json"), "content": everything, "mode": "0600"}}
    plays.append({"hosts": "localhost", "gather_facts": False, "tasks": [write]})
    (folder / "render.yml").write_text(json.dumps(plays))
    green("-i", "inventory/balanced", folder / "render.yml")
    by_host = json.loads((folder / "made.json").read_text())
    return {kind: {host: by_host[host][kind] for host in HOSTS} for kind in KINDS}


PAIRS = ["haproxy", "nginx", "named", "hybrid", "hybrid with an address"]
MOVING = ["haproxy", "nginx", "named", "hybrid with an address"]


def file_of(component: dict[str, Any], name: str) -> str:
    """The content of one of a component's files."""
    (found,) = [entry["content"] for entry in component["files"] if entry["path"].endswith("/" + name)]
    return found


# ---- who runs what, and who asks where ----


def test_a_local_balancer_on_each_host_that_asks(made: dict[str, Any]) -> None:
    local = made["local"]
    assert "load_balancer" in local["cp1"]["components"]
    assert "load_balancer" in local["worker1"]["components"]
    assert local["lb1"]["components"] == []
    assert local["worker1"]["api"] == "https://127.0.0.1:7443"
    assert "haproxy" in local["worker1"]["packages"]
    assert "bind 127.0.0.1:7443\n" in file_of(local["worker1"]["balancer"], "haproxy.cfg")
    assert local["worker1"]["balancer"]["restart_gate"]["at_least"] == 0
    assert local["worker1"]["balancer"]["lease"] is None
    assert local["worker1"]["balancer"]["healthy"]["tcp"] == "127.0.0.1:7443"


@pytest.mark.parametrize("kind", PAIRS)
def test_a_pair_balances_for_all(made: dict[str, Any], kind: str) -> None:
    hosts = made[kind]
    for name in ("lb1", "lb2"):
        assert hosts[name]["components"] == ["load_balancer"] + (["virtual_address"] if kind in MOVING else [])
        assert hosts[name]["units"] == ["load-balancer"] + (["virtual-address"] if kind in MOVING else [])
        assert hosts[name]["probes"] == ["the API through this host's balancer"]
    assert "load_balancer" not in hosts["worker1"]["components"] + hosts["cp1"]["components"]
    assert "the API through the balancer that all share" in hosts["worker1"]["probes"]
    assert {"lb1", "lb2"} <= set(hosts["cp1"]["hosts"])
    gate = hosts["lb1"]["balancer"]["restart_gate"]
    port = "443" if kind == "named" else "6443"
    assert (gate["at_least"], gate["others"]) == (1, [{"tcp": f"192.168.60.32:{port}"}])
    # Whatever controller it comes from, one run restarts one at a time.
    assert hosts["lb1"]["balancer"]["lease"]["servers"] == [
        f"https://192.168.60.{number}:6443" for number in (11, 12, 13)
    ]
    healthy = hosts["lb1"]["balancer"]["healthy"]
    assert healthy["url"] == f"https://127.0.0.1:{port}/readyz"
    assert healthy["behind"] == [f"https://192.168.60.{number}:6443/readyz" for number in (11, 12, 13)]


def test_a_host_that_asks_goes_on_asking_itself_until_it_is_turned(made: dict[str, Any]) -> None:
    """It had a local balancer, whose unit becomes that of the shared one before any node is turned; the port for all is named first."""
    config = file_of(made["on control planes"]["cp1"]["balancer"], "haproxy.cfg")
    assert re.findall(r"^ +bind (\S+)$", config, re.MULTILINE) == ["*:8443", "127.0.0.1:7443"]
    config = file_of(made["nginx on control planes"]["cp1"]["balancer"], "nginx.conf")
    assert re.findall(r"^ +listen (\S+) so_keepalive=on;$", config, re.MULTILINE) == ["8443", "127.0.0.1:7443"]
    for kind in ("local", "haproxy", "nginx"):
        host = "worker1" if kind == "local" else "lb1"
        name = "nginx.conf" if kind == "nginx" else "haproxy.cfg"
        assert len(re.findall(r"^ +(?:bind|listen) ", file_of(made[kind][host]["balancer"], name), re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("kind", "packages"),
    [
        ("haproxy", ["haproxy", "keepalived", "curl"]),
        ("nginx", ["nginx", "libnginx-mod-stream", "keepalived", "curl"]),
        ("hybrid", ["nginx", "libnginx-mod-stream"]),
        ("hybrid with an address", ["haproxy", "keepalived", "curl"]),
    ],
)
def test_packages_of_what_was_chosen_only(made: dict[str, Any], kind: str, packages: list[str]) -> None:
    assert made[kind]["lb1"]["packages"] == [*packages, "chrony"]
    assert not {"haproxy", "nginx", "keepalived"} & set(made[kind]["worker1"]["packages"])
    assert made[kind]["lb1"]["fitness"]["minimum_memory_mb"] == 0


def test_an_external_balancer_installs_nothing(made: dict[str, Any]) -> None:
    for host in HOSTS:
        assert "load_balancer" not in made["external"][host]["components"]
        assert not {"haproxy", "nginx", "keepalived"} & set(made["external"][host]["packages"])


@pytest.mark.parametrize(
    ("kind", "api"),
    [
        ("haproxy", f"https://{VIRTUAL}:6443"),
        ("nginx", f"https://{VIRTUAL}:6443"),
        ("named", f"https://{VIRTUAL}:443"),
        ("external", f"https://{EXTERNAL}"),
        ("hybrid", f"https://{EXTERNAL}"),
        ("hybrid with an address", f"https://{VIRTUAL}:6443"),
    ],
)
def test_the_address_that_all_share(made: dict[str, Any], kind: str, api: str) -> None:
    hosts = made[kind]
    assert hosts["worker1"]["api"] == hosts["worker1"]["own_api"] == api
    assert f"server: {api}\n" in hosts["worker1"]["kubeconfig"]
    assert f"server: {api}\n" in hosts["cp1"]["kubeconfig"]
    assert hosts["cp1"]["own_api"] == "https://127.0.0.1:6443"  # a manager beside an API server


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("haproxy", {VIRTUAL}),
        ("named", {VIRTUAL, "k8s.example.com"}),
        ("external", {"203.0.113.5"}),
        ("hybrid", {"203.0.113.5"}),
        ("hybrid with an address", {VIRTUAL, "203.0.113.5"}),
    ],
)
def test_certificates_know_every_name(made: dict[str, Any], kind: str, names: set[str]) -> None:
    assert names <= set(made[kind]["cp1"]["names"])
    assert "" not in made[kind]["cp1"]["names"]
    assert not names & set(made["local"]["cp1"]["names"])
    assert made[kind]["cp1"]["keeping"] == [True, False, False, False]


def test_what_is_asked_of_hosts_before_anything_is_changed(made: dict[str, Any]) -> None:
    virtual = made["haproxy"]["lb1"]["fitness"]["virtual_address"]
    assert virtual == {"address": VIRTUAL, "interface": "", "variable": "cluster_api_endpoint"}
    assert made["named"]["lb1"]["fitness"]["virtual_address"]["variable"] == "virtual_address__address"
    assert made["haproxy"]["worker1"]["fitness"]["virtual_address"] is None
    assert made["haproxy"]["worker1"]["fitness"]["endpoint"] is None
    endpoint = made["external"]["worker1"]["fitness"]["endpoint"]
    assert (endpoint["address"], endpoint["kind"], endpoint["answers_when_empty"]) == (EXTERNAL, "external", True)
    assert endpoint["behind"] == [f"https://192.168.60.{number}:6443" for number in (11, 12, 13)]
    behind = made["hybrid"]["worker1"]["fitness"]["endpoint"]["behind"]
    assert behind == ["https://192.168.60.31:6443", "https://192.168.60.32:6443"]
    assert made["hybrid"]["lb1"]["fitness"]["endpoint"] is None
    # The cluster asks at its own address, whatever becomes of the balancer before it.
    assert made["hybrid with an address"]["worker1"]["fitness"]["endpoint"] is None


def test_what_verify_asks(made: dict[str, Any]) -> None:
    for kind, addresses in {
        "haproxy": [f"{VIRTUAL}:6443"],
        "named": [f"{VIRTUAL}:443", "k8s.example.com:443"],
        "hybrid": [EXTERNAL],
        "external": [EXTERNAL],
    }.items():
        assert {host: made[kind][host]["asked"] for host in HOSTS} == dict.fromkeys(HOSTS, addresses)
    asked = {host: made["hybrid with an address"][host]["asked"] for host in HOSTS}
    assert sorted(asked.values()) == [[f"{VIRTUAL}:6443"]] * 3 + [[f"{VIRTUAL}:6443", EXTERNAL]]
    assert EXTERNAL not in asked["lb1"] + asked["lb2"]


def test_what_to_look_at_where_nobody_answers(made: dict[str, Any]) -> None:
    assert "virtual-address on lb1, lb2" in made["haproxy"]["worker1"]["mend"]
    assert "cluster_api_endpoint has cp1, cp2, cp3 in its pool" in made["external"]["worker1"]["mend"]
    assert "cluster_api_endpoint has lb1, lb2 in its pool" in made["hybrid"]["worker1"]["mend"]


def test_a_balancer_stays_until_those_that_asked_it_are_turned(made: dict[str, Any]) -> None:
    haproxy = made["haproxy"]
    assert haproxy["lb1"]["kubeconfigs"] == [
        f"/etc/kubernetes/{unit}/kubeconfig"
        for unit in ("kubelet", "flanneld", "kube-proxy", "kube-controller-manager", "kube-scheduler")
    ]
    assert "load-balancer" in haproxy["worker1"]["unwanted"]
    assert {"kubelet", "flanneld", "kube-proxy", "kube-scheduler"} <= set(haproxy["lb1"]["unwanted"])
    assert not {"kubelet", "flanneld", "kube-proxy"} & set(haproxy["worker1"]["unwanted"])
    assert haproxy["worker1"]["unturned"] == []  # its own, on loopback
    assert haproxy["cp1"]["unturned"] == ["cp1"]
    # Any host may ask there; of those that this play leaves out nobody knows.
    assert sorted(haproxy["lb1"]["unturned"]) == ["cp1", "cp2", "cp3", "worker2"]


def test_nothing_is_taken_away_under_hosts_that_are_not_turned() -> None:
    plays = yaml.safe_load((REPOSITORY / "playbooks" / "site.yml").read_text())
    removals = [
        task
        for play in plays
        for task in play["tasks"]
        if task.get("ansible.builtin.import_role", {}).get("tasks_from") == "remove"
    ]
    moves, *away = removals
    assert len(away) == 2
    assert all(task["when"].endswith(" and not __cluster__unturned") for task in away)
    # But an address that others are about to hold, which all go on asking at, once one of these balances.
    assert "hardway.kubernetes.unturned(hostvars, ansible_play_hosts, {'load_balancer'" in moves["when"][2]
    assert moves["when"][1] == "__cluster__survey.holds == __cluster__virtual_address"


# ---- configurations ----


def test_both_ways_of_haproxy_differ_in_the_address_only(made: dict[str, Any]) -> None:
    local = file_of(made["local"]["worker1"]["balancer"], "haproxy.cfg")
    pair = file_of(made["haproxy"]["lb1"]["balancer"], "haproxy.cfg")
    assert local.replace("bind 127.0.0.1:7443", "bind *:6443") == pair
    assert re.findall(r"  server (\S+) (\S+)", pair) == [(f"cp{n}", f"192.168.60.1{n}:6443") for n in (1, 2, 3)]
    for words in ("uri /livez", "uri /readyz", "check-ssl verify required", "on-marked-down shutdown-sessions"):
        assert words in pair


def test_nginx_and_what_keeps_its_pool(made: dict[str, Any]) -> None:
    component = made["nginx"]["lb1"]["balancer"]
    assert "listen 6443 so_keepalive=on;" in file_of(component, "nginx.conf")
    script = file_of(component, "nginx_pool.py")
    assert script == (REPOSITORY / "roles" / "load_balancer" / "files" / "nginx_pool.py").read_text()
    words = component["unit"].split("ExecStart=")[1].split("\n\n")[0].replace("\\\n", " ").split()
    assert words[:2] == ["/usr/bin/python3", "/etc/kubernetes/load-balancer/nginx_pool.py"]
    assert [words[number + 1] for number, word in enumerate(words) if word == "--server"] == [
        f"192.168.60.{number}:6443" for number in (11, 12, 13)
    ]
    assert "--pool /run/load-balancer/pool.conf" in " ".join(words)
    assert "include /run/load-balancer/pool.conf;" in file_of(component, "nginx.conf")


@pytest.mark.parametrize(
    ("kind", "haproxy", "nginx", "address", "delay"),
    [
        (
            "",
            ("connect 2s", "check 2s", "inter 1000ms fastinter 500ms\n"),
            ("2s;", "--within 2", "30"),
            ("timeout 3", "time 1"),
            "5s",
        ),
        (
            "of slow hosts",
            ("connect 10s", "check 10s", "inter 5000ms fastinter 2500ms\n"),
            ("10s;", "--within 10", "50"),
            ("timeout 11", "time 5"),
            "20s",
        ),
    ],
)
def test_slow_servers_have_longer_for_an_answer(
    made: dict[str, Any],
    kind: str,
    haproxy: tuple[str, ...],
    nginx: tuple[str, ...],
    address: tuple[str, str],
    delay: str,
) -> None:
    """And one that is to stop says so for longer than two checks take."""
    text = file_of(made[kind or "haproxy"]["lb1"]["balancer"], "haproxy.cfg")
    for words in haproxy:
        assert words in text
    component = made[f"nginx {kind}".strip()]["lb1"]["balancer"]
    assert f"proxy_connect_timeout {nginx[0]}" in file_of(component, "nginx.conf")
    assert nginx[1] in " ".join(component["unit"].replace("\\\n", " ").split())
    assert f"WatchdogSec={nginx[2]}" in component["unit"].splitlines()
    assert made[kind or "haproxy"]["cp1"]["delay"] == delay
    virtual = made[kind or "haproxy"]["lb1"]["address"]
    assert f"  {address[0]}\n" in file_of(virtual, "keepalived.conf")
    assert f"--max-{address[1]} " in file_of(virtual, "check")


@pytest.mark.parametrize(("kind", "capability"), [("haproxy", ""), ("of slow hosts", "CAP_NET_BIND_SERVICE")])
def test_an_api_servers_low_port_needs_one_too(made: dict[str, Any], kind: str, capability: str) -> None:
    unit = made[kind]["cp1"]["api_unit"].splitlines()
    assert f"CapabilityBoundingSet={capability}" in unit
    assert f"AmbientCapabilities={capability}" in unit


@pytest.mark.parametrize(("kind", "capability"), [("haproxy", ""), ("named", "CAP_NET_BIND_SERVICE")])
def test_a_low_port_needs_one_capability(made: dict[str, Any], kind: str, capability: str) -> None:
    unit = made[kind]["lb1"]["balancer"]["unit"].splitlines()
    assert f"CapabilityBoundingSet={capability}" in unit
    assert f"AmbientCapabilities={capability}" in unit


def test_keepalived_of_two_hosts(made: dict[str, Any]) -> None:
    texts = [file_of(made["haproxy"][host]["address"], "keepalived.conf") for host in ("lb1", "lb2")]
    assert [re.search(r"priority (\d+)", text)[1] for text in texts] == ["250", "249"]
    assert [re.search(r"unicast_src_ip (\S+)", text)[1] for text in texts] == ["192.168.60.31", "192.168.60.32"]
    for text, other in zip(texts, ("192.168.60.32", "192.168.60.31"), strict=True):
        assert f"unicast_peer {{\n    {other} min_ttl 255 max_ttl 255\n  }}" in text
        assert f"virtual_ipaddress {{\n    {VIRTUAL}\n  }}" in text
        assert "state BACKUP\n  nopreempt\n" in text
        assert "advert_int 1\n" in text
        assert "virtual_router_id 51\n" in text
    address = made["haproxy"]["lb1"]["address"]
    assert address["healthy"]["tcp"] == f"{VIRTUAL}:6443"
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in address["unit"]
    told = {entry["path"].rpartition("/")[2]: (entry.get("reload"), entry.get("restart")) for entry in address["files"]}
    assert told == {"keepalived.conf": (True, None), "check": (None, False), "interface": (None, None)}


def run_script(text: str, folder: Path, *arguments: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with stand-ins for the programs that it calls."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, body in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    (folder / "script").write_text(text.replace("/run/virtual-address", str(folder)))
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", str(folder / "script"), *arguments], capture_output=True, text=True, check=False, env=environment
    )


def test_an_address_on_another_interface(made: dict[str, Any], tmp_path: Path) -> None:
    """keepalived speaks over the interface that has the host's own address: there the others are."""
    address = made["on another interface"]["lb1"]["address"]
    text = file_of(address, "keepalived.conf")
    assert "interface $INTERFACE\n" in text
    assert f"virtual_ipaddress {{\n    {VIRTUAL} dev eth1\n  }}\n  track_interface {{\n    eth1\n  }}\n" in text
    assert "track_interface" not in file_of(made["haproxy"]["lb1"]["address"], "keepalived.conf")
    script = file_of(address, "interface")
    ip = (
        f'echo "$*" >>{tmp_path}/asked; [ "$2" = address ] && echo "2: ens3    inet 192.168.60.31/24 scope global ens3"'
    )
    assert run_script(script, tmp_path, "find", ip=ip).returncode == 0
    assert (tmp_path / "interface.conf").read_text() == "$INTERFACE=ens3\n"
    assert run_script(script, tmp_path, "free", ip=ip).returncode == 0
    assert (tmp_path / "asked").read_text().splitlines()[-1] == f"address del {VIRTUAL} dev eth1"


@pytest.mark.parametrize(
    ("answering", "code"), [("127.0.0.1 192.168.60.32", 0), ("127.0.0.1", 0), ("192.168.60.32", 1), ("none", 0)]
)
def test_an_address_moves_only_where_another_balancer_serves(
    made: dict[str, Any], tmp_path: Path, answering: str, code: int
) -> None:
    check = file_of(made["haproxy"]["lb1"]["address"], "check")
    curl = f'for host in {answering}; do case "$*" in *"--connect-to ::$host:6443 https://{VIRTUAL}:6443/readyz"*) exit 0;; esac; done; exit 7'
    assert run_script(check, tmp_path, curl=curl).returncode == code


def test_the_interface_with_the_hosts_own_address(made: dict[str, Any], tmp_path: Path) -> None:
    script = file_of(made["haproxy"]["lb1"]["address"], "interface")
    ip = (
        f'echo "$*" >>{tmp_path}/asked; [ "$2" = address ] && echo "2: ens3    inet 192.168.60.31/24 scope global ens3"'
    )
    assert run_script(script, tmp_path, "find", ip=ip).returncode == 0
    assert (tmp_path / "interface.conf").read_text() == "$INTERFACE=ens3\n"
    assert run_script(script, tmp_path, "free", ip=ip).returncode == 0
    assert (tmp_path / "asked").read_text().splitlines()[-1] == f"address del {VIRTUAL} dev ens3"
    found = run_script(script, tmp_path, "find", ip="true")
    assert (found.returncode, found.stderr) == (1, "no interface has the address 192.168.60.31\n")
    assert run_script(script, tmp_path, "free", ip="exit 1").returncode == 0
