"""What each network and mode of kube-proxy makes of a sample inventory, of one family and of both; no host is touched."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import REPOSITORY, green

HOSTS = ["cp1", "worker1", "worker2"]
# As an inventory would have them for each host.
PARTS = "10.244.{{ groups['all'].index(inventory_hostname) }}.0/24"
PARTS_V6 = "fd00:10:244:{{ groups['all'].index(inventory_hostname) }}::/64"
MANIFEST = """\
apiVersion: v1
kind: Namespace
metadata: {name: mine, creationTimestamp: null}
---
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: mine}, data: {day: 2026-11-21, text: "{{ x }}"}}
"""
SINGLE = {"cluster_pod_cidr": "10.244.0.0/16", "cluster_service_cidr": "10.96.0.0/16"}
KINDS: dict[str, dict[str, Any]] = {
    "single": SINGLE,
    "dual": {},
    "connections": {**SINGLE, "kube_proxy__config": {"conntrack": {"maxPerCore": 65536, "min": None}}},
    "all connections": {**SINGLE, "kube_proxy__config": {"conntrack": {"maxPerCore": 0}}},
    "host-gw and iptables": {
        "cni__flannel_backend": "host-gw",
        "kube_proxy__mode": "iptables",
        "cni__masquerade": False,
    },
    "bridge": {**SINGLE, "cni__kind": "bridge", "cni__pod_cidr": PARTS, "kube_proxy__mode": "ipvs"},
    "dual bridge": {"cni__kind": "bridge", "cni__pod_cidr": PARTS + "," + PARTS_V6},
    "dual bridge without masquerading": {
        "cni__kind": "bridge",
        "cni__pod_cidr": PARTS + "," + PARTS_V6,
        "cni__masquerade": "false",  # as INI files have it, and -e
    },
    "none": {
        "cni__kind": "none",
        "cni__plugins": ["loopback"],
        "cni__releases": [
            {"name": "mine", "version": "1.0.0", "url": "https://example.com/mine-{arch}", "checksum": "ab" * 32},
            {
                "name": "two",
                "version": "2.0.0",
                "url": "https://example.com/two.tgz",
                "members": {"bin/two": "mine-ipam"},
            },
        ],
        "cni__conf": {"10-mine.conflist": {"name": "mine", "plugins": []}, "05-first.conf": "{}\n"},
    },
}
SHOWN = {
    "conflist": "__cni__conflist_text",
    "component": "__cni__component",
    "releases": "__cni__release_files",
    "net": "[__cni__flannel_net, cni__flannel_config] | hardway.kubernetes.merged",
    "objects": "__cni__objects",
    "kubelet": "__kubelet__unit.Service.ExecStart",
    "kubelet_names": "__kubelet__certificates[1].sans",
    "manager": "__kube_controller_manager__unit.Service.ExecStart",
    "api": "__kube_apiserver__unit.Service.ExecStart",
    "api_names": "__kube_apiserver__certificates[0].sans",
    "proxy": "__kube_proxy__config",
    "proxy_unit": "__kube_proxy__component.unit",
    "proxy_config": "__kube_proxy__component.files[1].content",
    "dns": "__cluster_dns__objects | selectattr('kind', 'equalto', 'Service') | first",
    "settings": "__host__settings | combine(__host__fitness)",
    "rules": "__verify__service_rules",
    "unwanted": "__cluster__unwanted",
    "units": "__verify__units",
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By kind and host, what the roles' variables come to."""
    folder = tmp_path_factory.mktemp("rendered")
    (folder / "mine.yaml").write_text(MANIFEST)
    KINDS["none"]["cni__manifests"] = [str(folder / "mine.yaml")]
    shown = "{" + ", ".join(f"'{name}': {value}" for name, value in SHOWN.items()) + "}"
    # Only the wished kinds bring a value of each variable; undefined and secret ones are not asked for here.
    inventory = folder / "inventory"
    shutil.copytree(REPOSITORY / "inventory" / "dual_stack", inventory)
    plays: list[dict[str, Any]] = []
    for kind, variables in KINDS.items():
        group_vars = {name: value for name, value in variables.items() if name != "cni__pod_cidr"}
        part = {"cni__pod_cidr": variables["cni__pod_cidr"]} if "cni__pod_cidr" in variables else {}
        plays.append(
            {
                "hosts": ":".join(HOSTS),
                "gather_facts": False,
                "vars": {**group_vars, "role_path": str(REPOSITORY / "roles" / "cluster")},
                "tasks": [
                    {"ansible.builtin.import_tasks": str(REPOSITORY / "playbooks" / "tasks" / "variables.yml")},
                    # hostvars know facts, and no vars of a play.
                    {"ansible.builtin.set_fact": {"cni__pod_cidr": part.get("cni__pod_cidr", "")}},
                    {
                        "ansible.builtin.set_fact": {
                            "made": "{{ made | default({}) | combine({'" + kind + "': " + shown + "}) }}"
                        }
                    },
                ],
            }
        )
    everything = f"{{{{ dict({HOSTS} | zip({HOSTS} | map('extract', hostvars, 'made'))) | to_json }}}}"
    write = {"ansible.builtin.copy": {"dest": str(folder / "made.json"), "content": everything, "mode": "0600"}}
    plays.append({"hosts": "localhost", "gather_facts": False, "tasks": [write]})
    (folder / "render.yml").write_text(json.dumps(plays))
    green("-i", inventory, folder / "render.yml")
    by_host = json.loads((folder / "made.json").read_text())
    return {kind: {host: by_host[host][kind] for host in HOSTS} for kind in KINDS}


