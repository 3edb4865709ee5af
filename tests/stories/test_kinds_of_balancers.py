"""A running cluster changes from one kind of balancer to another: nginx, a balancer of somebody else's, and both."""

from __future__ import annotations

import re

import pytest
import yaml
from lab_cluster import (
    BALANCERS,
    HOSTVARS,
    NAME,
    VIRTUAL_ADDRESS,
    all_answered,
    await_whole,
    changes_nothing,
    green,
    group,
    holders,
    lab,
    told,
)
from lab_losses import (
    HUNG_WITHIN,
    LOOKS_ON,
    WAITS_AT_MOST,
    ends,
    hangs,
    leaves_out_who_is_not_ready,
    stopped,
    wait_without,
)
from lab_removal import is_bare
from lab_theirs import ENDPOINT, WHERE, blind, documented, external, hybrid, unchecked

pytestmark = [
    pytest.mark.skipif(not BALANCERS, reason="no host balances for others here"),
    pytest.mark.usefixtures("healed"),
    pytest.mark.late,
]
SERVERS, WORKER = group("kube_apiserver"), group("worker")[0]
REPLACED_WITHIN = 15.0  # seconds without anybody at the address (docs/load-balancers.md)
LOCAL = told(load_balancer__kind="local", cluster_api_endpoint="", cluster_load_balancer_group="nobody")


def url(name: str) -> str:
    """An API server by itself."""
    return f"https://{HOSTVARS[name]['ansible_host']}:6443"


def server_of(on, name: str) -> str:
    """Where a node's kubelet asks."""
    config = yaml.safe_load(on(name).file("/etc/kubernetes/kubelet/kubeconfig").content_string)
    return config["clusters"][0]["cluster"]["server"]


def test_nginx_in_place_of_haproxy(on, playbook, asking):
    """The pair is changed one host at a time; then it does what HAProxy does, with each kind of loss."""
    extra = told(load_balancer__kind="nginx")
    asker = asking(WORKER, f"https://{VIRTUAL_ADDRESS}:6443")
    green(playbook, "site.yml", *extra)
    assert asker.longest_wait("haproxy becomes nginx") < WAITS_AT_MOST
    for name in BALANCERS:
        assert "nginx" in on(name).check_output("ps -u load-balancer -o comm=")
        assert "haproxy" not in on(name).check_output("ps -u load-balancer -o comm=")
    changes_nothing(green(playbook, "site.yml", *extra))
    await_whole(playbook, *extra)

    shared = f"https://{VIRTUAL_ADDRESS}:6443"
    server, host = SERVERS[0], on(SERVERS[0])
    ends(host, asking(WORKER, shared), "nginx, an API server ended")
    await_whole(playbook, *extra)
    client = asking(WORKER, shared, ready=True)
    leaves_out_who_is_not_ready(host, client, playbook, "nginx, an API server not ready", *extra)
    await_whole(playbook, *extra)
    hangs(host, asking(WORKER, shared), "nginx, an API server hung")
    await_whole(playbook, *extra)

    assert wait_without(server, asking, playbook, "nginx, an API server's host lost", shared, *extra) < WAITS_AT_MOST
    (holder,) = holders(on)
    assert wait_without(holder, asking, playbook, "nginx, a balancer's host lost", shared, *extra) < WAITS_AT_MOST


def test_a_tag_leaves_the_balancer_that_nodes_still_ask(on, playbook):
    """From local balancers back to the pair: first with a tag that leaves the kubelets out, then all of it."""
    green(playbook, "site.yml", *LOCAL)
    green(playbook, "site.yml", "--tags", "load_balancer")
    for name in group("kube_node"):
        assert server_of(on, name) == "https://127.0.0.1:7443"
        assert on(name).service("load-balancer").is_running
    green(playbook, "site.yml")
    for name in group("kube_node"):
        assert server_of(on, name) == f"https://{VIRTUAL_ADDRESS}:6443"
        assert not on(name).file("/etc/systemd/system/load-balancer.service").exists
    changes_nothing(green(playbook, "site.yml"))
    # The certificates know both addresses for as long as they live, so nobody was refused in between.
    serving = "/etc/kubernetes/kube-apiserver/pki/serving.crt"
    names = on(SERVERS[0]).check_output(f"openssl x509 -noout -ext subjectAltName -in {serving}")
    assert VIRTUAL_ADDRESS in names
    await_whole(playbook)


