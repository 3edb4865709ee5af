"""Sandboxes, the CIS Kubernetes Benchmark, and where secrets are and are not; exceptions stand in docs/hardening.md."""

from __future__ import annotations

import base64
import functools
import json
import re
from pathlib import Path

import pytest
import yaml
from hardening import look, table, words
from lab_cluster import HOSTS, HOSTVARS, KEYED, NODES, UNITS, group, make_namespace

CONTROL_PLANE = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
EXPOSURES = {words(row["unit"])[0]: float(row["exposure"]) for row in table("Sandboxes")}
SECRET_TEXT = r"BEGIN [A-Z ]*PRIVATE KEY|eyJhbGciOi[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"

FACTS = r"""
import glob, hashlib, json, os, pwd, grp, re, subprocess
UNITS = %r
def run(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout
def name_of(get, number):
    try:
        return get(number)[0]
    except KeyError:
        return str(number)
def text(path, hide=r"(?m)^(\s*secret:).*"):
    return re.sub(hide, r"\1 hidden", open(path).read())
units = {}
for unit in UNITS:
    path = "/etc/systemd/system/%%s.service" %% unit
    if not os.path.exists(path):
        continue
    pid = run("systemctl", "show", "-P", "MainPID", unit).strip()
    if pid == "0":
        continue
    verdict = run("systemd-analyze", "security", "--no-pager", unit).splitlines()
    units[unit] = {
        "command": open("/proc/%%s/cmdline" %% pid).read().split("\0")[:-1],
        "mounts": os.readlink("/proc/%%s/ns/mnt" %% pid) == os.readlink("/proc/1/ns/mnt"),
        "exposure": float(re.search(r": ([\d.]+)", verdict[-1]).group(1)),
        "weakened": [line.split()[1] for line in verdict if line.startswith("\u2717")],
    }
files = {}
for top in ["/etc/kubernetes", "/etc/etcd", "/etc/containerd", "/etc/cni", "/var/lib/cni", "/var/log/kubernetes"]:
    for folder, folders, names in os.walk(top):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            files[path] = os.lstat(path)
for path in ["/var/lib/etcd", "/var/lib/kubelet", "/root/.kube"] + glob.glob("/etc/systemd/system/*.service"):
    if os.path.lexists(path):
        files[path] = os.lstat(path)
print(json.dumps({
    "units": units,
    "files": {path: [s.st_mode & 0o7777, name_of(pwd.getpwuid, s.st_uid), name_of(grp.getgrgid, s.st_gid)]
              for path, s in files.items()},
    "texts": {path: text(path) for path in files if path.endswith((".yaml", ".conf")) and os.path.isfile(path)},
    "authorities": {path: hashlib.sha256(open(path, "rb").read()).hexdigest() for path in files if path.endswith("ca.crt")},
}))
""" % (list(UNITS),)


class Host:
    """What one host told, in the benchmark's terms."""

    def __init__(self, facts, configz):
        """Facts of the host, and the kubelet's configuration as it is in force."""
        self.units, self.files, self.texts = facts["units"], facts["files"], facts["texts"]
        self.authorities, self.kubelet = facts["authorities"], configz

    def flag(self, unit, name):
        """A flag's value as the process got it; None where it is not set."""
        found = [word.split("=", 1) for word in self.units[unit]["command"] if word.startswith("--")]
        values = [word[1] if len(word) == 2 else "true" for word in found if word[0] == f"--{name}"]
        return values[-1] if values else None

    def file_flag(self, unit, *names):
        """Whether flags are set and lead to files."""
        return all(self.flag(unit, name) in self.files for name in names)

    def matching(self, pattern):
        """Paths that match; never none, or nothing would be checked."""
        found = [path for path in self.files if re.fullmatch(pattern, path)]
        assert found, f"no file matches {pattern}"
        return found

    def mode(self, most, *patterns):
        """Whether no path has a bit more than the mode."""
        return all(not self.files[path][0] & ~most for pattern in patterns for path in self.matching(pattern))

    def owned(self, owner, *patterns):
        """Whether all paths belong to owner:group."""
        return all(":".join(self.files[path][1:]) == owner for pattern in patterns for path in self.matching(pattern))

    def config(self, path):
        """A YAML file of the host."""
        return yaml.safe_load(self.texts[path])


