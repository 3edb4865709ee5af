"""One look at a whole host: what differs is named, and nothing is touched; the modules themselves make it as wished."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible.module_utils import basic
from ansible_collections.hardway.kubernetes.plugins.filter.to_unit import to_unit
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki

UNIT = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/sleep 600\n\n[Install]\nWantedBy=multi-user.target\n"
PAUSE = "registry.k8s.io/pause:3.10.1"
run_command = basic.AnsibleModule.run_command


class Host:
    """A host below tmp_path that runs etcd, containerd and kubectl, and what is wished of it."""

    def __init__(self, helpers: SimpleNamespace, systemd: Any, pki: Pki, root: Path) -> None:
        self.helpers, self.systemd, self.pki, self.root = helpers, systemd, pki, root
        self.packages, self.images = ["conntrack"], [PAUSE]
        mirror = root.parent / "mirror" / "dl.k8s.io" / "kubectl"
        mirror.parent.mkdir(parents=True)
        mirror.write_text("kubectl")
        mirror.with_name("kubectl.sha256").write_text(hashlib.sha256(b"kubectl").hexdigest())
        self.leaf = {
            "path": self.path("etc/etcd/pki/server"),
            "owner": "etcd",
            "ca": "etcd",
            "common_name": "cp1",
            "usages": ["server"],
        }
        self.wish: dict[str, Any] = {
            "settings": {
                "state": "inspected",
                "swap": "keep",
                "sysctls": {"kernel.ostype": "Linux"},
                "packages": ["conntrack"],
            },
            "release": {
                "files": [
                    {
                        "name": "kubectl",
                        "version": "1",
                        "url": "https://dl.k8s.io/kubectl",
                        "checksum_url": "https://dl.k8s.io/kubectl.sha256",
                        "directory": self.path("opt/kubectl/1"),
                    }
                ],
                "mirror_url": f"file://{root.parent}/mirror",
            },
            "certificates": {
                "users": ["etcd"],
                "authorities": [
                    {"ca": "etcd", "path": self.path("etc/etcd/ca.crt"), "content": pki.read("etcd-ca.crt")}
                ],
                "certificates": [self.leaf],
            },
            "components": {
                "etcd": {
                    "name": "etcd",
                    "user": "etcd",
                    "directories": [{"path": self.path("lib/etcd"), "owner": "etcd", "mode": "0700", "data": True}],
                    "files": [
                        {"path": self.path("etc/etcd/config"), "content": "quota: 1\n"},
                        {"path": self.path("etc/etcd/secret"), "content": "hidden-1", "mode": "0600", "secret": True},
                    ],
                    "inputs": [self.path("etc/etcd/pki/server.crt")],
                    "unit": UNIT,
                },
                "containerd": {"name": "containerd", "unit": UNIT},
                "kubectl": {"name": "kubectl", "links": {self.path("bin/kubectl"): self.path("opt/kubectl/1/kubectl")}},
            },
            "images": {"containerd": [{"path": self.path("pause.tar"), "images": [PAUSE]}]},
        }

    def path(self, name: str) -> str:
        return str(self.root / name)

    def run_command(self, module: Any, command: list[str], **more: Any) -> tuple[int, str, str]:
        """The host's programs; of this machine only openssl is run."""
        if command[0] == "openssl":
            self.systemd.ran.append(" ".join(command))
            return run_command(module, command, **more)
        if command[0] == self.path("bin/ctr"):
            return 0, "".join(image + "\n" for image in self.images), ""
        if command[0] == "dpkg-query":
            return 0, "".join(f"installed {name}\n" for name in self.packages), ""
        return self.systemd.run_command(command, **more)

    def survey(self, **more: Any) -> dict[str, Any]:
        self.systemd.ran.clear()
        return self.helpers.run_module("survey", {**self.wish, **more})

    def make(self) -> None:
        """All that is wished, made by the modules whose work the survey foresees."""
        certificates, leaf = self.wish["certificates"], self.leaf
        self.run("host_settings", {**self.wish["settings"], "state": "present"})
        self.run("release_files", self.wish["release"])
        found = self.run("certificates", certificates)["found"]
        signed = {leaf["path"]: self.pki.sign_request(leaf, found[leaf["path"]]["request"], 30)}
        self.run("certificates", {**certificates, "step": "install", "signed": signed})
        for options in self.wish["components"].values():
            self.run("component", options)

    def run(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
        result = self.helpers.run_module(name, args)
        assert not result.get("failed"), result
        return result

    def everything(self) -> dict[str, Any]:
        """Whatever a module could have touched: files, modes, links, users, processes."""
        found = {
            str(path): (path.lstat().st_mode, os.readlink(path) if path.is_symlink() else path.lstat().st_mtime_ns)
            for path in sorted(self.root.parent.rglob("*"))
        }
        processes = {name: self.systemd.pid(name) for name in ("etcd.service", "containerd.service")}
        return {**found, **processes, "users": dict(self.systemd.users), "enabled": set(self.systemd.enabled)}


@pytest.fixture
def bare(host: SimpleNamespace, systemd: Any, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host on which nothing is yet but what a distribution brings, and containerd's client."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "ctr").touch()
    found = Host(host, systemd, pki, root)
    settings = host.load("module_utils", "host_settings")
    monkeypatch.setattr(settings, "MODULES_FILE", found.path("etc/modules.conf"))
    monkeypatch.setattr(settings, "SYSCTL_FILE", found.path("etc/sysctl.conf"))
    monkeypatch.setattr(settings.Host, "package_manager", lambda _host: "apt")
    images = host.load("module_utils", "images")
    monkeypatch.setattr(images, "CTR", [found.path("bin/ctr"), *images.CTR[1:]])
    monkeypatch.setattr(basic.AnsibleModule, "run_command", lambda *args, **more: found.run_command(*args, **more))
    return found


@pytest.fixture
def made(bare: Host) -> Host:
    """The same host, all as wished."""
    bare.make()
    return bare


# ---- what may differ, and what has to do then ----


def package_lacks(made: Host) -> None:
    made.packages.clear()


def sysctl_differs(made: Host) -> None:
    made.wish["settings"]["sysctls"]["kernel.ostype"] = "Hurd"


def settings_file_lost(made: Host) -> None:
    Path(made.path("etc/sysctl.conf")).unlink()


def binary_lost(made: Host) -> None:
    Path(made.path("opt/kubectl/1/kubectl")).unlink()


def new_version(made: Host) -> None:
    made.wish["release"]["files"][0].update(version="2", directory=made.path("opt/kubectl/2"))


def authority_lost(made: Host) -> None:
    Path(made.path("etc/etcd/ca.crt")).unlink()


def key_others_can_read(made: Host) -> None:
    Path(made.path("etc/etcd/pki/server.key")).chmod(0o644)


def new_content(made: Host) -> None:
    made.wish["components"]["etcd"]["files"][0]["content"] = "quota: 2\n"


def new_secret(made: Host) -> None:
    made.wish["components"]["etcd"]["files"][1]["content"] = "hidden-2"


def open_directory(made: Host) -> None:
    Path(made.path("lib/etcd")).chmod(0o755)


def new_certificate(made: Host) -> None:
    Path(made.path("etc/etcd/pki/server.crt")).write_text("issued anew")


def new_unit(made: Host) -> None:
    made.wish["components"]["etcd"]["unit"] = UNIT.replace("600", "601")


def process_ended(made: Host) -> None:
    made.systemd._stop("etcd.service")


def not_enabled(made: Host) -> None:
    made.systemd.enabled.discard("containerd.service")


def link_leads_elsewhere(made: Host) -> None:
    made.wish["components"]["kubectl"]["links"] = {made.path("bin/kubectl"): made.path("opt/kubectl/2/kubectl")}


def image_lacks(made: Host) -> None:
    made.images.clear()


DIFFERENCES = [
    (package_lacks, "host"),
    (sysctl_differs, "host"),
    (settings_file_lost, "host"),
    (binary_lost, "release"),
    (new_version, "release"),
    (authority_lost, "certificates"),
    (key_others_can_read, "certificates"),
    (new_content, "etcd"),
    (new_secret, "etcd"),
    (open_directory, "etcd"),
    (new_certificate, "etcd"),
    (new_unit, "etcd"),
    (process_ended, "etcd"),
    (not_enabled, "containerd"),
    (image_lacks, "containerd"),
    (link_leads_elsewhere, "kubectl"),
]


def test_a_bare_host_lacks_everything(bare: Host) -> None:
    bare.images.clear()
    bare.packages.clear()
    before = bare.everything()
    result = bare.survey()
    assert result["todo"] == ["host", "release", "certificates", "etcd", "containerd", "kubectl"]
    assert not result["changed"]
    assert bare.everything() == before
    assert {line.split()[1] for line in bare.systemd.ran} == {"show"}


def test_what_the_modules_made_is_as_wished(made: Host) -> None:
    result = made.survey()
    assert (result["todo"], result["changed"]) == ([], False)


@pytest.mark.parametrize(("change", "todo"), DIFFERENCES)
def test_a_difference_names_only_what_has_to_do_and_is_left_as_it_is(
    made: Host, change: Callable[[Host], None], todo: str
) -> None:
    change(made)
    wished, before = copy.deepcopy(made.wish), made.everything()
    result = made.survey()
    assert (result["todo"], result["changed"]) == ([todo], False)
    assert made.everything() == before
    assert made.systemd.verbs() == []
    assert made.wish == wished
    assert "hidden" not in str(result)


def test_a_process_that_runs_as_wished_but_does_not_serve_has_to_do(made: Host, serve: Callable[..., Any]) -> None:
    server = serve()
    made.wish["components"]["etcd"]["healthy"] = {"url": server.url, "within": 600}
    assert made.survey()["todo"] == []
    server.status = 503
    assert made.survey()["todo"] == ["etcd"]
    assert made.systemd.verbs() == []


def test_the_host_is_told_as_its_own_module_tells_it(made: Host) -> None:
    made.wish["settings"]["minimum_memory_mb"] = 1 << 30
    result = made.survey()["host"]
    assert result["node_name"] == os.uname().nodename
    assert (result["package_manager"], result["missing_packages"], result["differs"]) == ("apt", [], False)
    assert any("host__minimum_memory_mb" in finding for finding in result["findings"])


def test_what_reads_its_files_again_is_among_what_restarts(made: Host) -> None:
    """--tags restart makes up for it, and who holds a virtual address under other settings is found."""
    peers = {"path": str(made.path("etc/etcd/peers")), "content": "a", "reload": True}
    wish = made.wish["components"]["etcd"]
    wish["unit"] = wish["unit"].replace("[Service]\n", "[Service]\nExecReload=/bin/kill -HUP $MAINPID\n")
    wish["files"].append(peers)
    made.helpers.run_module("component", wish)
    assert made.survey()["restarts"] == []
    peers["content"] = "a b"
    result = made.survey()
    assert (result["todo"], result["restarts"]) == (["etcd"], ["etcd"])


# ---- certificates ----


def test_certificates_are_handed_to_the_controller_to_judge(made: Host) -> None:
    result = made.survey()
    assert list(result["found"]) == [made.leaf["path"]]
    seen = result["found"][made.leaf["path"]]
    assert made.pki.why_renew(made.leaf, seen["certificate"], seen["public_key"]) is None
    assert "PRIVATE" not in str(result)


def test_no_key_is_made_where_there_is_none(bare: Host) -> None:
    assert bare.survey()["found"] == {bare.leaf["path"]: {"certificate": None, "public_key": None}}
    assert not Path(bare.path("etc")).exists()


def test_a_host_that_trusts_another_authority_stops(made: Host) -> None:
    shutil.copy(f"{made.pki.folder}/kubernetes-ca.crt", made.path("etc/etcd/ca.crt"))
    before = made.everything()
    result = made.survey()
    assert result["failed"]
    assert "another authority" in result["msg"]
    assert made.everything() == before


def test_a_host_says_whether_it_belongs_to_a_cluster(made: Host) -> None:
    ours, none = str(made.path("etc/etcd/ca.crt")), str(made.path("etc/etcd/none.crt"))
    result = made.helpers.run_module("survey", {"trusted_paths": [ours, none]})
    assert (result["trusted"], result["changed"]) == ([ours], False)


# ---- options ----


def test_what_is_not_given_is_not_looked_at(made: Host) -> None:
    made.systemd.ran.clear()
    nothing = {
        "changed": False,
        "host": {},
        "todo": [],
        "restarts": [],
        "trusted": [],
        "unwanted": [],
        "balances": "",
        "asks": [],
        "stores": [],
        "settled": {},
        "node": "",
        "holds": "",
        "has": [],
        "taken": False,
    }
    assert made.helpers.run_module("survey", {}) == nothing
    assert made.systemd.ran == []


@pytest.mark.parametrize(
    ("wrong", "where", "words"),
    [
        ({"settings": {"state": "present", "sysctl": {}}}, "settings: ", "sysctl"),
        ({"release": {"files": [{"name": "kubectl"}]}}, "release: ", "directory"),
        ({"certificates": {"certificates": [{"path": "/x"}]}}, "certificates: ", "common_name"),
        ({"components": {"etcd": {"name": "etcd", "file": []}}}, "etcd: ", "file"),
        ({"components": {"etcd": {"name": "etcd", "restart": "never"}}}, "etcd: ", "never"),
        ({"images": {"kubectl": [{"path": "/x"}]}}, "kubectl: ", "images"),
    ],
)
def test_bad_options_are_told_with_whose_they_are(made: Host, wrong: dict[str, Any], where: str, words: str) -> None:
    result = made.survey(**wrong)
    assert result["failed"]
    assert result["msg"].startswith(where)
    assert words in result["msg"].removeprefix(where)


def test_defaults_are_those_of_the_modules(made: Host) -> None:
    Path(made.path("etc/etcd/config")).chmod(0o600)
    assert made.survey()["todo"] == ["etcd"]
    made.wish["components"]["etcd"]["files"][0]["mode"] = "0600"
    assert made.survey()["todo"] == []


def test_what_a_host_ran_under_other_settings_is_told(made: Host) -> None:
    assert made.survey(unwanted=["etcd", "load-balancer"])["unwanted"] == ["etcd"]
    assert made.survey()["unwanted"] == []


@pytest.mark.parametrize(
    ("used", "listens"), [("haproxy.cfg", "127.0.0.1:7443"), ("nginx.conf", "*:6443"), ("none.conf", "")]
)
def test_where_a_balancer_listens_is_told(made: Host, tmp_path: Path, used: str, listens: str) -> None:
    """By the configuration that its unit names; another program's may lie beside it."""
    (tmp_path / "haproxy.cfg").write_text("frontend kube-apiserver\n  bind 127.0.0.1:7443\n")
    (tmp_path / "nginx.conf").write_text("stream {\n  server {\n    listen [::]:6443 ipv6only=off so_keepalive=on;\n")
    unit = Path(made.helpers.load("module_utils", "systemd").UNIT_DIRECTORY) / "load-balancer.service"
    unit.write_text(f"[Service]\nExecStart=/usr/sbin/x -f {tmp_path}/{used}\n")
    assert made.survey()["balances"] == listens


def test_where_a_host_asks_is_told(made: Host, tmp_path: Path) -> None:
    for name, server in (("kubelet", "https://192.168.60.30:6443"), ("flanneld", "https://127.0.0.1:7443")):
        text = f"clusters:\n- cluster:\n    certificate-authority: /ca\n    server: {server}\n  name: cluster\n"
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in ("kubelet", "flanneld", "none")]
    assert made.survey(kubeconfigs=paths)["asks"] == ["https://127.0.0.1:7443", "https://192.168.60.30:6443"]


@pytest.mark.parametrize(
    ("text", "listens"),
    [
        ("  bind *:6443\n", "*:6443"),
        ("  bind :::443 v4v6\n", "*:443"),
        ("    listen 6443 so_keepalive=on;\n", "*:6443"),
        ("# bind 1:2\n", ""),
    ],
)
def test_all_ways_to_listen(made: Host, tmp_path: Path, text: str, listens: str) -> None:
    (tmp_path / "haproxy.cfg").write_text(text)
    unit = Path(made.helpers.load("module_utils", "systemd").UNIT_DIRECTORY) / "load-balancer.service"
    unit.write_text(f"[Service]\nExecStart=/usr/sbin/haproxy -f {tmp_path}/haproxy.cfg\n")
    assert made.survey()["balances"] == listens


def write_unit(made: Host, name: str, text: str) -> None:
    folder = Path(made.helpers.load("module_utils", "systemd").UNIT_DIRECTORY)
    (folder / f"{name}.service").write_text(text)


def test_the_name_of_a_node_is_told(made: Host) -> None:
    """By the unit that the role wrote; a distribution's kubelet says nothing of a node of this cluster."""
    start = "[Service]\nExecStart=/usr/local/bin/kubelet --config=/c --hostname-override=worker1 --root-dir=/r\n"
    write_unit(made, "kubelet", start)
    assert made.survey()["node"] == ""
    write_unit(made, "kubelet", "# Written by hardway.kubernetes\n" + start)
    assert made.survey()["node"] == "worker1"


def test_the_virtual_address_of_before_is_told(made: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_unit(made, "virtual-address", f"[Service]\nExecStart=/usr/sbin/keepalived --use-file={tmp_path}/x.conf -n\n")
    assert made.survey()["holds"] == ""
    (tmp_path / "x.conf").write_text("vrrp_instance a {\n  virtual_ipaddress {\n    fd00:60::30 dev eth0\n  }\n}\n")
    seen = made.survey()
    assert (seen["holds"], seen["has"]) == ("fd00:60::30", [])
    monkeypatch.setattr(made.helpers.load("module_utils", "balancer"), "has", lambda _module, _address: True)
    assert made.survey()["has"] == ["fd00:60::30"]


def test_an_address_that_somebody_has_is_told(made: Host, serve: Callable[..., Any], closed_port: int) -> None:
    """A host that refuses a connection is there as well as one that takes it."""
    taken = made.helpers.load("module_utils", "balancer").taken
    assert taken("127.0.0.1", urlsplit(serve().url).port)
    assert taken("127.0.0.1", closed_port)
    assert not taken("nowhere.invalid", 6443)


# ---- etcd's members ----


def look_at(fake_etcd: Any, etcd_tls: SimpleNamespace, tmp_path: Path, *servers: str) -> dict[str, Any]:
    return {
        "etcd": {
            "name": "cp1",
            "peer_url": fake_etcd.peer("cp1"),
            "servers": [fake_etcd.url(name) for name in servers],
            "wal_dir": str(tmp_path / "wal"),
            "bootstrap": str(tmp_path / "bootstrap.env"),
            "ca": Path(etcd_tls.ca).read_text(),
            "client_certificate": Path(etcd_tls.client_crt).read_text(),
        },
        "client_key": Path(etcd_tls.client_key).read_text(),
    }


def test_members_of_etcd_are_told(host: SimpleNamespace, fake_etcd: Any, etcd_tls: Any, tmp_path: Path) -> None:
    fake_etcd.member("cp1")
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "1.wal").touch()
    result = host.run_module("survey", look_at(fake_etcd, etcd_tls, tmp_path, "cp1"))
    assert (result["todo"], result["changed"]) == ([], False)
    assert result["etcd"]["data"]
    assert [entry["name"] for entry in result["etcd"]["members"]] == ["cp1"]


def test_a_learner_has_to_be_promoted(host: SimpleNamespace, fake_etcd: Any, etcd_tls: Any, tmp_path: Path) -> None:
    fake_etcd.member("cp1", isLearner=True)
    fake_etcd.member("cp2")
    result = host.run_module("survey", look_at(fake_etcd, etcd_tls, tmp_path, "cp1", "cp2"))
    assert (result["todo"], result["restarts"]) == (["etcd"], [])
    assert fake_etcd.verbs() == []


def strangers(made: Host, *units: str) -> list[str]:
    """Findings about services of others; this machine need not run systemd."""
    return [found for found in made.survey(units=list(units))["host"]["findings"] if "somebody else's" in found]


def test_somebody_elses_service_of_the_same_name_is_not_taken_over(made: Host) -> None:
    """Such as a distribution's etcd: its unit runs, and none of these roles wrote it."""
    path = made.systemd.folder / "etcd.service"
    assert strangers(made, "kubelet") == []
    (found,) = strangers(made, "etcd")
    assert found == (
        f"runs the service etcd of somebody else's ({path}), which would be replaced. If it is not needed, stop it and keep it from "
        "starting (systemctl disable --now etcd), and move away what it keeps; otherwise give that part to another host."
    )
    made.systemd.run_command(["systemctl", "disable", "--now", "etcd.service"])
    assert strangers(made, "etcd") == []


def test_a_unit_that_the_roles_wrote_is_theirs(made: Host) -> None:
    path = made.systemd.folder / "etcd.service"
    path.write_text(to_unit({"Service": {"ExecStart": "/bin/sleep 600"}}))
    assert strangers(made, "etcd") == []