def file_of(component: dict[str, Any], name: str) -> str:
    """The content of one of a component's files."""
    (found,) = [entry["content"] for entry in component["files"] if entry["path"].endswith("/" + name)]
    return found


# ---- families ----


def test_one_family_knows_nothing_of_the_other(made: dict[str, Any]) -> None:
    single = made["single"]["worker1"]
    assert "--node-ip=192.168.60.21" in single["kubelet"]
    assert single["kubelet_names"] == ["worker1", "worker1", "192.168.60.21"]
    assert "net.ipv6.conf.all.forwarding" not in single["settings"]["sysctls"]
    assert single["settings"]["address_v6"] == ""
    manager = made["single"]["cp1"]["manager"]
    assert "--cluster-cidr=10.244.0.0/16" in manager
    assert "--node-cidr-mask-size-ipv4=24" in manager
    assert not [word for word in manager if "ipv6" in word]
    assert single["net"]["Network"] == "10.244.0.0/16"
    assert "EnableIPv6" not in single["net"]
    assert "ipv6" not in single["component"]["unit"]
    assert json.loads(single["conflist"].replace('"@MTU@"', "0"))["plugins"][0]["ipam"]["ranges"] == [
        [{"subnet": "@SUBNET@"}]
    ]


def test_both_families_everywhere(made: dict[str, Any]) -> None:
    dual, first = made["dual"]["worker1"], made["dual"]["cp1"]
    assert "--node-ip=192.168.60.21,fd00:60::21" in dual["kubelet"]
    assert dual["kubelet_names"] == ["worker1", "worker1", "192.168.60.21", "fd00:60::21"]
    assert dual["settings"]["sysctls"]["net.ipv6.conf.all.forwarding"] == 1
    assert dual["settings"]["address_v6"] == "fd00:60::21"
    for word in (
        "--cluster-cidr=10.244.0.0/16,fd00:10:244::/56",
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
        "--node-cidr-mask-size-ipv4=24",
        "--node-cidr-mask-size-ipv6=64",
    ):
        assert word in first["manager"]
    assert "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112" in first["api"]
    assert {"10.96.0.1", "fd00:10:96::1", "192.168.60.11", "fd00:60::11"} <= set(first["api_names"])
    assert dual["proxy"]["clusterCIDR"] == "10.244.0.0/16,fd00:10:244::/56"
    assert dual["net"]["EnableIPv4"] is True
    assert dual["net"]["EnableIPv6"] is True
    assert dual["net"]["IPv6Network"] == "fd00:10:244::/56"
    assert "--public-ipv6=fd00:60::21" in dual["component"]["unit"]
    assert (dual["dns"]["spec"]["clusterIP"], dual["dns"]["spec"]["ipFamilyPolicy"]) == (
        "10.96.0.10",
        "PreferDualStack",
    )
    assert dual["rules"]["networks"] == ["10.96.0.0/16", "fd00:10:96::/112"]
    ranges = json.loads(dual["conflist"].replace('"@MTU@"', "0"))["plugins"][0]["ipam"]["ranges"]
    assert ranges == [[{"subnet": "@SUBNET@"}], [{"subnet": "@SUBNET6@"}]]