API, MANAGER, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
STRONG = {
    *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
    *("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    *("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    *("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
}


def unit_file(unit):
    """What takes the place of a static pod's file: the unit."""
    return re.escape(f"/etc/systemd/system/{unit}.service")


def kubeconfig(unit):
    """A component's kubeconfig."""
    return re.escape(f"/etc/kubernetes/{unit}/kubeconfig")


def admission(host, plugin):
    """Whether an admission plugin was enabled by flag."""
    return plugin in host.flag(API, "enable-admission-plugins").split(",")


def strong(ciphers):
    """Whether a choice of ciphers was made, and holds no weak one."""
    return bool(ciphers) and set(ciphers) <= STRONG


def providers(host):
    """What encrypts secrets at rest first."""
    resources = host.config(host.flag(API, "encryption-provider-config"))["resources"]
    return [next(iter(entry["providers"][0])) for entry in resources if "secrets" in entry["resources"]]


def audits(host):
    """Levels of the audit policy for what the benchmark names; the first rule that fits decides."""
    rules = host.config(host.flag(API, "audit-policy-file"))["rules"]

    def _level(user, groups, verb, api, resource):
        for rule in rules:
            listed = [
                (entry.get("group", ""), name) for entry in rule.get("resources", []) for name in entry["resources"]
            ]
            if (
                (not listed or (api, resource) in listed)
                and not rule.get("nonResourceURLs")
                and ("verbs" not in rule or verb in rule["verbs"])
                and ("users" not in rule or user in rule["users"])
                and ("userGroups" not in rule or set(groups) & set(rule["userGroups"]))
            ):
                return rule["level"]
        return "None"

    person = ("jane", ["people"])
    readers = [person, ("system:node:worker1", ["system:nodes"]), ("system:kube-controller-manager", [])]
    secret = {_level(*who, verb, "", "secrets") for who in readers for verb in ("get", "list", "watch", "create")}
    secret |= {_level(*person, "create", "", "configmaps"), _level(*person, "create", "", "serviceaccounts/token")}
    secret |= {_level(*person, "create", "authentication.k8s.io", "tokenreviews")}
    changes = {_level(*person, verb, "", "pods") for verb in ("create", "update", "patch", "delete")}
    changes |= {_level(*person, verb, "apps", "deployments") for verb in ("create", "update", "patch", "delete")}
    used = {
        _level(*person, verb, "", name)
        for verb in ("get", "create")
        for name in ("pods/exec", "pods/portforward", "pods/proxy", "services/proxy")
    }
    return secret == {"Metadata"} and changes == {"Request"} and "None" not in used


# Each item of the CIS Kubernetes Benchmark 1.12, sections 1 to 4: the unit whose hosts it is for, and whether it holds.
ITEMS = {
    "1.1.1": (API, lambda host: host.mode(0o600, unit_file(API))),
    "1.1.2": (API, lambda host: host.owned("root:root", unit_file(API))),
    "1.1.3": (MANAGER, lambda host: host.mode(0o600, unit_file(MANAGER))),
    "1.1.4": (MANAGER, lambda host: host.owned("root:root", unit_file(MANAGER))),
    "1.1.5": (SCHEDULER, lambda host: host.mode(0o600, unit_file(SCHEDULER))),
    "1.1.6": (SCHEDULER, lambda host: host.owned("root:root", unit_file(SCHEDULER))),
    "1.1.7": ("etcd", lambda host: host.mode(0o600, unit_file("etcd"))),
    "1.1.8": ("etcd", lambda host: host.owned("root:root", unit_file("etcd"))),
    "1.1.9": (
        "kubelet",
        lambda host: host.mode(0o600, "/etc/cni/net.d/.*") and not host.files.get("/var/lib/cni", [0])[0] & 0o077,
    ),
    "1.1.10": ("kubelet", lambda host: host.owned("root:root", "/etc/cni(/net.d.*)?")),
    "1.1.11": ("etcd", lambda host: host.mode(0o700, re.escape(host.flag("etcd", "data-dir")))),
    "1.1.12": ("etcd", lambda host: host.owned("etcd:etcd", re.escape(host.flag("etcd", "data-dir")))),
    # No administrator's credentials lie on a host; the controller's are looked at in test_access.py.
    "1.1.13": (API, lambda host: not [path for path in host.files if re.search(r"admin|/\.kube", path)]),
    "1.1.14": (API, lambda host: not [path for path in host.files if re.search(r"admin\.conf|/\.kube", path)]),
    "1.1.15": (SCHEDULER, lambda host: host.mode(0o600, kubeconfig(SCHEDULER))),
    "1.1.16": (SCHEDULER, lambda host: host.owned("root:root", kubeconfig(SCHEDULER))),
    "1.1.17": (MANAGER, lambda host: host.mode(0o600, kubeconfig(MANAGER))),
    "1.1.18": (MANAGER, lambda host: host.owned("root:root", kubeconfig(MANAGER))),
    "1.1.19": (API, lambda host: host.owned("root:root", r"/etc/kubernetes/(.*/)?pki(/.*)?")),
    "1.1.20": (API, lambda host: host.mode(0o644, r"/etc/(kubernetes|etcd)/.*\.crt")),
    "1.1.21": (API, lambda host: host.mode(0o600, r"/etc/(kubernetes|etcd)/.*\.key")),
    "1.2.1": (API, lambda host: host.flag(API, "anonymous-auth") == "false"),
    "1.2.2": (API, lambda host: host.flag(API, "token-auth-file") is None),
    "1.2.3": (API, lambda host: admission(host, "DenyServiceExternalIPs")),
    "1.2.4": (API, lambda host: host.file_flag(API, "kubelet-client-certificate", "kubelet-client-key")),
    "1.2.5": (API, lambda host: host.file_flag(API, "kubelet-certificate-authority")),
    "1.2.6": (API, lambda host: "AlwaysAllow" not in host.flag(API, "authorization-mode")),
    "1.2.7": (API, lambda host: "Node" in host.flag(API, "authorization-mode").split(",")),
    "1.2.8": (API, lambda host: "RBAC" in host.flag(API, "authorization-mode").split(",")),
    "1.2.9": (API, lambda host: admission(host, "EventRateLimit")),
    "1.2.10": (API, lambda host: not admission(host, "AlwaysAdmit")),
    "1.2.11": (API, lambda host: admission(host, "AlwaysPullImages")),
    "1.2.12": (API, lambda host: "ServiceAccount" not in (host.flag(API, "disable-admission-plugins") or "")),
    "1.2.13": (API, lambda host: "NamespaceLifecycle" not in (host.flag(API, "disable-admission-plugins") or "")),
    "1.2.14": (API, lambda host: admission(host, "NodeRestriction")),
    "1.2.15": (API, lambda host: host.flag(API, "profiling") == "false"),
    "1.2.16": (API, lambda host: host.file_flag(API, "audit-log-path")),
    "1.2.17": (API, lambda host: int(host.flag(API, "audit-log-maxage")) >= 30),
    "1.2.18": (API, lambda host: int(host.flag(API, "audit-log-maxbackup")) >= 10),
    "1.2.19": (API, lambda host: int(host.flag(API, "audit-log-maxsize")) >= 100),
    "1.2.20": (API, lambda host: host.flag(API, "request-timeout") in (None, "1m0s", "60s")),
    "1.2.21": (API, lambda host: host.flag(API, "service-account-lookup") in (None, "true")),
    "1.2.22": (API, lambda host: host.file_flag(API, "service-account-key-file")),
    "1.2.23": (API, lambda host: host.file_flag(API, "etcd-certfile", "etcd-keyfile")),
    "1.2.24": (API, lambda host: host.file_flag(API, "tls-cert-file", "tls-private-key-file")),
    "1.2.25": (API, lambda host: host.file_flag(API, "client-ca-file")),
    "1.2.26": (API, lambda host: host.file_flag(API, "etcd-cafile")),
    "1.2.27": (API, lambda host: host.file_flag(API, "encryption-provider-config")),
    "1.2.28": (API, lambda host: set(providers(host)) and set(providers(host)) <= {"aescbc", "kms", "secretbox"}),
    "1.2.29": (API, lambda host: strong(host.flag(API, "tls-cipher-suites").split(","))),
    "1.2.30": (API, lambda host: host.flag(API, "service-account-extend-token-expiration") == "false"),
    "1.3.1": (MANAGER, lambda host: host.flag(MANAGER, "terminated-pod-gc-threshold") is not None),
    "1.3.2": (MANAGER, lambda host: host.flag(MANAGER, "profiling") == "false"),
    "1.3.3": (MANAGER, lambda host: host.flag(MANAGER, "use-service-account-credentials") == "true"),
    "1.3.4": (MANAGER, lambda host: host.file_flag(MANAGER, "service-account-private-key-file")),
    "1.3.5": (MANAGER, lambda host: host.file_flag(MANAGER, "root-ca-file")),
    "1.3.6": (
        MANAGER,
        lambda host: "RotateKubeletServerCertificate=false" not in (host.flag(MANAGER, "feature-gates") or ""),
    ),
    "1.3.7": (MANAGER, lambda host: host.flag(MANAGER, "bind-address") == "127.0.0.1"),
    "1.4.1": (SCHEDULER, lambda host: host.config(host.flag(SCHEDULER, "config"))["enableProfiling"] is False),
    "1.4.2": (SCHEDULER, lambda host: host.flag(SCHEDULER, "bind-address") == "127.0.0.1"),
    "2.1": ("etcd", lambda host: host.file_flag("etcd", "cert-file", "key-file")),
    "2.2": ("etcd", lambda host: host.flag("etcd", "client-cert-auth") == "true"),
    "2.3": ("etcd", lambda host: host.flag("etcd", "auto-tls") in (None, "false")),
    "2.4": ("etcd", lambda host: host.file_flag("etcd", "peer-cert-file", "peer-key-file")),
    "2.5": ("etcd", lambda host: host.flag("etcd", "peer-client-cert-auth") == "true"),
    "2.6": ("etcd", lambda host: host.flag("etcd", "peer-auto-tls") in (None, "false")),
    "2.7": (
        "etcd",
        lambda host: (
            host.flag("etcd", "trusted-ca-file") == host.flag("etcd", "peer-trusted-ca-file") == "/etc/etcd/pki/ca.crt"
            and host.authorities["/etc/etcd/pki/ca.crt"] != host.authorities.get("/etc/kubernetes/pki/ca.crt")
        ),
    ),
    # The administrator's kubeconfig is a client certificate, and nothing else is set up for people.
    "3.1.1": (API, lambda host: "jwt" in host.config(host.flag(API, "authentication-config"))),
    "3.1.2": (
        API,
        lambda host: host.flag(API, "service-account-signing-key-file") and not host.flag(API, "token-auth-file"),
    ),
    "3.1.3": (API, lambda host: host.flag(API, "enable-bootstrap-token-auth") in (None, "false")),
    "3.2.1": (API, lambda host: host.file_flag(API, "audit-policy-file")),
    "3.2.2": (API, audits),
    "4.1.1": ("kubelet", lambda host: host.mode(0o600, unit_file("kubelet"))),
    "4.1.2": ("kubelet", lambda host: host.owned("root:root", unit_file("kubelet"))),
    "4.1.3": ("kube-proxy", lambda host: host.mode(0o600, kubeconfig("kube-proxy"))),
    "4.1.4": ("kube-proxy", lambda host: host.owned("root:root", kubeconfig("kube-proxy"))),
    "4.1.5": ("kubelet", lambda host: host.mode(0o600, kubeconfig("kubelet"))),
    "4.1.6": ("kubelet", lambda host: host.owned("root:root", kubeconfig("kubelet"))),
    "4.1.7": ("kubelet", lambda host: host.mode(0o644, host.kubelet["authentication"]["x509"]["clientCAFile"])),
    "4.1.8": ("kubelet", lambda host: host.owned("root:root", host.kubelet["authentication"]["x509"]["clientCAFile"])),
    "4.1.9": ("kubelet", lambda host: host.mode(0o600, "/etc/kubernetes/kubelet/(config.yaml|config.d/.*)")),
    "4.1.10": ("kubelet", lambda host: host.owned("root:root", "/etc/kubernetes/kubelet/(config.yaml|config.d/.*)")),
    "4.2.1": ("kubelet", lambda host: host.kubelet["authentication"]["anonymous"]["enabled"] is False),
    "4.2.2": ("kubelet", lambda host: host.kubelet["authorization"]["mode"] == "Webhook"),
    "4.2.3": ("kubelet", lambda host: host.kubelet["authentication"]["x509"]["clientCAFile"] in host.files),
    "4.2.4": ("kubelet", lambda host: not host.kubelet.get("readOnlyPort")),
    "4.2.5": ("kubelet", lambda host: host.kubelet["streamingConnectionIdleTimeout"] not in ("0", "0s")),
    "4.2.6": ("kubelet", lambda host: host.kubelet["makeIPTablesUtilChains"] is True),
    "4.2.7": ("kubelet", lambda host: host.flag("kubelet", "hostname-override") is None),
    "4.2.8": ("kubelet", lambda host: host.kubelet["eventRecordQPS"] >= 5),
    "4.2.9": (
        "kubelet",
        lambda host: host.kubelet["tlsCertFile"] in host.files and host.kubelet["tlsPrivateKeyFile"] in host.files,
    ),
    "4.2.10": ("kubelet", lambda host: host.kubelet.get("rotateCertificates") is True),
    "4.2.11": (
        "kubelet",
        lambda host: host.kubelet.get("featureGates", {}).get("RotateKubeletServerCertificate", True),
    ),
    "4.2.12": ("kubelet", lambda host: strong(host.kubelet["tlsCipherSuites"])),
    "4.2.13": ("kubelet", lambda host: 0 < host.kubelet["podPidsLimit"] <= 16384),
    "4.2.14": ("kubelet", lambda host: host.kubelet["seccompDefault"] is True),
    "4.3.1": (
        "kube-proxy",
        lambda host: host.config(host.flag("kube-proxy", "config"))["metricsBindAddress"].startswith("127.0.0.1:"),
    ),
}
# How many items the benchmark has in each of its sections.
SECTIONS = {"1.1": 21, "1.2": 30, "1.3": 7, "1.4": 2, "2": 7, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 14, "4.3": 1}
LISTED = {item for row in table("What does not pass") for item in words(row["items"])}


@pytest.fixture(scope="session")
def facts(on, kubectl):
    """What a host told of its units, files and configuration; asked once."""

    @functools.cache
    def _facts(name):
        configz = {}
        if name in NODES:
            node = HOSTVARS[name].get("cluster_node_name", name.lower())
            configz = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))["kubeletconfig"]
        return Host(look(on(name), FACTS), configz)

    return _facts


