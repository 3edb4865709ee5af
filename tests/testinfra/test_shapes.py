"""Fully manual in two more shapes, both behind HAProxy on hosts of its own and both from bare hosts: three services together, and apart."""

from __future__ import annotations

import functools

import pytest
from lab_cluster import (
    LEADING,
    MANAGERS,
    NAME,
    SERVERS,
    changes_nothing,
    green,
    group,
    holders,
    leader,
    roll_out,
    through,
    told,
)
from lab_losses import WAITS_AT_MOST, wait_without

pytestmark = [
    pytest.mark.last,
    pytest.mark.skipif(
        bool(set(MANAGERS) & set(SERVERS)), reason="for an inventory with managers on hosts of their own"
    ),
]
ADDRESS = "192.168.60.30"
ENDPOINT = f"https://{ADDRESS}:6443"
CONTROLLERS, SCHEDULERS, ETCD = group("kube_controller_manager"), group("kube_scheduler"), group("etcd")


class Shape:
    """A cluster with its groups as a class below says, from bare hosts to bare hosts."""

    groups: dict[str, str]
    managing: dict[str, list[str]]
    balancers: list[str]
    asks: str  # where controller-managers and schedulers ask

    @property
    def extra(self) -> list[str]:
        """What its user sets, as options of ansible-playbook."""
        return told(load_balancer__kind="haproxy", cluster_api_endpoint=f"{ADDRESS}:6443", **self.groups)

    def test_it_is_built_and_a_second_run_changes_nothing(self, playbook, on):
        """Check mode leaves bare hosts bare; each service is where its group is, and nowhere else."""
        everyone = dict.fromkeys(SERVERS + MANAGERS + ETCD)
        green(playbook, "playbooks/fully_manual.yml", "--check", *self.extra)
        for name in everyone:
            assert not on(name).file("/etc/kubernetes").exists
        green(playbook, "playbooks/fully_manual.yml", *self.extra)
        for more in ([], ["--check"]):
            changes_nothing(green(playbook, "playbooks/fully_manual.yml", *more, *self.extra))
        green(playbook, "playbooks/verify.yml", *self.extra)
        places = {"etcd": ETCD, "kube-apiserver": SERVERS, **self.managing}
        places |= dict.fromkeys(("load-balancer", "virtual-address"), self.balancers)
        places |= dict.fromkeys(("kubelet", "containerd", "kube-proxy", "flanneld"), [])
        for name in everyone:
            found = set(on(name).check_output("ls /etc/systemd/system").split())
            wished = {unit for unit, names in places.items() if name in names}
            assert {unit for unit in places if f"{unit}.service" in found} == wished, name
            assert [unit for unit in wished if not on(name).service(unit).is_running] == []

    def test_where_they_ask(self, on):
        """Nodes at the address that the balancers share."""

        def asks(part: str, names: list[str]) -> set[str]:
            look = f"sed -n 's/ *server: //p' /etc/kubernetes/{part}/kubeconfig"
            return {on(name).check_output(look) for name in names}

        assert asks("kubelet", group("kube_node")) == {ENDPOINT}
        for unit, names in self.managing.items():
            assert asks(unit, names) == {self.asks}

    @pytest.mark.parametrize("what", ["address", "server", "member", *LEADING])
    def test_a_host_is_lost(self, playbook, kubectl, asking, on, what):
        """The holder of the address, an API server's, a member's, and the host of who leads: new pods run all the same."""
        if what == "address":
            (lost,) = holders(on, self.balancers, ADDRESS)
        elif what in LEADING:
            lost = leader(kubectl, what)
            assert lost in self.managing[what]
        else:
            lost = {"server": SERVERS, "member": ETCD}[what][0]
        others = through(kubectl, next(name for name in SERVERS if name != lost))
        what_was_lost = f"{type(self).__name__[4:]}: {what}'s host lost"
        pods_run = functools.partial(roll_out, others, f"lost-{what}")
        assert (
            wait_without(lost, asking, playbook, what_was_lost, ENDPOINT, *self.extra, meanwhile=pods_run)
            < WAITS_AT_MOST
        )

    def test_it_is_taken_away_again(self, playbook):
        """Bare hosts, for the next one."""
        green(playbook, "playbooks/reset.yml", "-e", f"reset_confirm={NAME}", "-e", "reset_data=true", *self.extra)


class TestThreeHostsWithThreeServices(Shape):
    """Controller-managers and schedulers ask the API server beside them; what were the controller-managers' hosts balance."""

    groups = {
        "cluster_kube_controller_manager_group": "kube_apiserver",
        "cluster_kube_scheduler_group": "kube_apiserver",
        "cluster_load_balancer_group": "kube_controller_manager",
    }
    managing = dict.fromkeys(LEADING, SERVERS)
    balancers = CONTROLLERS
    asks = "https://127.0.0.1:6443"


class TestAllApart(Shape):
    """Controller-managers and schedulers reach the API through the balancers, three of them, beside members of etcd."""

    groups = {"cluster_load_balancer_group": "etcd"}
    managing = dict(zip(LEADING, (CONTROLLERS, SCHEDULERS), strict=True))
    balancers = ETCD
    asks = ENDPOINT
