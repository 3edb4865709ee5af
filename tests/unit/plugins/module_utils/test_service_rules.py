"""Rules of Services as kube-proxy 1.36.3 wrote them, read by Debian 12's nft and iptables-save, against the API's objects.

The captures are of one kube-proxy on node cp1 for the objects in api.json: Services of both families, one with affinity, one
that stays on the node, one without endpoints, one whose last endpoint ends, one with an external address.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import service_rules

CAPTURES = Path(__file__).parent / "captures"
NETWORKS = ["10.96.0.0/16", "fd00:10:96::/112"]
DNS = "udp 10.96.0.10:53"
# As net/netfilter/ipvs/ip_vs_ctl.c prints it.
IPVS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr\x20
  -> C0A83C0B:192B      Masq    1      3          0\x20\x20\x20\x20\x20\x20\x20\x20\x20
UDP  0A60000A:0035 rr\x20
  -> 0AF40002:0035      Masq    1      0          0\x20\x20\x20\x20\x20\x20\x20\x20\x20
  -> 0AF40102:0035      Masq    1      0          4\x20\x20\x20\x20\x20\x20\x20\x20\x20
  -> 0AF40105:0035      Masq    0      0          1\x20\x20\x20\x20\x20\x20\x20\x20\x20
TCP  0A600707:0050 rr persistent 10800 FFFFFFFF
  -> 0AF40107:1F90      Masq    1      0          0\x20\x20\x20\x20\x20\x20\x20\x20\x20
TCP  C0A83C0B:7580 rr\x20
  -> 0AF40107:1F90      Masq    1      0          0\x20\x20\x20\x20\x20\x20\x20\x20\x20
FWM  00000001 rr\x20
  -> 0AF40107:1F90      Masq    1      0          0\x20\x20\x20\x20\x20\x20\x20\x20\x20
UDP  [fd00:0010:0096:0000:0000:0000:0000:000a]:0035 rr\x20
  -> [fd00:0010:0244:0001:0000:0000:0000:0002]:0035      Masq    1      0          0\x20\x20\x20\x20\x20\x20\x20\x20\x20
TCP  0A600709:0050 rr\x20
"""


def capture(name: str) -> str:
    return (CAPTURES / name).read_text()


def objects() -> dict[str, list[dict[str, Any]]]:
    return json.loads(capture("api.json"))


def virtual_servers(found: dict[str, set[str]]) -> str:
    """The kernel's table that says the same, in the form of IPVS below its head."""

    def written(text: str) -> str:
        address, _colon, port = text.rpartition(":")
        if address.startswith("["):
            return f"[{ipaddress.IPv6Address(address.strip('[]')).exploded}]:{int(port):04X}"
        return f"{int(ipaddress.IPv4Address(address)):08X}:{int(port):04X}"

    lines = IPVS.splitlines()[:3]
    for name, endpoints in found.items():
        protocol, at = name.split(" ")
        lines.append(f"{protocol.upper()}  {written(at)} rr ")
        lines += [f"  -> {written(endpoint)}      Masq    1      0          0         " for endpoint in endpoints]
    return "\n".join(lines) + "\n"


def rules(mode: str) -> dict[str, set[str]]:
    if mode == "nftables":
        return {
            **service_rules.of_nftables(capture("nft-ip.json")),
            **service_rules.of_nftables(capture("nft-ip6.json")),
        }
    if mode == "ipvs":
        return service_rules.of_ipvs(virtual_servers(rules("nftables")))
    return {
        **service_rules.of_iptables(capture("iptables-save.txt")),
        **service_rules.of_iptables(capture("ip6tables-save.txt")),
    }


def named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["metadata"]["name"] == name)


def compared(found: dict[str, set[str]], node: str = "cp1", there: Any = None) -> set[str]:
    there = there or objects()
    wished = service_rules.wished(there["services"], there["slices"], node)
    return service_rules.differences(wished, found, NETWORKS)


MODES = ["nftables", "iptables", "ipvs"]


# ---- what is in the kernel ----