class TestSandboxes:
    """systemd's own judgement of each unit."""

    ON = [(unit, name) for unit, names in UNITS.items() for name in names]

    def test_targets(self):
        """Every unit has a documented figure, and the control plane's are as good as promised."""
        assert set(EXPOSURES) == set(UNITS)
        assert all(EXPOSURES[unit] <= 2.5 for unit in CONTROL_PLANE)

    @pytest.mark.parametrize(("unit", "name"), ON)
    def test_exposure(self, facts, unit, name):
        """The figure that systemd-analyze gives is no worse than the documented one."""
        assert facts(name).units[unit]["exposure"] <= EXPOSURES[unit]

    @pytest.mark.parametrize(("unit", "name"), ON)
    def test_every_weakening_has_its_reason(self, facts, unit, name):
        """What the unit is not denied is in the table, and the table claims nothing that is not so."""
        rows = [row for row in table("Why not more") if words(row["unit"])[0] in ("all", unit)]
        documented = [setting for row in rows for setting in words(row["settings"])]
        weakened = facts(name).units[unit]["weakened"]
        if "everything" in documented:
            assert facts(name).units[unit]["exposure"] == EXPOSURES[unit]
        else:
            assert sorted(weakened) == sorted(documented)

    @pytest.mark.parametrize("name", NODES)
    def test_mounts_of_volumes_reach_the_containers(self, facts, name):
        """kubelet and containerd see the host's own mounts; any setting that gave them others would cut volumes off."""
        assert facts(name).units["kubelet"]["mounts"]
        assert facts(name).units["containerd"]["mounts"]