SUBNETS = {
    "single": ("FLANNEL_SUBNET=10.244.3.1/24\n", [["10.244.3.0/24"]]),
    "dual": (
        "FLANNEL_SUBNET=10.244.0.129/25\nFLANNEL_IPV6_SUBNET=fd00:10:244:3::1/64\n",
        [["10.244.0.128/25"], ["fd00:10:244:3::0/64"]],
    ),
}


@pytest.mark.parametrize("kind", SUBNETS)
def test_what_flanneld_learned_becomes_a_list_of_plugins(made: dict[str, Any], tmp_path: Path, kind: str) -> None:
    """The script itself, with its folders here."""
    told, subnets = SUBNETS[kind]
    component = made[kind]["worker1"]["component"]
    (tmp_path / "pods.conflist.template").write_text(file_of(component, "pods.conflist.template"))
    (tmp_path / "subnet.env").write_text(told + "FLANNEL_MTU=1450\n")
    script = file_of(component, "write-conflist").replace("/run/flannel", str(tmp_path))
    script = script.replace("/etc/kubernetes/flanneld", str(tmp_path)).replace("/etc/cni/net.d", str(tmp_path))
    subprocess.run(["sh", "-c", script], check=True)
    plugin = json.loads((tmp_path / "10-pods.conflist").read_text())["plugins"][0]
    assert plugin["mtu"] == 1450
    assert plugin["ipam"]["ranges"] == [[{"subnet": subnet} for subnet in part] for part in subnets]


# ---- kinds of networks ----


def test_host_gw_leaves_no_tunnel(made: dict[str, Any]) -> None:
    unit = made["host-gw and iptables"]["worker1"]["component"]["unit"]
    assert (
        "ExecStartPre=/bin/sh -c 'if [ -e /sys/class/net/flannel.1 ]; then ip link delete flannel.1; fi; if [ -e"
        in unit
    )
    assert "--ip-masq=false" in unit
    assert "iptables -w -t nat -F FLANNEL-POSTRTG; fi; if ip6tables -t nat -S FLANNEL-POSTRTG" in unit
    assert "nft" not in unit
    assert made["host-gw and iptables"]["worker1"]["net"]["Backend"] == {"Type": "host-gw"}
    assert made["host-gw and iptables"]["worker1"]["net"]["EnableNFTables"] is False
    assert "vxlan" not in made["host-gw and iptables"]["worker1"]["settings"]["modules"]
    assert "ExecStartPre" not in made["dual"]["worker1"]["component"]["unit"]
    assert "--ip-masq=true" in made["dual"]["worker1"]["component"]["unit"]