@pytest.mark.parametrize("mode", MODES)
def test_what_kube_proxy_wrote_is_read(mode: str) -> None:
    found = rules(mode)
    assert found[DNS] == {"10.244.0.2:53", "10.244.1.2:53"}
    assert found["tcp [fd00:10:96::a]:9153"] == {"[fd00:10:244::2]:9153", "[fd00:10:244:1::2]:9153"}
    assert found["tcp 10.96.7.7:80"] == {"10.244.1.7:8080", "10.244.1.8:8080"}  # with affinity
    assert found["tcp [fd00:10:96::7]:80"] == {"[fd00:10:244:1::7]:8080", "[fd00:10:244:1::8]:8080"}
    assert found["tcp 10.96.7.8:80"] == {"10.244.0.7:8080"}  # only the node's own
    assert found["tcp 10.96.7.11:80"] == {"10.244.1.20:8080"}  # it ends, and there is no other
    assert found["tcp 203.0.113.9:80"] == {"10.244.1.7:8080"}
    assert "tcp 10.96.7.9:80" not in found
    assert len(found) == 13


def test_all_modes_say_the_same() -> None:
    assert rules("nftables") == rules("iptables") == rules("ipvs")


@pytest.mark.parametrize(
    "strange",
    [
        "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.1.5",
        "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination :8080",
        "-A OUTPUT -j DNAT --to-destination 192.168.1.5-192.168.1.9",
        "-A CNI-DN-xyz -j DNAT [unsupported revision]",
    ],
)
def test_somebody_elses_translations_are_passed_over(strange: str) -> None:
    """A host may forward ports of its own; they stand in the same table as kube-proxy's."""
    saved = capture("iptables-save.txt").replace("COMMIT", strange + "\nCOMMIT")
    assert service_rules.of_iptables(saved) == service_rules.of_iptables(capture("iptables-save.txt"))


def test_older_kube_proxies_chose_endpoints_by_chains() -> None:
    """1.34: numgen with a map of verdicts without affinity too, and elements with comments."""
    chain = {"family": "ip", "table": "kube-proxy"}
    goto = [[0, {"goto": {"target": "endpoint-a"}}], [1, {"goto": {"target": "endpoint-b"}}]]
    element = {"elem": {"val": {"concat": ["10.96.0.10", "udp", 53]}, "comment": "kube-system/kube-dns:dns"}}
    listing = [
        {"map": {"name": "service-ips", "elem": [[element, {"goto": {"target": "service-dns"}}]]}},
        {"rule": {**chain, "chain": "service-dns", "expr": [{"counter": {}}, {"vmap": {"data": {"set": goto}}}]}},
        {"rule": {**chain, "chain": "endpoint-a", "expr": [{"dnat": {"addr": "10.244.0.2", "port": 53}}]}},
        {"rule": {**chain, "chain": "endpoint-b", "expr": [{"dnat": {"addr": "10.244.1.2", "port": 53}}]}},
    ]
    found = service_rules.of_nftables(json.dumps({"nftables": listing}))
    assert found == {DNS: {"10.244.0.2:53", "10.244.1.2:53"}}


def test_virtual_servers_are_read() -> None:
    assert service_rules.of_ipvs(IPVS) == {
        "tcp 10.96.0.1:443": {"192.168.60.11:6443"},
        DNS: {"10.244.0.2:53", "10.244.1.2:53"},
        "tcp 10.96.7.7:80": {"10.244.1.7:8080"},
        "tcp 192.168.60.11:30080": {"10.244.1.7:8080"},
        "udp [fd00:10:96::a]:53": {"[fd00:10:244:1::2]:53"},
        "tcp 10.96.7.9:80": set(),
    }


@pytest.mark.parametrize("read", [service_rules.of_iptables, service_rules.of_ipvs])
def test_nothing_is_nothing(read: Any) -> None:
    assert read("") == {}


# ---- against the API ----


@pytest.mark.parametrize("mode", MODES)
def test_rules_that_agree(mode: str) -> None:
    assert compared(rules(mode)) == set()