class TestBenchmark:
    """The CIS Kubernetes Benchmark's control plane, etcd and node sections."""

    def test_no_item_is_left_out(self):
        """All of the benchmark's numbers, and nothing listed that is none."""
        numbers = [f"{section}.{item}" for section, count in SECTIONS.items() for item in range(1, count + 1)]
        assert list(ITEMS) == numbers
        assert set(numbers) >= LISTED

    @pytest.mark.parametrize(("item", "name"), [(item, name) for item in ITEMS for name in UNITS[ITEMS[item][0]]])
    def test_item(self, facts, item, name):
        """It passes, or is listed with its reason; what passes is not listed."""
        assert bool(ITEMS[item][1](facts(name))) == (item not in LISTED)


SECRETS = r"""
import glob, grp, json, os, pwd, re, subprocess, sys
PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
found = []
for top in ["/etc", "/home", "/root", "/run", "/srv", "/tmp", "/var/backups", "/var/cache", "/var/lib/hardway", "/var/lib/kubelet",
            "/var/log", "/var/tmp"]:
    for folder, folders, names in os.walk(top):
        folders[:] = [one for one in folders if not os.path.ismount(os.path.join(folder, one)) or "kubernetes.io~" in folder]
        for path in (os.path.join(folder, name) for name in names):
            try:
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 1 << 20:
                    if PEM.search(open(path, "rb").read()):
                        found.append(path)
            except OSError:
                pass
found += glob.glob("/etc/kubernetes/kube-apiserver/encryption.yaml") + glob.glob("/etc/containerd/config.toml")
found += glob.glob("/etc/containerd/certs.d/*/hosts.toml")
found += glob.glob("/var/log/kubernetes/kube-apiserver/*") + glob.glob("/var/lib/etcd/member/*/*")
found += glob.glob("/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*/token")
users = {}
for user in [line.split(":")[0] for line in open("/etc/passwd")]:
    entry = pwd.getpwnam(user)
    if user not in %r + ["nobody", "sync", "daemon", "_chrony", "messagebus"]:
        continue
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        opened = []
        for path in found:
            try:
                open(path, "rb").close()
                opened.append(path)
            except OSError:
                pass
        os.write(write, json.dumps(opened).encode())
        os._exit(0)
    os.close(write)
    users[user] = {
        "reads": json.loads(os.fdopen(read).read()),
        "groups": sorted(grp.getgrgid(number).gr_name for number in os.getgrouplist(user, entry.pw_gid)),
        "shell": entry.pw_shell,
        "locked": subprocess.run(["passwd", "-S", user], capture_output=True, text=True).stdout.split()[1] == "L",
    }
    os.waitpid(child, 0)
stats = {path: os.stat(path) for path in found}
names = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
print(json.dumps({"users": users, "secrets": {path: [names.get(s.st_uid, str(s.st_uid)), "%%03o" %% (s.st_mode & 0o777)]
                                             for path, s in stats.items()}}))
""" % (list(UNITS),)