@pytest.fixture
def by_way_of_local(playbook, healed):  # its end comes before that of healed
    """Nodes ask their own balancers before the inventory's own address and port are wished again."""
    yield
    green(playbook, "site.yml", *LOCAL)


@pytest.mark.usefixtures("by_way_of_local")
def test_other_hosts_balance_in_their_place(on, playbook, asking):
    """As docs/load-balancers.md tells: by way of local to the control plane's own hosts at another port, and in one step back."""
    green(playbook, "site.yml", *LOCAL)
    left = ["-e", f"reset_confirm={NAME}", "--limit", ",".join(BALANCERS)]
    green(playbook, "playbooks/reset.yml", *left)  # the lab's inventory is the copy of before
    for name in BALANCERS:
        is_bare(on, name)
    await_whole(playbook, *LOCAL)

    endpoint = f"{VIRTUAL_ADDRESS}:8443"
    beside = told(cluster_api_endpoint=endpoint, cluster_load_balancer_group="kube_apiserver")
    green(playbook, "site.yml", *beside)
    assert {server_of(on, name) for name in group("kube_node")} == {f"https://{endpoint}"}
    changes_nothing(green(playbook, "site.yml", *beside))
    await_whole(playbook, *beside)
    (holder,) = holders(on, SERVERS)
    waited = wait_without(
        holder, asking, playbook, "a control-plane host that holds the address lost", f"https://{endpoint}", *beside
    )
    assert waited < WAITS_AT_MOST

    apart = told(cluster_api_endpoint=endpoint)
    asker = asking(WORKER, f"https://{endpoint}")
    green(playbook, "site.yml", *apart)
    assert asker.longest_wait("balancers replaced by others in one step") < REPLACED_WITHIN
    assert holders(on, SERVERS) == []
    assert len(holders(on)) == 1
    changes_nothing(green(playbook, "site.yml", *apart))
    await_whole(playbook, *apart)


def test_a_port_is_not_changed_under_nodes_that_ask_there(playbook):
    """Nothing is changed, and the words tell the way."""
    extra = told(cluster_api_endpoint=f"{VIRTUAL_ADDRESS}:9443")
    result = playbook("site.yml", *extra)
    assert result.returncode == 2
    changes_nothing(result)
    words = re.sub(r"\s+", " ", result.stdout + result.stderr)
    assert "balances at port 6443, and would at port 9443 while" in words, result.stdout[-4000:]


def test_a_balancer_of_somebody_elses(on, playbook, theirs, asking):
    """Configured as documented, it is all that nodes and people ask; an API server that ends costs no request."""
    theirs(documented(SERVERS))
    extra = external()
    green(playbook, "site.yml", *extra)
    assert {server_of(on, name) for name in group("kube_node")} == {f"https://{ENDPOINT}"}
    changes_nothing(green(playbook, "site.yml", *extra))
    result = green(playbook, "playbooks/verify.yml", *extra)
    all_answered(result.stdout, ENDPOINT)

    ends(on(SERVERS[0]), asking(WORKER, f"https://{ENDPOINT}"), "external, an API server ended")
    await_whole(playbook, *extra)

    waited = wait_without(
        SERVERS[0], asking, playbook, "external, an API server's host lost", f"https://{ENDPOINT}", *extra
    )
    assert waited < HUNG_WITHIN


def led_nowhere_without(unit: str, host, playbook, extra: list[str]) -> list[tuple[str, str]]:
    """Connections through somebody else's balancer that led to no ready server while a unit was off, of how many; some did."""
    with stopped(host, unit):
        result = playbook("playbooks/verify.yml", *extra)
    assert result.returncode == 2
    lost = re.findall(rf"(\d+) of (\d+) connections to {re.escape(ENDPOINT)} led to no ready API", result.stdout)
    assert lost, result.stdout[-4000:]
    return lost


@pytest.fixture
def without_the_pair(on):
    """The pair of before, which asks for /readyz too, is off for the test."""

    def both(verb: str) -> None:
        for name in BALANCERS:
            on(name).check_output(f"systemctl {verb} load-balancer")

    yield lambda: both("stop")
    both("start")