def test_a_bridge_has_routes_to_the_others(made: dict[str, Any]) -> None:
    bridge = made["bridge"]["worker1"]["component"]
    parts = {host: json.loads(made["bridge"][host]["conflist"])["plugins"][0]["ipam"]["ranges"] for host in HOSTS}
    subnets = {host: part[0][0]["subnet"] for host, part in parts.items()}
    assert len(set(subnets.values())) == 3
    assert sorted(file_of(bridge, "routes").splitlines()) == sorted(
        [f"{subnets['cp1']} 192.168.60.11", f"{subnets['worker2']} 192.168.60.22"]
    )
    assert file_of(bridge, "routes").endswith("\n")
    assert "ip $family route show proto 77" in file_of(bridge, "apply")
    assert "ExecStart=/etc/kubernetes/cni-routes/apply\n" in bridge["unit"]
    assert made["bridge"]["worker1"]["units"][-2:] == ["cni-routes", "kube-proxy"]
    assert "nftables" in made["bridge"]["worker1"]["settings"]["packages"]
    masquerade = file_of(bridge, "masquerade.nft")
    assert f"ip saddr {subnets['worker1']} ip daddr != {{ 10.244.0.0/16, 224.0.0.0/4 }} masquerade" in masquerade
    assert "ip6" not in masquerade