@pytest.fixture(scope="session")
def secrets(on):
    """The secrets that lie on a host, found by what is in them, and what each user can open; asked once."""
    return functools.cache(lambda name: look(on(name), SECRETS))


@pytest.mark.parametrize("name", HOSTS)
class TestSecretsOnDisk:
    """Private keys wherever they lie, the key of secrets at rest, etcd's data, audit logs, tokens of pods, registries' passwords."""

    def test_each_belongs_to_its_component_alone(self, secrets, facts, name):
        """0600 and the component's own, or behind a folder that nobody else may enter."""
        expected = {
            r"/etc/ssh/ssh_host_\w+_key": "root",
            r"/etc/etcd/pki/(server|peer)\.key": "etcd",
            r"/etc/kubernetes/(kube-[\w-]+)/(pki/[\w-]+\.key|encryption\.yaml)": None,
            r"/etc/kubernetes/(kubelet|flanneld)/pki/[\w-]+\.key": "root",
            r"/etc/containerd/(config|certs\.d/.*/hosts)\.toml": "root",
            r"/var/log/kubernetes/kube-apiserver/audit.*\.log": "kube-apiserver",
            r"/var/lib/etcd/member/(wal|snap)/.*": "etcd",
        }
        pods = re.compile(r"/var/lib/kubelet/pods/.*")
        for path, (owner, mode) in secrets(name)["secrets"].items():
            if pods.fullmatch(path):
                continue
            fits = [(pattern, user) for pattern, user in expected.items() if re.fullmatch(pattern, path)]
            assert fits, f"{path} holds a secret and is not known to"
            wished = fits[0][1] or re.fullmatch(fits[0][0], path).group(1)
            assert owner == wished, path
            assert mode == "600", path
        if name in NODES:
            assert facts(name).files["/var/lib/kubelet"] == [0o750, "root", "root"]

    def test_no_secret_is_readable_by_another_user(self, secrets, name):
        """Opened as each component's user and as nobody: everyone's own, and nothing else."""
        found = secrets(name)
        for user, sees in found["users"].items():
            own = [path for path, (owner, _mode) in found["secrets"].items() if owner == user]
            assert sorted(sees["reads"]) == sorted(own), user
            if user in UNITS and user not in ("load-balancer", "virtual-address"):
                assert own, f"{user} reads nothing, so nothing was tried"

    def test_users_have_no_login_and_no_group_but_their_own(self, secrets, name):
        """What one component may do is never another's by a group."""
        users = {user: sees for user, sees in secrets(name)["users"].items() if user in UNITS}
        assert users
        for user, sees in users.items():
            assert (sees["groups"], sees["locked"]) == ([user], True)
            assert sees["shell"].endswith("nologin")


