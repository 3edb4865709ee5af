"""What every host of a cluster must be: services, users, files and ports."""

from __future__ import annotations

import json

import pytest
import yaml
from lab_cluster import BALANCED_API, ETCDCTL, HOSTS, HOSTVARS, KEYED, LEADING, SERVERS, UNITS, group

PROXY = next(iter(HOSTVARS.values()), {}).get("kube_proxy__mode", "nftables")
ROOTS = ("containerd", "kubelet", "flanneld", *(("kube-proxy",) if PROXY != "nftables" else ()))
ON = [(unit, host) for unit, names in UNITS.items() for host in names]
SIGNERS = list(dict.fromkeys(SERVERS + group("kube_controller_manager")))


@pytest.mark.parametrize(("unit", "name"), ON)
def test_service_runs_as_its_user_and_comes_back_at_boot(on, unit, name):
    """Running, enabled, never restarted by a crash, and under the user that it should have."""
    host = on(name)
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled
    pid = int(host.check_output(f"systemctl show -P MainPID {unit}"))
    assert host.file(f"/proc/{pid}").user == ("root" if unit in ROOTS else unit)


@pytest.mark.parametrize(
    ("unit", "name"), [(unit, name) for unit, names in UNITS.items() if unit not in ROOTS for name in names[:1]]
)
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
    setgid, net_admin, net_raw = 1 << 6, 1 << 12, 1 << 13
    allowed = {"kube-proxy": net_admin, "virtual-address": setgid | net_admin | net_raw}
    assert int(status.split()[1], 16) == allowed.get(unit, 0)


@pytest.mark.parametrize("name", KEYED)
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


@pytest.mark.parametrize("name", SIGNERS)
def test_service_account_key_goes_only_to_signers(on, name):
    """Hosts that sign tokens have the key; nothing but the one or two that sign there can read it."""
    found = on(name).check_output("find / -xdev -name service-account.key -printf '%u %m\\n' | sort").split("\n")
    signing = [unit for unit in ("kube-apiserver", "kube-controller-manager") if name in UNITS[unit]]
    assert found == [f"{unit} 600" for unit in signing]


@pytest.mark.parametrize("name", [host for host in HOSTS if host not in SIGNERS])
def test_others_cannot_sign_tokens(on, name):
    """A worker, and whoever else does not sign, has no ServiceAccount key."""
    assert on(name).check_output("find / -xdev -name 'service-account*'") == ""


@pytest.mark.parametrize("name", group("etcd"))
def test_etcd_data_is_private(on, name):
    """0700, etcd's own."""
    data = on(name).file("/var/lib/etcd")
    assert (data.user, data.mode) == ("etcd", 0o700)


@pytest.mark.parametrize("name", HOSTS)
def test_what_listens_on_loopback_only(on, name):
    """Health and metrics without authentication are for this host alone."""
    listing = on(name).check_output("ss -Hlnt")
    for line in listing.splitlines():
        address, port = line.split()[3].rsplit(":", 1)
        if port in ("2381", "7443", "10248", "10249", "10257", "10259", "10244"):
            assert address.strip("[]") in ("127.0.0.1", "::1"), line
        assert port != "10255", "the kubelet's read-only port is open"


@pytest.mark.parametrize("name", SERVERS)
def test_which_members_an_api_server_talks_to(on, name):
    """To the one beside it only, where there is one: it depends on no other host's etcd; otherwise to all of them."""
    members = ["127.0.0.1"] if name in group("etcd") else [HOSTVARS[host]["ansible_host"] for host in group("etcd")]
    command = on(name).check_output("tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID kube-apiserver)/cmdline")
    (servers,) = [line for line in command.splitlines() if line.startswith("--etcd-servers=")]
    assert servers == "--etcd-servers=" + ",".join(f"https://{member}:2379" for member in members)


@pytest.mark.parametrize(
    ("unit", "name"),
    [(unit, name) for unit in (*LEADING, "kubelet", "kube-proxy", "flanneld") for name in UNITS[unit]],
)
def test_where_a_client_of_the_api_asks(on, unit, name):
    """A manager asks the API server beside it where there is one; everybody else asks where the cluster balances."""
    config = yaml.safe_load(on(name).file(f"/etc/kubernetes/{unit}/kubeconfig").content_string)
    beside = unit in LEADING and name in SERVERS
    wished = "https://127.0.0.1:6443" if beside else BALANCED_API
    assert [cluster["cluster"]["server"] for cluster in config["clusters"]] == [wished]


@pytest.mark.parametrize("name", [host for host in HOSTS if host not in group("kube_node")])
def test_a_host_that_is_no_node_carries_nothing_of_one(on, name):
    """No kubelet, no containerd, no network of pods."""
    host = on(name)
    there = host.check_output("systemctl list-unit-files --plain --no-legend --type=service")
    assert [unit for unit in ("containerd", "kubelet", "flanneld", "kube-proxy") if f"{unit}.service" in there] == []
    for path in ("/usr/local/bin/kubelet", "/usr/local/bin/containerd", "/opt/cni"):
        assert not host.file(path).exists, path


@pytest.mark.parametrize("name", group("etcd"))
def test_what_begins_a_member_is_gone_once_it_serves(on, name):
    """A member whose disk is emptied must not begin another cluster by itself."""
    assert not on(name).file("/etc/etcd/bootstrap.env").exists


def test_one_etcd_leader_and_all_members_started(on):
    """As many as the inventory has, and one leader that all of them know."""
    host = on(group("etcd")[0])
    statuses = json.loads(host.check_output(f"{ETCDCTL} endpoint status --cluster -w json"))
    assert len(statuses) == len(group("etcd"))
    assert len({status["Status"]["leader"] for status in statuses}) == 1