@pytest.mark.parametrize("mode", MODES)
def test_a_ready_endpoint_that_is_not_in_the_rules(mode: str) -> None:
    there = objects()
    there["slices"][1]["endpoints"].append({"addresses": ["10.244.2.2"], "conditions": {}})
    found = compared(rules(mode), there=there)
    assert len(found) == 3  # a sentence for each port
    assert (
        "of Service kube-system/kube-dns (udp 10.96.0.10:53) the ready endpoint 10.244.2.2:53 is not in the rules"
        in found
    )


@pytest.mark.parametrize("mode", MODES)
def test_an_endpoint_that_is_gone(mode: str) -> None:
    there = objects()
    del there["slices"][3]["endpoints"][1]
    assert compared(rules(mode), there=there) == {
        "of Service shop/web (tcp 10.96.7.7:80) the rules have the endpoint 10.244.1.8:8080, which is gone"
    }


@pytest.mark.parametrize("mode", MODES)
def test_an_endpoint_that_is_not_ready_any_more(mode: str) -> None:
    there = objects()
    there["slices"][3]["endpoints"][1]["conditions"] = {"ready": False, "serving": False, "terminating": False}
    assert len(compared(rules(mode), there=there)) == 1
    there["slices"][3]["endpoints"][1]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    assert compared(rules(mode), there=there) == set()  # it ends, and the rules follow in a moment


@pytest.mark.parametrize("mode", MODES)
def test_a_service_that_is_gone(mode: str) -> None:
    there = objects()
    there["services"].remove(named(there["services"], "near"))
    assert compared(rules(mode), there=there) == {"the rules have tcp 10.96.7.8:80, which is no Service"}


def test_addresses_outside_the_services_networks_are_not_looked_at() -> None:
    found = rules("nftables")
    found["tcp 198.51.100.7:80"] = {"10.244.1.7:8080"}
    assert compared(found) == set()


def test_no_rules_at_all() -> None:
    assert len(compared({})) == 19  # every ready endpoint that this node is to use


