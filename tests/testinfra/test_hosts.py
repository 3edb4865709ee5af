"""What every host of a cluster must be: services, users, files and ports."""

from __future__ import annotations

import json

import pytest
from lab_cluster import group

UNITS = {
    "etcd": ("etcd", "etcd"),
    "kube-apiserver": ("kube_apiserver", "kube-apiserver"),
    "kube-controller-manager": ("kube_controller_manager", "kube-controller-manager"),
    "kube-scheduler": ("kube_scheduler", "kube-scheduler"),
    "load-balancer": ("kube_node", "load-balancer"),
    "containerd": ("kube_node", "root"),
    "kubelet": ("kube_node", "root"),
    "flanneld": ("kube_node", "root"),
    "kube-proxy": ("kube_node", "kube-proxy"),
}
UNPRIVILEGED = [unit for unit, (dummy, user) in UNITS.items() if user != "root"]
ON = [(unit, host) for unit, (owner, dummy) in UNITS.items() for host in group(owner)]


@pytest.mark.parametrize(("unit", "name"), ON)
def test_service_runs_as_its_user_and_comes_back_at_boot(on, unit, name):
    """Running, enabled, never restarted by a crash, and under the user that it should have."""
    host = on(name)
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled
    pid = int(host.check_output(f"systemctl show -P MainPID {unit}"))
    assert host.file(f"/proc/{pid}").user == UNITS[unit][1]


@pytest.mark.parametrize(("unit", "name"), [(unit, group(UNITS[unit][0])[0]) for unit in UNPRIVILEGED])
def test_sandbox(on, unit, name):
    """An unprivileged service can write nowhere but where it must, and gain nothing."""
    shown = on(name).check_output(f"systemctl show {unit}")
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    for key, wished in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "RestrictSUIDSGID": "yes",
        "MemoryDenyWriteExecute": "yes",
        "LockPersonality": "yes",
    }.items():
        assert properties[key] == wished, (unit, key)
    status = on(name).check_output(f"grep CapBnd /proc/{properties['MainPID']}/status")
    net_admin = 1 << 12
    assert int(status.split()[1], 16) == (net_admin if unit == "kube-proxy" else 0)


@pytest.mark.parametrize("name", group("all"))
def test_secrets_are_readable_by_their_owner_alone(on, name):
    """Each private key 0600; no key of an authority anywhere; no token or key in a world-readable place."""
    host = on(name)
    listing = host.check_output(
        "find /etc/kubernetes /etc/etcd -name '*.key' -printf '%m %u %p\\n' 2>/dev/null || true"
    )
    entries = [line.split() for line in listing.splitlines()]
    assert entries, "no key was found where there must be some"
    for mode, owner, path in entries:
        component = path.split("/")[3] if path.startswith("/etc/kubernetes/") else "etcd"
        wished = {"kubelet": "root", "flanneld": "root"}.get(component, component)
        assert (mode, owner) == ("600", wished), path
    assert host.run("grep -rlE 'BEGIN .*PRIVATE KEY' /etc/kubernetes /etc/etcd --include=*.crt").stdout == ""
    assert host.check_output("find / -xdev \\( -name '*ca.key' -o -name '*-ca.key' \\) -not -path '/proc/*'") == ""


@pytest.mark.parametrize("name", group("kube_apiserver"))
def test_encryption_key_is_secret(on, name):
    """The key that encrypts secrets at rest belongs to the API server alone."""
    file = on(name).file("/etc/kubernetes/kube-apiserver/encryption.yaml")
    assert (file.user, file.mode) == ("kube-apiserver", 0o600)


@pytest.mark.parametrize("name", group("kube_scheduler"))
def test_service_account_key_goes_only_to_signers(on, name):
    """Hosts that sign tokens have the key; nothing but the two that sign can read it."""
    found = on(name).check_output("find / -xdev -name service-account.key -printf '%u %m\\n' | sort").split("\n")
    assert found == ["kube-apiserver 600", "kube-controller-manager 600"]


@pytest.mark.parametrize("name", [host for host in group("kube_node") if host not in group("kube_apiserver")])
def test_workers_cannot_sign_tokens(on, name):
    """A worker has no ServiceAccount key."""
    assert on(name).check_output("find / -xdev -name 'service-account*'") == ""


@pytest.mark.parametrize("name", group("etcd"))
def test_etcd_data_is_private(on, name):
    """0700, etcd's own."""
    data = on(name).file("/var/lib/etcd")
    assert (data.user, data.mode) == ("etcd", 0o700)


@pytest.mark.parametrize("name", group("all"))
def test_what_listens_on_loopback_only(on, name):
    """Health and metrics without authentication are for this host alone."""
    listing = on(name).check_output("ss -Hlnt")
    for line in listing.splitlines():
        address, port = line.split()[3].rsplit(":", 1)
        if port in ("2381", "7443", "10248", "10249", "10257", "10259", "10244"):
            assert address.strip("[]") in ("127.0.0.1", "::1"), line
        assert port != "10255", "the kubelet's read-only port is open"


@pytest.mark.parametrize("name", group("etcd"))
def test_api_server_talks_to_its_local_member_only(on, name):
    """Stacked: no API server depends on another host's etcd."""
    command = on(name).check_output("tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID kube-apiserver)/cmdline")
    assert [line for line in command.splitlines() if line.startswith("--etcd-servers=")] == [
        "--etcd-servers=https://127.0.0.1:2379"
    ]


def test_one_etcd_leader_and_all_members_started(on):
    """Three members, one leader."""
    host = on(group("etcd")[0])
    tls = "--cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/server.crt --key=/etc/etcd/pki/server.key"
    statuses = json.loads(
        host.check_output(f"etcdctl {tls} --endpoints=https://127.0.0.1:2379 endpoint status --cluster -w json")
    )
    assert len(statuses) == len(group("etcd"))
    assert len({status["Status"]["leader"] for status in statuses}) == 1
