"""A cluster whose etcd is somebody else's, from bare hosts to bare hosts: the store of test_alone.py, under its own authority."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import yaml
from lab_cluster import ETCDCTL, await_whole, changed, green, lab, roll_out
from lab_elsewhere import FIFTH, FIRST_THREE, FOURTH, ON_BARE_HOSTS

STORE, SERVER, WORKER = FIRST_THREE, FOURTH, FIFTH
pytestmark = ON_BARE_HOSTS
ENDPOINTS = [f"https://192.168.60.1{number}:2379" for number in (1, 2, 3)]
CONFIRM = ["-e", "reset_confirm=tenant", "-e", "reset_data=true"]
MANAGING = ("kube_apiserver", "kube_controller_manager", "kube_scheduler")


def inventory(etcd: dict[str, object]) -> str:
    """Two hosts: one with the control plane, one that is a node only; the group etcd is empty."""
    both = {"tenant1": {"ansible_host": "192.168.60.21"}, "tenant2": {"ansible_host": "192.168.60.22"}}
    children: dict[str, object] = {part: {"hosts": {"tenant1": {}}} for part in MANAGING}
    children.update(etcd={}, kube_node={"hosts": both})
    return yaml.safe_dump({"all": {"children": children, "vars": {"cluster_name": "tenant", **etcd}}})


@pytest.fixture(scope="module")
def store(elsewhere, on):
    """The store, with what it has told its tenant: where it is, its authority, and a client certificate with its key."""
    green(functools.partial(elsewhere.play, "store"), "store/site.yml")
    told = {
        name: on(SERVER).file(f"/etc/shop/{name}").content_string for name in ("etcd-ca.crt", "etcd.crt", "etcd.key")
    }
    yield {
        "kube_apiserver__etcd_endpoints": ENDPOINTS,
        "kube_apiserver__etcd_ca": told["etcd-ca.crt"],
        "kube_apiserver__etcd_certificate": told["etcd.crt"],
        "kube_apiserver__etcd_key": told["etcd.key"],
    }
    green(functools.partial(elsewhere.play, "store"), "store/remove.yml")


@pytest.fixture(scope="module")
def tenant(elsewhere, store):
    """Runs a playbook of the collection for the cluster."""
    folder: Path = elsewhere.folder / "tenant"
    folder.mkdir()
    (folder / "hosts.yml").touch(mode=0o600)
    (folder / "hosts.yml").write_text(inventory(store))

    def _tenant(name, *arguments):
        return elsewhere.play("tenant", f"hardway.kubernetes.{name}", *arguments)

    return _tenant


def of_the_store(on) -> list[str]:
    """What a run could change there: processes, and all files of etcd but its data."""
    look = "systemctl show etcd --property=MainPID,ExecMainStartTimestampMonotonic; find /etc/etcd /etc/systemd/system/etcd.service -type f -exec sha256sum '{}' + | sort"
    return [on(name).check_output(look) for name in STORE]


def keys(on, prefix: str) -> list[str]:
    """What etcd has below a prefix."""
    listed = on(STORE[0]).check_output(f"{ETCDCTL} get --prefix {prefix} --keys-only -w json")
    return [entry["key"] for entry in json.loads(listed).get("kvs", [])]


@pytest.fixture(scope="module")
def before(on, store):
    """The store as it was before it had a tenant."""
    assert keys(on, "/registry") == []
    return of_the_store(on)


def test_it_is_built(tenant, before, on):
    """By the topology's own playbook, after a look that changes nothing; only its own hosts are in it, and a second run is quiet."""
    looked = green(tenant, "external_etcd", "--check")
    assert sorted(changed(looked.stdout)) == ["tenant1", "tenant2"]
    assert [name for name in (SERVER, WORKER) if on(name).file("/etc/kubernetes").exists] == []
    assert keys(on, "/registry") == []
    built = green(tenant, "external_etcd")
    assert sorted(changed(built.stdout)) == ["tenant1", "tenant2"]
    again = green(tenant, "external_etcd")
    assert changed(again.stdout) == {"tenant1": 0, "tenant2": 0}, again.stdout[-4000:]
    assert not on(SERVER).file("/etc/systemd/system/etcd.service").exists


def test_it_works_and_keeps_its_data_in_the_store(tenant, before, on):
    """Verified from its users' side; nothing of the store's own was changed."""
    green(tenant, "verify")
    assert keys(on, "/registry/namespaces/default") != []
    assert of_the_store(on) == before


def test_a_member_of_the_store_is_lost(elsewhere, tenant):
    """The first one: its tenant works on with the others; with power again all is well."""
    lab("stop", STORE[0])
    try:
        roll_out(elsewhere.kubectl("tenant"), "while-a-member-is-off")
    finally:
        lab("start", STORE[0])
    await_whole(lambda _, *arguments: tenant("verify", *arguments))


def test_a_reset_leaves_the_store_alone(tenant, on):
    """Its hosts are bare; what they wrote is the store's, and stays, whatever reset_data says."""
    before = of_the_store(on)
    green(tenant, "reset", *CONFIRM)
    for name in (SERVER, WORKER):
        assert not on(name).file("/etc/kubernetes").exists
    assert of_the_store(on) == before
    assert keys(on, "/registry/namespaces/default") != []