def test_a_balancer_that_checks_too_little_is_found(on, playbook, theirs, without_the_pair):
    """With a TCP connect only it sends clients to servers that aren't ready; with one server it does not balance."""
    theirs(documented(SERVERS))
    extra = external()
    green(playbook, "site.yml", *extra)
    without_the_pair()
    theirs(blind(documented(SERVERS)))
    result = playbook("playbooks/verify.yml", *extra)
    assert result.returncode == 2
    assert f"has not asked the API server {url(SERVERS[0])}" in result.stdout, result.stdout[-4000:]
    # The users' side of it: a server that lives and is not ready gets connections.
    lost = led_nowhere_without("etcd", on(SERVERS[0]), playbook, extra)
    assert all(int(some) < int(every) for some, every in lost), lost
    theirs(documented(SERVERS))
    await_whole(playbook, *extra)
    theirs(documented(SERVERS[:1]))
    result = playbook("playbooks/verify.yml", *extra)
    assert result.returncode == 2
    assert f"has not asked the API server {url(SERVERS[0])}" not in result.stdout, result.stdout[-4000:]
    assert f"has not asked the API server {url(SERVERS[1])}" in result.stdout, result.stdout[-4000:]
    said = re.sub(r"\s+", " ", result.stdout)
    assert f"connections to {ENDPOINT} led to {SERVERS[0]}, and {len(SERVERS)} API servers are ready" in said


@pytest.mark.parametrize("where", ["nowhere", "another service"])
def test_an_address_where_no_balancer_answers(playbook, where):
    """Nothing is changed, and the words say what is wrong with the address: nobody is there, or somebody who is not the API."""
    address = {"nowhere": "192.168.60.99:8443", "another service": f"{HOSTVARS[WORKER]['ansible_host']}:22"}[where]
    result = playbook("site.yml", *external(address))
    assert result.returncode == 2
    changes_nothing(result)
    said = re.sub(r"\s+", " ", result.stdout)
    assert f"gets no answer of the API at cluster_api_endpoint {address}" in said, result.stdout[-4000:]


def test_a_balancer_of_somebody_elses_before_ours(on, playbook, theirs, asking):
    """People ask at theirs, which asks the pair; nodes at the pair's own address, whose holder is lost; then all at theirs."""
    theirs(documented(BALANCERS))
    extra = hybrid(virtual_address__address=VIRTUAL_ADDRESS)
    green(playbook, "site.yml", *extra)
    assert {server_of(on, name) for name in group("kube_node")} == {f"https://{VIRTUAL_ADDRESS}:6443"}
    changes_nothing(green(playbook, "site.yml", *extra))
    result = green(playbook, "playbooks/verify.yml", *extra)
    all_answered(result.stdout, ENDPOINT)

    # The host that theirs is on stays; the other one is to have the address.
    on(WHERE).check_output("systemctl stop virtual-address")
    on(WHERE).check_output("systemctl start virtual-address")
    assert holders(on) == BALANCERS[1:]
    people, nodes = asking(WORKER, f"https://{ENDPOINT}"), asking(WORKER, f"https://{VIRTUAL_ADDRESS}:6443")
    lab("stop", BALANCERS[1])
    try:
        assert nodes.longest_wait("hybrid, the holder of the address lost, a node", LOOKS_ON) < WAITS_AT_MOST
        assert people.longest_wait("hybrid, a host of the pair lost, people") < WAITS_AT_MOST
    finally:
        lab("start", BALANCERS[1])
    await_whole(playbook, *extra)

    # A front that looks at nothing goes on asking a host of the pair that leads nowhere.
    theirs(unchecked(documented(BALANCERS)))
    led_nowhere_without("load-balancer", on(BALANCERS[1]), playbook, extra)
    theirs(documented(BALANCERS))
    await_whole(playbook, *extra)

    # Without an address of their own nodes ask at theirs too; the pair may be of the other program.
    extra = hybrid(load_balancer__program="nginx")
    green(playbook, "site.yml", *extra)
    assert {server_of(on, name) for name in group("kube_node")} == {f"https://{ENDPOINT}"}
    for name in BALANCERS:
        assert not on(name).file("/etc/systemd/system/virtual-address.service").exists
        assert "nginx" in on(name).check_output("ps -u load-balancer -o comm=")
    changes_nothing(green(playbook, "site.yml", *extra))
    await_whole(playbook, *extra)
    waited = wait_without(
        BALANCERS[1],
        asking,
        playbook,
        "hybrid without an address, a host of the pair lost",
        f"https://{ENDPOINT}",
        *extra,
    )
    assert waited < HUNG_WITHIN