def apply_routes(made: dict[str, Any], folder: Path, **programs: str) -> tuple[int, list[str]]:
    """Run the script with stand-ins for ip and nft; gives its exit code and what it called."""
    component = made["bridge"]["worker1"]["component"]
    (folder / "routes").write_text(file_of(component, "routes"))
    for name in ("ip", "nft"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/called\n{programs.get(name, "")}\n')
        (folder / name).chmod(0o755)
    script = file_of(component, "apply").replace("/etc/kubernetes/cni-routes", str(folder))
    path = f"{folder}:{os.environ['PATH']}"
    code = subprocess.run(["sh", "-c", script], check=False, env={**os.environ, "PATH": path}).returncode
    return code, (folder / "called").read_text().splitlines()


def test_a_route_that_fails_keeps_no_other_from_being_set(made: dict[str, Any], tmp_path: Path) -> None:
    there = '[ "$1 $3" = "-4 show" ] && printf "10.244.9.0/24 via 192.168.60.29 dev eth0\n10.244.8.0/24 via 192.168.60.28\n"'
    code, called = apply_routes(made, tmp_path, ip=f"{there}\ntrue")
    routes = file_of(made["bridge"]["worker1"]["component"], "routes").splitlines()
    wished = ["ip route replace {} via {} proto 77".format(*line.split()) for line in routes]
    gone = [f"ip -4 route delete 10.244.{number}.0/24 proto 77" for number in (9, 8)]
    assert code == 0
    assert [line for line in called if "replace" in line or "delete" in line] == wished + gone
    assert called[-1].startswith("nft -f ")
    for failing in ({"ip": f'{there}\n[ "$2" != replace ]'}, {"ip": f'{there}\n[ "$3" != delete ]'}, {"nft": "exit 1"}):
        (tmp_path / "called").unlink()
        code, told = apply_routes(made, tmp_path, **{"ip": f"{there}\ntrue", **failing})
        assert code == 1
        assert told == called
    unit = made["bridge"]["worker1"]["component"]["unit"]
    assert "StartLimitIntervalSec=0\n" in unit
    assert "Restart=on-failure\nRestartSec=2\n" in unit


def test_a_bridge_of_both_families(made: dict[str, Any]) -> None:
    bridge = made["dual bridge"]["worker1"]
    ranges = json.loads(bridge["conflist"])["plugins"][0]["ipam"]["ranges"]
    routes = file_of(bridge["component"], "routes").splitlines()
    assert len(ranges) == 2
    assert len(routes) == 4
    assert sorted(line.split()[1] for line in routes) == [
        "192.168.60.11",
        "192.168.60.22",
        "fd00:60::11",
        "fd00:60::22",
    ]
    assert all((":" in line.split()[0]) == (":" in line.split()[1]) for line in routes)
    masquerade = file_of(bridge["component"], "masquerade.nft")
    assert f"ip6 saddr {ranges[1][0]['subnet']} ip6 daddr != {{ fd00:10:244::/56, ff00::/8 }} masquerade" in masquerade
    off = file_of(made["dual bridge without masquerading"]["worker1"]["component"], "masquerade.nft")
    assert "masquerade" not in off
    assert off.count("delete table") == 2


def test_a_network_that_is_handed_over(made: dict[str, Any]) -> None:
    none = made["none"]["worker1"]
    component = none["component"]
    assert [entry["path"] for entry in component["files"]] == [
        "/etc/cni/net.d/05-first.conf",
        "/etc/cni/net.d/10-mine.conflist",
    ]
    assert component["files"][0]["content"] == "{}\n"
    assert json.loads(component["files"][1]["content"]) == {"name": "mine", "plugins": []}
    assert {path.rpartition("/")[2]: target for path, target in component["links"].items()} == {
        "loopback": "/opt/hardway/cni-plugins/1.9.1/loopback",
        "mine": "/opt/hardway/cni/mine/1.0.0/mine",
        "mine-ipam": "/opt/hardway/cni/two/2.0.0/mine-ipam",
    }
    assert "unit" not in component
    releases = {release["name"]: release for release in none["releases"]}
    assert releases["mine"]["checksums"] == {"amd64": "ab" * 32, "arm64": "ab" * 32}
    assert releases["mine"]["file_name"] == "mine"
    assert releases["two"]["checksum_url"] == "https://example.com/two.tgz.sha256"
    assert [entry["kind"] for entry in none["objects"]] == ["Namespace", "ConfigMap"]
    assert none["objects"][1]["data"] == {"day": "2026-11-21", "text": "{{ x }}"}


@pytest.mark.parametrize(
    ("kind", "others"), [("dual", {"cni-routes"}), ("bridge", {"flanneld"}), ("none", {"cni-routes", "flanneld"})]
)
def test_units_of_other_networks_are_looked_for(made: dict[str, Any], kind: str, others: set[str]) -> None:
    assert {"cni-routes", "flanneld"} & set(made[kind]["worker1"]["unwanted"]) == others


def test_others_hand_nothing_over(made: dict[str, Any]) -> None:
    assert made["bridge"]["worker1"]["objects"] == []
    assert [entry["kind"] for entry in made["dual"]["worker1"]["objects"]] == ["ClusterRole", "ClusterRoleBinding"]
    assert [release["name"] for release in made["dual"]["worker1"]["releases"]] == ["cni-plugins", "flannel"]


# ---- kube-proxy ----


def test_what_a_mode_needs(made: dict[str, Any]) -> None:
    ipvs, iptables, nftables = (made[kind]["worker1"] for kind in ("bridge", "host-gw and iptables", "dual"))
    assert ipvs["settings"]["needed_by"]["kube_proxy__mode ipvs"] == ["ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh"]
    assert [entry["version"] for entry in nftables["settings"]["minimum_kernels"]] == ["5.13"]
    assert ipvs["settings"]["minimum_kernels"] == iptables["settings"]["minimum_kernels"] == []
    assert "ip_vs" in ipvs["settings"]["modules"]
    assert "ip_vs" not in iptables["settings"]["modules"] + nftables["settings"]["modules"]
    # cni-routes writes its rules there in each mode.
    assert "nf_tables" not in iptables["settings"]["modules"]
    assert "nf_tables" in made["bridge"]["worker1"]["settings"]["modules"]
    assert "grep -q ^:KUBE-SVC-" in ipvs["proxy_unit"]
    assert "test" not in iptables["proxy_unit"]
    assert (
        "if [ -e /sys/class/net/kube-ipvs0 ]; then /usr/local/bin/kube-proxy --cleanup; fi'" in iptables["proxy_unit"]
    )
    assert [entry["rules"]["mode"] for entry in (ipvs, iptables, nftables)] == ["ipvs", "iptables", "nftables"]


def before_it_starts(host: dict[str, Any], word: str) -> str:
    """What root's shell is given before kube-proxy starts, the line with this word."""
    (line,) = [line for line in host["proxy_unit"].splitlines() if line.startswith("ExecStartPre=") and word in line]
    prefix, script = line.removeprefix("ExecStartPre=").split(" ", 1)
    assert prefix == "-+/bin/sh"
    return script


@pytest.mark.parametrize(
    ("left", "cleans"),
    [
        ("", False),
        ("link", True),
        ("iptables-save", True),
        ("ip6tables-save", True),
        ("of others", False),
    ],
)
def test_root_takes_away_what_older_modes_left_to_nftables(
    made: dict[str, Any], tmp_path: Path, left: str, cleans: bool
) -> None:
    """kube-proxy itself is not root in this mode, and neither may nor does."""
    script = before_it_starts(made["all connections"]["worker1"], "--cleanup")
    script = script.replace("/sys/class/net/kube-ipvs0", str(tmp_path / "link"))
    script = script.replace("/usr/local/bin/kube-proxy", str(tmp_path / "kube-proxy"))
    programs = {"kube-proxy": f'echo "$@" >{tmp_path}/ran', "iptables-save": "echo '*nat'", "ip6tables-save": "exit 1"}
    if left == "link":
        (tmp_path / "link").mkdir()
    elif left == "of others":
        programs["iptables-save"] = "echo ':KUBELET-X - [0:0]'"
    elif left:
        programs[left] = "echo '*nat'; echo ':KUBE-SERVICES - [0:0]'"
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", *shlex.split(script)], capture_output=True, text=True, check=True, env=environment
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "ran").exists() is cleans
    assert not cleans or (tmp_path / "ran").read_text() == "--cleanup\n"


