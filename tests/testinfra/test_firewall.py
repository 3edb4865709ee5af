"""Hosts whose firewall drops all but what docs/topologies.md lists: a cluster is built, verified, loses a host and heals."""

from __future__ import annotations

import re

import pytest
from hardening import table, words
from lab_cluster import (
    BALANCED_API,
    BALANCER,
    BALANCERS,
    HOSTS,
    HOSTVARS,
    MANAGERS,
    NAME,
    NODES,
    SERVERS,
    await_whole,
    changes_nothing,
    green,
    group,
    lab,
    roll_out,
    through,
)
from lab_removal import removal

# Where most parts are on hosts of their own, most rows say something: managers that ask balancers, and balancers that all ask.
pytestmark = [
    pytest.mark.bare,
    pytest.mark.skipif(
        not BALANCERS and bool(set(MANAGERS) & set(SERVERS)), reason="for inventories with more kinds of hosts"
    ),
]
ROWS = table("Hosts, ports, firewalls", "topologies.md")
PODS = next(iter(HOSTVARS.values()), {}).get("cluster_pod_cidr")
# On any host, and on nodes for what goes through: said in the text above the table.
EVERYWHERE = ["iif lo accept", "ct state established,related accept", "meta l4proto { icmp, ipv6-icmp } accept"]
PASSING = ["ct state established,related accept", f"ip saddr {PODS} accept", f"ip daddr {PODS} accept"]
CONTROLLER = "192.168.60.1"
OUTSIDE = ("the controller", "people", "whoever uses Services")  # in this lab all of them are the controller


def addresses(names: list[str]) -> set[str]:
    """Of hosts."""
    return {HOSTVARS[name]["ansible_host"] for name in names}


def hosts_of(cell: str) -> list[str]:
    """Those of the groups that a cell names."""
    return [name for one in words(cell) for name in group(one)]


def wished(row: dict[str, str]) -> list[str]:
    """What a row lets through, in the words of nftables."""
    ports = [f"{protocol} dport {port}" for port, protocol in re.findall(r"\b(\d+)/(tcp|udp)", row["port"])]
    if "NodePorts" in row["port"]:
        ports.append("tcp dport 30000-32767")
    if "VRRP" in row["port"]:
        ports.append("ip protocol vrrp")
    if "the balancer's port" in row["port"] or "the port of `cluster_api_endpoint`" in row["port"]:
        ports.append(f"tcp dport {BALANCED_API.rpartition(':')[2]}")
    return ports


def rules(name: str) -> list[str]:
    """What a host lets in."""
    found = list(EVERYWHERE)
    for row in ROWS:
        if "kind hybrid" in row["from"] and BALANCER != "hybrid":
            continue
        to = hosts_of(row["from"] if row["to"] == "one another" else row["to"])
        if name not in (HOSTS if row["to"] == "all hosts" else to):
            continue
        if "a node's own pods" in row["from"]:
            found += [f"iifname cni0 ip saddr {PODS} {port} accept" for port in wished(row)]
            continue
        sources = addresses(hosts_of(row["from"]))
        if any(word in row["from"] for word in OUTSIDE):
            sources.add(CONTROLLER)
        found += [f"ip saddr {{ {', '.join(sorted(sources))} }} {port} accept" for port in wished(row) if sources]
    return found


def firewall(on, names: list[str]) -> None:
    """A table of the hosts' administrator, who knows nothing of ours; a container loses it with its power."""
    for name in names:
        text = "\n".join(
            [
                "add table inet house",
                "flush table inet house",
                "table inet house {",
                "chain input { type filter hook input priority filter; policy drop;",
                *rules(name),
                "}",
                "chain forward { type filter hook forward priority filter; policy drop;",
                *(PASSING if name in NODES else []),
                "}",
                "}",
            ]
        )
        on(name).check_output("printf %s %s | nft -f -", "%s\\n", text)


@pytest.fixture(scope="module", autouse=True)
def firewalled(on):
    """The hosts have it before anything of ours is there, and lose it after the tests."""
    for name in HOSTS:
        on(name).check_output("apt-get -qq update && apt-get -qq --yes --no-install-recommends install nftables")
    firewall(on, HOSTS)
    yield
    for name in HOSTS:
        on(name).check_output("nft delete table inet house")


def test_it_is_built_and_works(playbook):
    """From bare hosts, and from its users' side."""
    green(playbook, "site.yml")
    changes_nothing(green(playbook, "site.yml"))
    await_whole(playbook)


def test_what_the_table_does_not_list_is_dropped(on):
    """Or the other tests would prove nothing."""
    on(NODES[0]).check_output("systemd-run --collect --unit=unlisted python3 -m http.server 9999")
    try:
        ask = f"curl -s --max-time 2 http://{HOSTVARS[NODES[0]]['ansible_host']}:9999/"
        on(NODES[0]).check_output("curl -s --retry 20 --retry-all-errors http://127.0.0.1:9999/")
        assert on(NODES[-1]).run(ask).rc == 28  # no answer in time
    finally:
        on(NODES[0]).check_output("systemctl stop unlisted")


@pytest.mark.parametrize("lost", [SERVERS[0], *BALANCERS[:1]])
def test_one_host_is_lost(on, playbook, kubectl, lost):
    """The others carry the cluster behind their firewalls; with power again it heals."""
    lab("stop", lost)
    try:
        roll_out(through(kubectl, SERVERS[-1]), f"walled-{lost}")
    finally:
        lab("start", lost)
        firewall(on, [lost])
    await_whole(playbook)


def test_one_host_is_taken_out_and_taken_away_are_all(playbook):
    """remove_node.yml and reset.yml need no port that is not listed."""
    green(playbook, *removal(SERVERS[0], f"remove_data={SERVERS[0]}", f"remove_confirm={NAME}"))
    green(playbook, "site.yml")
    green(playbook, "playbooks/reset.yml", "-e", f"reset_confirm={NAME}", "-e", "reset_data=true")