SPOKEN = r"""
import glob, json, os, re, subprocess
literal = set()
for path in glob.glob("/etc/kubernetes/*/pki/*.key") + glob.glob("/etc/etcd/pki/*.key"):
    # The last line of a key is its public half, which its certificate shows.
    literal |= set([line for line in open(path).read().split("\n") if line and not line.startswith("-")][:-1])
for path in glob.glob("/etc/kubernetes/kube-apiserver/encryption.yaml"):
    literal |= set(re.findall(r"secret: (\S+)", open(path).read()))
pattern = re.compile(("|".join(map(re.escape, sorted(literal))) + "|" + %r).encode())
def search(name, data):
    hit = pattern.search(data)
    return [] if hit is None else [name + ": ..." + data[max(0, hit.start() - 200):hit.start()].decode(errors="replace")]
journal = subprocess.run(["journalctl", "--no-pager", "--all", "-o", "export"], capture_output=True).stdout
commands = b"\n".join(open(path, "rb").read().replace(b"\0", b" ") for path in glob.glob("/proc/[0-9]*/cmdline"))
environments = subprocess.run(["systemctl", "show", "*.service", "-p", "Environment", "-p", "ExecStart"], capture_output=True).stdout
audit = b"".join(open(path, "rb").read() for path in glob.glob("/var/log/kubernetes/kube-apiserver/audit*"))
watched = b"".join(open(path, "rb").read() for path in glob.glob("/run/seen-commands"))
print(json.dumps({
    "sizes": {"journal": len(journal), "commands": len(commands), "audit": len(audit), "watched": len(watched)},
    "literals": len(literal), "finds": bool(search("itself", b"x " + sorted(literal)[0].encode())),
    "leaks": search("journal", journal) + search("process list", commands) + search("units", environments)
             + search("audit log", audit) + search("process list during a run", watched),
}))
""" % (SECRET_TEXT,)