@pytest.mark.parametrize(
    ("kind", "cores", "before", "after"),
    [
        ("dual", 2, (65536, 65536), (131072, 65536)),
        ("dual", 8, (65536, 1024), (262144, 65536)),
        ("dual", 128, (65536, 65536), (1048576, 262144)),
        ("dual", 2, (900000, 300000), (900000, 300000)),  # what somebody has set higher stays
        ("connections", 1, (1024, 256), (65536, 16384)),
    ],
)
def test_root_makes_room_for_connections_where_kube_proxy_is_not_root(
    made: dict[str, Any], tmp_path: Path, kind: str, cores: int, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """kube-proxy ends where it can't read the size of the table, a file of root's, and is not asked to here."""
    host = made[kind]["worker1"]
    script = before_it_starts(host, "nf_conntrack_max")
    script = script.replace("$$", "$").replace("$(nproc)", str(cores))
    files = {"nf_conntrack_max": before[0], "hashsize": before[1]}
    for path in ("/proc/sys/net/netfilter/nf_conntrack_max", "/sys/module/nf_conntrack/parameters/hashsize"):
        assert path in script
        script = script.replace(path, str(tmp_path / Path(path).name))
    for name, value in files.items():
        (tmp_path / name).write_text(f"{value}\n")
    done = subprocess.run(["/bin/sh", *shlex.split(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert tuple(int((tmp_path / name).read_text()) for name in files) == after
    assert yaml.safe_load(host["proxy_config"])["conntrack"]["maxPerCore"] == 0


def test_nobody_makes_room_where_that_is_not_wished(made: dict[str, Any]) -> None:
    assert "nf_conntrack" not in made["all connections"]["worker1"]["proxy_unit"]
    assert "conntrack" not in yaml.safe_load(
        made["bridge"]["worker1"]["proxy_config"]
    )  # there it is root and does it itself


@pytest.mark.parametrize("kind", KINDS)
def test_unit_texts_are_whole(made: dict[str, Any], kind: str) -> None:
    """No setting of a unit runs over its line."""
    for unit in (made[kind]["worker1"]["proxy_unit"], made[kind]["worker1"]["component"].get("unit", "")):
        for line in unit.replace("\\\n", " ").splitlines():
            assert not line or line.startswith(("#", "[")) or "=" in line, line


def test_the_sample_is_yaml_of_both_families() -> None:
    variables = yaml.safe_load((REPOSITORY / "inventory/dual_stack/group_vars/all.yml").read_text())
    assert variables["cluster_pod_cidr"].count(",") == variables["cluster_service_cidr"].count(",") == 1