def test_a_service_of_another_proxy() -> None:
    there, found = objects(), rules("nftables")
    service = named(there["services"], "near")
    service["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "mine"}
    del found["tcp 10.96.7.8:80"]
    assert compared(found, there=there) == set()


def test_what_stays_on_its_node_is_another_on_each() -> None:
    found = rules("nftables")
    assert compared(found, node="worker1") == {
        "of Service shop/near (tcp 10.96.7.8:80) the ready endpoint 10.244.1.7:8080 is not in the rules",
        "of Service shop/near (tcp 10.96.7.8:80) the rules have the endpoint 10.244.0.7:8080, which is gone",
    }


def test_a_node_that_takes_the_nearest_endpoints() -> None:
    there, found = objects(), rules("nftables")
    for endpoint in there["slices"][3]["endpoints"]:
        endpoint["hints"] = {"forZones": [{"name": "a"}]}
    found["tcp 10.96.7.7:80"] = {"10.244.1.7:8080"}
    assert compared(found, there=there) == set()
    found["tcp 10.96.7.7:80"] = set()
    assert len(compared(found, there=there)) == 2


# ---- one host ----


class Host:
    """A host's programs and API, and how time passes there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.answers: dict[str, Any] = {
            "nft -j list table ip kube-proxy": capture("nft-ip.json"),
            "nft -j list table ip6 kube-proxy": capture("nft-ip6.json"),
            "nft list tables": "",
            "iptables-save -t nat": "",
            "ip6tables-save -t nat": "",
        }
        self.there, self.now, self.looks = objects(), 0.0, 0
        self.programs = {"nft", "iptables-save", "ip6tables-save"}
        self.ipvs = tmp_path / "ip_vs"
        self.link = tmp_path / "kube-ipvs0"
        for name in ("ca", "cert", "key"):
            (tmp_path / name).write_text("x")
        self.wish: dict[str, Any] = {
            "mode": "nftables",
            "networks": NETWORKS,
            "node": "cp1",
            "server": "https://127.0.0.1:7443",
            "within": 5,
            **{name: str(tmp_path / name) for name in ("ca", "cert", "key")},
        }
        monkeypatch.setattr(shutil, "which", lambda name: name if name in self.programs else None)
        monkeypatch.setattr(service_rules, "IPVS_TABLE", str(self.ipvs))
        monkeypatch.setattr(service_rules, "IPVS_LINK", str(self.link))
        monkeypatch.setattr(service_rules, "Api", lambda *_: SimpleNamespace(request=self.request))
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(service_rules, "time", clock)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def request(self, method: str, path: str) -> dict[str, Any]:
        assert method == "GET"
        self.looks += path.startswith("/api/v1/services?")
        return {"items": self.there["services" if "services" in path else "slices"]}

    def run_command(self, command: list[str]) -> tuple[int, str, str]:
        answer = self.answers.get(" ".join(command))
        answer = answer() if callable(answer) else answer
        return (1, "", "no such table") if answer is None else (0, answer, "")

    def rules(self) -> service_rules.Rules:
        return service_rules.Rules(self, self.wish)

    def use_iptables(self) -> None:
        self.wish["mode"] = "iptables"
        self.answers["iptables-save -t nat"] = capture("iptables-save.txt")
        self.answers["ip6tables-save -t nat"] = capture("ip6tables-save.txt")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    return Host(monkeypatch, tmp_path)


def test_rules_that_agree_at_once_are_looked_at_once(machine: Host) -> None:
    assert machine.rules().compare() == ([], {"services": 13, "endpoints": 21})
    assert (machine.looks, machine.now) == (1, 0.0)
    assert machine.rules().leftovers() == []


def test_what_differs_only_for_a_moment_is_no_finding(machine: Host) -> None:
    whole, gone = capture("nft-ip.json"), copy.deepcopy(machine.there)
    answers = iter([whole, whole, whole])
    machine.answers["nft -j list table ip kube-proxy"] = lambda: next(answers)

    def sleep(seconds: float) -> None:
        machine.now += seconds
        machine.there = gone

    machine.there["slices"][3]["endpoints"][1]["addresses"] = ["10.244.1.99"]
    service_rules.time.sleep = sleep
    assert machine.rules().compare()[0] == []
    assert machine.looks == 2


def test_what_changes_all_the_time_is_no_finding(machine: Host) -> None:
    numbers = iter(range(30, 90))

    def request(method: str, path: str) -> dict[str, Any]:
        machine.there["slices"][3]["endpoints"][1]["addresses"] = [f"10.244.1.{next(numbers)}"]
        there = copy.deepcopy(machine.there)
        there["slices"][3]["endpoints"].append({"addresses": ["10.244.1.8"], "conditions": {}})
        return {"items": there["services" if "services" in path else "slices"]}

    machine.request = request  # type: ignore[method-assign]
    assert machine.rules().compare()[0] == []


def test_what_stays_different_is_told_and_the_wait_is_bounded(machine: Host) -> None:
    machine.there["slices"][3]["endpoints"][1]["addresses"] = ["10.244.1.99"]
    (found,) = machine.rules().compare()[0]
    assert found == (
        "of Service shop/web (tcp 10.96.7.7:80) the ready endpoint 10.244.1.99:8080 is not in the rules; of Service shop/web "
        "(tcp 10.96.7.7:80) the rules have the endpoint 10.244.1.8:8080, which is gone, and that for 5 s. Look at: journalctl "
        "-u kube-proxy; then: systemctl restart kube-proxy."
    )
    assert 5 < machine.now <= 7


def test_many_differences_are_one_finding(machine: Host) -> None:
    machine.there["slices"] = []
    (found,) = machine.rules().compare()[0]
    assert "and 15 more of the kind, and that for 5 s" in found


def test_a_table_that_is_not_there(machine: Host) -> None:
    machine.answers["nft -j list table ip6 kube-proxy"] = None
    (found,) = machine.rules().compare()[0]
    assert found.startswith(
        "the nftables table ip6 kube-proxy, in which kube-proxy's mode nftables keeps its rules, is not"
    )
    machine.programs.remove("nft")
    assert len(machine.rules().compare()[0]) == 2
    assert machine.looks == 0


def test_chains_that_are_there_and_not(machine: Host) -> None:
    machine.use_iptables()
    assert machine.rules().compare() == ([], {"services": 13, "endpoints": 21})
    machine.answers["ip6tables-save -t nat"] = "*nat\n:KUBE-MARK-MASQ - [0:0]\nCOMMIT\n"
    (found,) = machine.rules().compare()[0]
    assert found.startswith(
        "the chain KUBE-SERVICES of ip6tables, table nat, in which kube-proxy's mode iptables keeps"
    )


def test_one_family_asks_for_one(machine: Host) -> None:
    machine.wish["networks"] = NETWORKS[:1]
    machine.answers["nft -j list table ip6 kube-proxy"] = None
    machine.there["services"] = [
        {**service, "spec": {**service["spec"], "clusterIPs": service["spec"]["clusterIPs"][:1]}}
        for service in machine.there["services"]
    ]
    assert machine.rules().compare() == ([], {"services": 9, "endpoints": 13})


def test_virtual_servers_against_the_api(machine: Host) -> None:
    machine.wish.update(mode="ipvs", networks=NETWORKS[:1])
    machine.answers["iptables-save -t nat"] = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODE-PORT - [0:0]\nCOMMIT\n"
    (found,) = machine.rules().compare()[0]
    assert "the kernel's table of virtual servers" in found
    machine.ipvs.write_text(IPVS)
    keep = ("kubernetes", "empty")
    machine.there["services"] = [entry for entry in machine.there["services"] if entry["metadata"]["name"] in keep]
    (found,) = machine.rules().compare()[0]
    assert "the rules have tcp 10.96.7.7:80, which is no Service; the rules have udp 10.96.0.10:53" in found
    assert "192.168.60.11:30080" not in found


def test_an_api_that_does_not_answer_is_told(machine: Host) -> None:
    def request(method: str, path: str) -> Any:
        raise service_rules.ApiError(0, "no API server answered")

    machine.request = request  # type: ignore[method-assign]
    assert machine.rules().compare()[0] == [
        "the rules of Services can't be compared with the API: no API server answered"
    ]


@pytest.mark.parametrize(
    ("mode", "left", "words"),
    [
        ("nftables", "iptables", "chains KUBE-SERVICES* (iptables)"),
        ("nftables", "ipvs", "interface kube-ipvs0 and its virtual servers (ipvs)"),
        ("nftables", "ip6tables", "chains KUBE-SERVICES* (ip6tables)"),
        ("iptables", "nftables", "table ip kube-proxy (nftables)"),
        ("iptables", "ipvs", "interface kube-ipvs0 and its virtual servers (ipvs)"),
        ("ipvs", "iptables", "chains KUBE-SVC-* (iptables)"),
        ("ipvs", "ip6tables", "chains KUBE-SVC-* (ip6tables)"),
        ("ipvs", "nftables", "table ip kube-proxy (nftables)"),
        ("ipvs", "nftables of IPv6", "table ip6 kube-proxy (nftables)"),
    ],
)
def test_rules_that_another_mode_left(machine: Host, mode: str, left: str, words: str) -> None:
    machine.wish["mode"] = mode
    if left in ("iptables", "ip6tables"):
        machine.answers[f"{left}-save -t nat"] = capture(f"{left}-save.txt")
    if left.startswith("nftables"):
        family = "ip6" if left.endswith("IPv6") else "ip"
        machine.answers["nft list tables"] = f"table ip filter\ntable {family} kube-proxy\n"
    if left == "ipvs":
        machine.link.mkdir()
    (found,) = machine.rules().leftovers()
    assert found.startswith(f"rules of another mode of kube-proxy than {mode} are left: {words}. Take them away: ")
    assert "kube-proxy --cleanup" in found