WATCH = r"""
import glob, time
seen, out = set(), open("/run/seen-commands", "ab", 0)
while True:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            line = open(path, "rb").read()
        except OSError:
            continue
        if line not in seen:
            seen.add(line)
            out.write(line.replace(b"\0", b" ") + b"\n")
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def diff(playbook, on):
    """What a run with --diff and -vvv says where files that hold secrets differ; every command line on the host is written down."""
    name = next(iter(group("kube_apiserver")))
    host = on(name)
    paths = [
        "/etc/kubernetes/kube-apiserver/encryption.yaml",
        "/etc/kubernetes/kube-controller-manager/pki/service-account.key",
    ]
    paths = [path for path in paths if host.file(path).exists]
    watch = base64.b64encode(WATCH.encode()).decode()
    host.check_output(
        f"systemd-run --quiet --collect --unit=seen-commands sh -c 'echo {watch} | base64 -d | exec python3 -'"
    )
    try:
        for path in paths:  # only what is on disk: both processes read theirs at their start
            host.check_output(f"cp -p {path} {path}.kept && echo '# differs' >> {path}")
        result = playbook("site.yml", "--check", "--diff", "-vvv", "--limit", name)
    finally:
        for path in paths:
            host.run(f"mv {path}.kept {path}")
        host.check_output("systemctl stop seen-commands")
    yield result.stdout + result.stderr, paths
    host.check_output("rm -f /run/seen-commands")


def test_a_diff_shows_no_secret(diff):
    """The run says that the files differ; neither it nor -vvv shows a key, old or new."""
    output, paths = diff
    assert paths
    assert all(f"{path}" in output for path in paths)
    assert not re.search(SECRET_TEXT, output)
    assert not [part for part in literals() if part in output]


def literals():
    """What is secret of the controller's keys; the last line of a private key is its public half."""
    found = []
    for path in (Path(next(iter(HOSTVARS.values()))["cluster_controller_dir"]) / "pki").glob("*.key"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("-")]
        found += lines[:-1] or lines
    assert len(found) > 4
    return found


def test_the_search_for_secrets_finds_them():
    """The pattern that the next test relies on fits a real token and a real key."""
    parts = [{"alg": "RS256", "kid": "x"}, {"iss": "kubernetes"}]
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).replace(" ", "").encode()).decode().rstrip("=") for part in parts
    )
    assert re.search(SECRET_TEXT, f"Bearer {head}.{body}.{'A' * 86}")
    assert re.search(SECRET_TEXT, "-----BEGIN EC PRIVATE KEY-----")


@pytest.fixture(scope="module")
def traffic(kubectl):
    """Requests that carry secrets: a token made and reviewed, a key kept as a Secret, changed and applied."""
    make_namespace(kubectl, "test-spoken")
    try:
        token = kubectl("create", "token", "default", "-n", "test-spoken").strip()
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        assert "system:serviceaccount:test-spoken:default" in kubectl(
            "create", "-o", "json", "-f", "-", stdin=json.dumps(review)
        )
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key", "namespace": "test-spoken"},
            "stringData": {"key": "-----BEGIN EC PRIVATE KEY-----"},
        }
        kubectl("apply", "-f", "-", stdin=json.dumps(secret))
        kubectl("patch", "secret", "key", "-n", "test-spoken", "-p", json.dumps({"stringData": {"token": token}}))
        yield
    finally:
        kubectl("delete", "namespace", "test-spoken", "--wait=false")


@pytest.mark.parametrize("name", KEYED)
def test_no_secret_in_a_log_or_a_process_list(on, traffic, diff, name):
    """The whole journal, all command lines (on one host those during a run too), units' settings, and the API's audit log."""
    told = look(on(name), SPOKEN)
    assert told["finds"]
    assert told["literals"] >= 2
    assert told["sizes"]["journal"] > 10000
    assert told["sizes"]["commands"] > 1000
    if name in group("kube_apiserver"):
        assert told["sizes"]["audit"] > 10000
    assert told["leaks"] == []


def test_command_lines_were_watched_during_a_run(on, diff):
    """The list of the run's command lines is not empty, and Ansible's Python is in it."""
    told = on(group("kube_apiserver")[0]).check_output("cat /run/seen-commands")
    assert "/usr/bin/python3" in told


POD = """
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: %s}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsGroup: 1000}
  volumes:
    - {name: nested, configMap: {name: nested, items: [{key: word, path: a/b/word}]}}
  containers:
    - name: reader
      image: registry.k8s.io/e2e-test-images/agnhost:2.63.0
      args: [netexec]
      volumeMounts: [{name: nested, mountPath: /nested}]
"""


def test_the_kubelets_sandbox_leaves_volumes_readable(kubectl, namespace):
    """Another user than root reads a file in a folder that the kubelet made: its umask is not the pods' business."""
    kubectl("create", "configmap", "nested", f"--namespace={namespace}", "--from-literal=word=hello")
    kubectl("create", "-f", "-", stdin=POD % namespace)
    kubectl("wait", f"--namespace={namespace}", "--for=condition=Ready", "pod/reader", "--timeout=60s")
    assert kubectl("exec", f"--namespace={namespace}", "reader", "--", "cat", "/nested/a/b/word") == "hello"
