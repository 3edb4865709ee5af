"""What the plugins' tests share: real modules in this process, real loopback servers, a systemd made of real processes."""

from __future__ import annotations

import contextlib
import http.server
import importlib
import io
import json
import os
import select
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.hardway.kubernetes.plugins.module_utils import host_state
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, key_pem, make_key

PLUGINS = "ansible_collections.hardway.kubernetes.plugins"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback servers are asked without the proxy of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# ---- modules and action plugins ----


def load(kind: str, name: str) -> Any:
    """The plugin's Python module."""
    return importlib.import_module(f"{PLUGINS}.{kind}.{name}")


def run_module(name: str, args: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """Run a module as Ansible would, and give its result."""
    module = load("modules", name)
    out = io.StringIO()
    wished = dict(args, _ansible_check_mode=check, _ansible_diff=True)
    umask = os.umask(0o022)
    try:
        with patch_module_args(wished), contextlib.redirect_stdout(out), pytest.raises(SystemExit):
            module.main()
    finally:
        os.umask(umask)
    result = json.loads(out.getvalue())
    result.pop("invocation", None)
    return result


def run_action(
    name: str,
    args: dict[str, Any],
    check: bool = False,
    task_vars: dict[str, Any] | None = None,
    execute: Callable[[str, dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Run an action plugin; its modules run in this process, or are what execute(name, args) answers."""
    run = execute or (lambda module, wished: run_module(module, wished, check))
    task = SimpleNamespace(args=args, check_mode=check, diff=True, async_val=0, action=name)
    shell = SimpleNamespace(tmpdir="/nowhere", join_path=os.path.join)
    task_vars = {
        name: trust_as_template(value) if isinstance(value, str) else value
        for name, value in {"inventory_hostname": "cp1", **(task_vars or {})}.items()
    }
    templar = Templar(loader=DataLoader(), variables=task_vars)
    plugin = load("action", name).ActionModule(task, SimpleNamespace(_shell=shell), None, None, templar)
    plugin._execute_module = lambda module_name, module_args, task_vars: run(module_name.split(".")[-1], module_args)
    return plugin.run(task_vars=task_vars)


class FakeModule:
    """What helpers need of an AnsibleModule."""

    def __init__(self, params: dict[str, Any] | None = None, check: bool = False) -> None:
        self.params = params or {}
        self.check_mode = check
        self.commands: list[list[str]] = []
        self.answers: dict[str, tuple[int, str, str]] = {}

    def run_command(self, command: list[str], check_rc: bool = False) -> tuple[int, str, str]:
        """Record the command; the answer is looked up by the program's name."""
        self.commands.append(command)
        return self.answers.get(command[0], (0, "", ""))

    def fail_json(self, msg: str, **_more: Any) -> None:
        """End as the real one does."""
        raise SystemExit(msg)


class Commands:
    """Stands for the host's programs: answers by the start of the command line, and remembers what was run."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.answers: dict[str, Any] = {}

    def __call__(self, _module: Any, command: list[str], check_rc: bool = False, **_more: Any) -> tuple[int, str, str]:
        line = " ".join(command)
        self.ran.append(line)
        for start, answer in self.answers.items():
            if line.startswith(start):
                return answer(command) if callable(answer) else answer
        return 0, "", ""


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """No program of this machine is run."""
    fake = Commands()
    monkeypatch.setattr(basic.AnsibleModule, "run_command", lambda module, *args, **more: fake(module, *args, **more))
    return fake


# ---- users ----


class Users(dict):
    """The host's users by name; each is who runs the tests unless another uid is given."""

    def getpwnam(self, name: str) -> Any:
        """As pwd.getpwnam."""
        return SimpleNamespace(pw_name=name, pw_uid=self[name], pw_gid=os.getgid(), pw_dir="/")

    def getgrnam(self, name: str) -> Any:
        """As grp.getgrnam: each user has a group of its own name."""
        self[name]
        return SimpleNamespace(gr_name=name, gr_gid=os.getgid())


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Users:
    """A host whose only user is root, and root is whoever runs the tests."""
    fake = Users(root=os.getuid())
    monkeypatch.setattr(host_state, "pwd", fake)
    monkeypatch.setattr(host_state, "grp", fake)
    return fake


# ---- authorities and certificates ----


@pytest.fixture(scope="session")
def made_pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A whole folder of authorities; not to be changed."""
    pki = Pki(str(tmp_path_factory.mktemp("authorities") / "pki"))
    pki.create("example", 3650, "ecdsa-p256")
    return pki


@pytest.fixture
def pki(made_pki: Pki, tmp_path: Path) -> Pki:
    """A folder of authorities of one's own."""
    folder = tmp_path / "controller" / "pki"
    shutil.copytree(made_pki.folder, folder)
    return Pki(str(folder))


def make_tls(pki: Pki, folder: Path, authority: str) -> SimpleNamespace:
    """Paths of ca, a server's and a client's certificate and key, and another authority that signed none of them."""
    other = "etcd" if authority == "kubernetes" else "kubernetes"
    found = SimpleNamespace(ca=f"{pki.folder}/{authority}-ca.crt", other_ca=f"{pki.folder}/{other}-ca.crt")
    for usage, names in (("server", ["127.0.0.1", "localhost"]), ("client", [])):
        key = make_key("ecdsa-p256")
        wish = {"ca": authority, "common_name": usage, "sans": names, "usages": [usage]}
        for ending, text in (("crt", pki.sign(wish, key.public_key(), 30)), ("key", key_pem(key).decode())):
            path = folder / f"{usage}.{ending}"
            path.write_text(text)
            setattr(found, f"{usage}_{ending}", str(path))
    return found


@pytest.fixture(scope="session")
def tls(made_pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """As make_tls, of the kubernetes authority."""
    return make_tls(made_pki, tmp_path_factory.mktemp("tls"), "kubernetes")


@pytest.fixture(scope="session")
def etcd_tls(made_pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """As make_tls, of the etcd authority."""
    return make_tls(made_pki, tmp_path_factory.mktemp("etcd-tls"), "etcd")


def issue(pki: Pki, folder: Path, names: list[str]) -> SimpleNamespace:
    """A server's certificate of its own, as make_tls gives it."""
    key = make_key("ecdsa-p256")
    wish = {"ca": "kubernetes", "common_name": "server", "sans": names, "usages": ["server"]}
    (folder / "crt").write_text(pki.sign(wish, key.public_key(), 30))
    (folder / "key").write_text(key_pem(key).decode())
    ca = f"{pki.folder}/kubernetes-ca.crt"
    return SimpleNamespace(ca=ca, server_crt=str(folder / "crt"), server_key=str(folder / "key"))


# ---- servers ----


class Server(http.server.ThreadingHTTPServer):
    """A loopback server that answers with respond(handler), or with its status and body."""

    daemon_threads = True
    status = 200
    body: bytes | str = "ok"
    respond: Callable[[Any], None] | None = None
    scheme = "http"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.open: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True)
        self.thread.start()

    def get_request(self) -> Any:
        """Remember connections, so that stop() can end them."""
        connection = super().get_request()
        self.open.append(connection[0])
        return connection

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def drop(self) -> None:
        """End every connection, and go on listening."""
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def stop(self) -> None:
        """End it and every connection to it."""
        self.shutdown()
        self.server_close()
        self.drop()
        self.thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_any(self) -> None:
        """Answer, whatever the method."""
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.respond:
            self.server.respond(self)
            return
        self.answer(self.server.status, self.server.body)

    do_GET = do_PATCH = do_DELETE = do_POST = do_PUT = handle_any

    def answer(self, status: int, body: bytes | str, **headers: str) -> None:
        """Send one whole answer."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start loopback servers: serve() for HTTP, serve(tls) for HTTPS, serve(tls, True) to demand a client's certificate."""
    started: list[Server] = []

    def start(tls: Any = None, demand: bool = False) -> Server:
        server = Server()
        started.append(server)
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
            context.load_cert_chain(tls.server_crt, tls.server_key)
            context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_NONE
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        return server

    yield start
    for server in started:
        if server.thread.is_alive():
            server.stop()


class Balancer(socketserver.ThreadingTCPServer):
    """A loopback port that passes connections through to the servers of its pool, one after the other."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pool: list[Server]) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.pool = pool
        self.open, self.most = 0, 0
        self.thread = threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        """Its host:port."""
        return f"127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()
        self.thread.join()


class _Passage(socketserver.BaseRequestHandler):
    server: Balancer

    def handle(self) -> None:
        """Pass one connection through, until one side ends it."""
        target = self.server.pool[0]
        self.server.pool = [*self.server.pool[1:], target]
        self.server.open += 1
        self.server.most = max(self.server.most, self.server.open)
        with socket.create_connection(("127.0.0.1", target.server_port)) as onward:
            ways = {self.request: onward, onward: self.request}
            ended = False
            while not ended:
                for one in select.select(list(ways), [], [])[0]:
                    data = one.recv(65536)
                    ended = ended or not data
                    ways[one].sendall(data)
        self.server.open -= 1

    def finish(self) -> None:
        """The other side may be gone already."""
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def api_servers(serve: Callable[..., Server], made_pki: Pki, tmp_path: Path) -> dict[str, Server]:
    """Three API servers, each with a certificate of its own."""
    found = {}
    for name in ("cp1", "cp2", "cp3"):
        folder = tmp_path / name
        folder.mkdir()
        found[name] = serve(issue(made_pki, folder, [name, "127.0.0.1"]))
    return found


@pytest.fixture
def balance() -> Iterator[Callable[..., Balancer]]:
    """Start a balancer in front of servers."""
    started: list[Balancer] = []

    def start(servers: Iterable[Server]) -> Balancer:
        started.append(Balancer(list(servers)))
        return started[-1]

    yield start
    for balancer in started:
        balancer.stop()


@pytest.fixture
def closed_port() -> int:
    """A loopback port at which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]


# ---- systemd ----


def journal(run: str | None, *lines: str, unit: str = "etcd.service") -> str:
    """What journalctl --output json prints of one process's lines; None: of systemd's own."""
    entries: list[dict[str, str]] = [
        {"MESSAGE": line, "_SYSTEMD_UNIT": unit if run else "init.scope"} for line in lines
    ]
    return "".join(json.dumps(entry | ({"_SYSTEMD_INVOCATION_ID": run} if run else {})) + "\n" for entry in entries)


class Systemd:
    """systemctl, journalctl, useradd and userdel of one host. Services are real processes with a real environment."""

    def __init__(self, folder: Path, users: Users) -> None:
        self.folder = folder
        self.users = users
        self.ran: list[str] = []
        self.loaded: dict[str, str] = {}
        self.enabled: set[str] = set()
        self.processes: dict[str, subprocess.Popen] = {}
        self.exited: set[str] = set()
        self.properties: dict[str, str] = {}
        self.journal = journal("one", "first line", "last line")
        self.slow: set[str] = set()  # units whose old process ends only when the test says so
        self.ending: subprocess.Popen | None = None
        self.killed_at = ""

    def unit_file(self, name: str) -> Path:
        """Where a unit's file is."""
        return self.folder / name

    def run_command(self, command: list[str], check_rc: bool = False, **_more: Any) -> tuple[int, str, str]:
        """The commands that modules run; a run can be killed before one of them."""
        self.ran.append(" ".join(command))
        if self.killed_at and self.killed_at in self.ran[-1]:
            raise KeyboardInterrupt
        if command[0] == "systemctl":
            return 0, self._systemctl(command[1], [word for word in command[2:] if not word.startswith("--")]), ""
        if command[0] == "journalctl":
            return 0, self.journal, ""
        if command[0] == "useradd":
            self.users[command[-1]] = os.getuid()
        elif command[0] == "userdel":
            del self.users[command[-1]]
        return 0, "", ""

    def verbs(self) -> list[str]:
        """What systemctl was told to do, without questions."""
        return [line.split()[1] for line in self.ran if line.startswith("systemctl") and " show " not in line]

    def pid(self, name: str) -> int:
        """The unit's process, or 0."""
        process = self.processes.get(name)
        return process.pid if process and process.poll() is None else 0

    def text_of(self, name: str) -> str:
        """The text of the unit that the running process was started from."""
        return self.processes[name].unit_text

    def _systemctl(self, verb: str, names: list[str]) -> str:
        name = names[-1] if names else ""
        if verb == "show":
            return self._show(name)
        if verb == "daemon-reload":
            self.loaded = {path.name: path.read_text() for path in self.folder.glob("*.service")}
        elif verb == "enable":
            self.enabled.update(names)
        elif verb == "disable":
            self.enabled.discard(name)
            self._stop(name)
        elif verb == "restart":
            self._stop(name)
            self._start(name)
        elif verb == "reload":
            assert "ExecReload=" in self.text_of(name), "systemd refuses to reload a unit that does not say how"
        return ""

    def _show(self, name: str) -> str:
        disk = self.unit_file(name).read_text() if self.unit_file(name).exists() else None
        state = ("active", "running") if self.pid(name) else ("inactive", "dead")
        if name in self.exited:
            state = ("active", "exited")
        shown = {
            "ActiveState": state[0],
            "SubState": state[1],
            "MainPID": str(self.pid(name)),
            "UnitFileState": "enabled" if name in self.enabled else "disabled",
            "NRestarts": "0",
            "Result": "success",
            "FragmentPath": str(self.unit_file(name)) if disk is not None else "",
            "NeedDaemonReload": "yes" if name in self.loaded and self.loaded[name] != disk else "no",
        }
        shown.update(self.properties)
        return "".join(f"{key}={value}\n" for key, value in shown.items())

    def _start(self, name: str) -> None:
        text = self.loaded.setdefault(name, self.unit_file(name).read_text())
        if "Type=oneshot" in text:
            self.exited.add(name)
            return
        environment = {}
        for line in text.splitlines():
            path = Path(line.removeprefix("EnvironmentFile=-"))
            if line.startswith("EnvironmentFile=-") and path.exists():
                environment.update(entry.split("=", 1) for entry in path.read_text().splitlines())
        self.processes[name] = subprocess.Popen(["/bin/sleep", "600"], env=environment)
        self.processes[name].unit_text = text

    def _stop(self, name: str) -> None:
        self.exited.discard(name)
        process = self.processes.pop(name, None)
        if process and name in self.slow:
            self.ending = process
        elif process:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End what was started."""
        self.slow.clear()
        for name in list(self.processes):
            self._stop(name)
        self.end_old()

    def end_old(self) -> None:
        """End the process that a slow unit's restart left behind."""
        if self.ending:
            self.ending.kill()
            self.ending.wait()


@pytest.fixture
def systemd(tmp_path: Path, users: Users, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """A host with systemd of its own below tmp_path."""
    folder = tmp_path / "units"
    folder.mkdir()
    component = load("module_utils", "component")
    real = load("module_utils", "systemd")

    class Unit(real.Unit):
        def __init__(self, module: Any, name: str) -> None:
            super().__init__(module, name)
            self.inputs_path = str(tmp_path / "inputs" / name)

    fake = Systemd(folder, users)
    monkeypatch.setattr(real, "UNIT_DIRECTORY", str(folder))
    monkeypatch.setattr(component, "Unit", Unit)
    monkeypatch.setattr(basic.AnsibleModule, "run_command", lambda _m, *args, **more: fake.run_command(*args, **more))
    yield fake
    fake.stop_all()


@pytest.fixture
def host() -> SimpleNamespace:
    """The helpers of this file, for tests, which can't import it."""
    return SimpleNamespace(
        run_module=run_module, run_action=run_action, load=load, FakeModule=FakeModule, journal=journal
    )


# ---- the Kubernetes API ----

KINDS = {
    "/api/v1": {"Node": "nodes", "Namespace": "namespaces", "ConfigMap": "configmaps", "Secret": "secrets"},
    "/apis/apps/v1": {"Deployment": "deployments", "DaemonSet": "daemonsets"},
    "/apis/apiextensions.k8s.io/v1": {"CustomResourceDefinition": "customresourcedefinitions"},
}
CLUSTERED = ("Node", "Namespace", "CustomResourceDefinition")
LISTS = ("nodes", "pods", "volumeattachments")


class FakeApi:
    """A loopback API server that keeps objects by path: apply, merge patches, lists and deletions."""

    def __init__(self, server: Server, params: dict[str, Any]) -> None:
        self.server = server
        self.params = params
        self.objects: dict[str, dict[str, Any]] = {}
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.conflicts = 0
        self.budgets: dict[str, tuple[int, str]] = {}  # by pod, how often it is kept and why
        server.respond = self.respond

    def writes(self) -> list[str]:
        """What was asked that changes something."""
        return [line for line in self.server.asked if not line.startswith("GET") and "dryRun" not in line]

    def respond(self, handler: Any) -> None:
        """Answer one request."""
        path, _mark, query = handler.path.partition("?")
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        status, answer = self.answer(handler.command, path, query, body, handler.headers["Content-Type"])
        handler.answer(status, json.dumps(answer))

    def answer(self, method: str, path: str, query: str, body: Any, kind: str) -> tuple[int, Any]:
        """Status and body."""
        if f"{method} {path}" in self.refuse:
            status, message = self.refuse[f"{method} {path}"]
            return status, {"message": message}
        if path in KINDS:
            entries = [{"kind": k, "name": n, "namespaced": k not in CLUSTERED} for k, n in KINDS[path].items()]
            return 200, {"resources": entries}
        there = self.objects.get(path)
        if method == "POST" and path.endswith("/eviction"):
            return self.evict(path.removesuffix("/eviction"), body)
        if method == "PATCH":
            self.patches.append((path, body))
            if self.conflicts:
                self.conflicts -= 1
                return 409, {"message": "the object has been modified"}
            if kind == "application/apply-patch+yaml":
                server_keeps = {
                    "uid": "1",
                    "resourceVersion": str(len(self.patches)),
                    "generation": 1,
                    "managedFields": [],
                }
                found = merged(there or {}, body)
                found = dict(found, metadata={**found["metadata"], **server_keeps})
            elif there is None:
                return 404, {"message": f"{path} not found"}
            else:
                found = merged(there, body)
            if "dryRun" not in query:
                self.objects[path] = found
            return 200, found
        if "/leases" in path and method in ("POST", "PUT"):
            place = path if method == "PUT" else path + "/" + body["metadata"]["name"]
            self.objects[place] = merged(body, {"metadata": {"resourceVersion": str(len(self.server.asked))}})
            self.patches.append((place, body))
            return 200, self.objects[place]
        if method == "GET" and there is None:
            items = [found for name, found in self.objects.items() if name.rpartition("/")[0] == path]
            if path == "/api/v1/pods":
                wanted = unquote(query).rpartition("=")[2]
                pods = [found for name, found in self.objects.items() if name.split("/")[-2] == "pods"]
                return 200, {"items": [pod for pod in pods if pod["spec"].get("nodeName") == wanted]}
            if items or path.rpartition("/")[2] in LISTS:
                return 200, {"items": items}
        if there is None:
            return 404, {"message": f"{path} not found"}
        if method == "DELETE":
            del self.objects[path]
        return 200, there

    def evict(self, path: str, body: Any) -> tuple[int, Any]:
        """Let a pod go at once, unless it is kept, as the API's own words say."""
        pod = self.objects.get(path)
        if pod is None:
            return 404, {"message": f"{path} not found"}
        if body["deleteOptions"]["preconditions"]["uid"] != pod["metadata"]["uid"]:
            return 409, {"message": "the UID in the precondition differs"}
        budget = self.budgets.get(path.rpartition("/")[2])
        if budget and budget[0] > 0:
            self.budgets[path.rpartition("/")[2]] = (budget[0] - 1, budget[1])
            causes = [{"reason": "DisruptionBudget", "message": budget[1]}]
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            return 429, {"message": message, "details": {"causes": causes}}
        del self.objects[path]
        return 201, {"status": "Success"}


def merged(there: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386) applied."""
    if not isinstance(patch, dict):
        return patch
    found = dict(there) if isinstance(there, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


@pytest.fixture
def api(serve: Callable[..., Server], tls: SimpleNamespace) -> FakeApi:
    """An API server, and the parameters with which a module reaches it."""
    server = serve(tls, True)
    params = {
        "servers": [server.url],
        "ca": Path(tls.ca).read_text(),
        "client_certificate": Path(tls.client_crt).read_text(),
        "client_key": Path(tls.client_key).read_text(),
    }
    return FakeApi(server, params)


# ---- etcd ----


class FakeEtcd:
    """Members of one cluster of etcd, each a loopback server that speaks its JSON gateway, with its own words for refusals."""

    def __init__(self, start: Callable[[], Server], closed_port: int) -> None:
        self.start, self.nobody = start, f"https://127.0.0.1:{closed_port}"
        self.servers: dict[str, Server] = {}
        self.members: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.dead: set[str] = set()  # members without a leader
        self.alarms: list[str] = []
        self.keys = 0
        self.refusals: dict[str, list[tuple[int, str]]] = {
            "add": [],
            "promote": [],
            "remove": [],
        }  # one for each question, then none

    def url(self, name: str) -> str:
        """A member's address for clients; nobody listens at a stranger's."""
        return self.servers[name].url if name in self.servers else self.nobody

    def member(self, name: str, **more: Any) -> str:
        """Add a member that serves; returns its address for clients."""
        server = self.servers[name] = self.start()
        server.respond = lambda handler: self.respond(name, handler)
        number = str(1000 + len(self.members))
        entry = {"ID": number, "name": name, "peerURLs": [self.peer(name)], "clientURLs": [server.url]}
        self.members.append({**entry, **more})
        return server.url

    def peer(self, name: str) -> str:
        """A member's address for the others."""
        return f"https://{name}:2380"

    def entry(self, name: str) -> dict[str, Any]:
        """What is listed of a member."""
        return next(entry for entry in self.members if self.peer(name) in entry["peerURLs"])

    def respond(self, name: str, handler: Any) -> None:
        """Answer one request to one member."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        self.asked.append((name, handler.path, body))
        status, answer = self.answer(name, handler.path, body)
        handler.answer(status, json.dumps(answer))

    def answer(self, name: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and body."""
        if path == "/health":
            dead = {"health": "false", "reason": "RAFT NO LEADER"}
            return (503, dead) if name in self.dead else (200, {"health": "true", "reason": ""})
        if path == "/v3/maintenance/status":  # which a member answers alone; what is 0 or empty is left out
            leader = {} if name in self.dead else {"leader": self.members[0]["ID"]}
            return 200, {"header": {}, **leader, **({"errors": self.alarms} if self.alarms else {})}
        if not any(self.peer(name) in entry["peerURLs"] for entry in self.members):
            return 503, {"code": 14, "message": "etcdserver: server stopped"}
        if self.entry(name).get("isLearner"):
            return 400, {"code": 9, "message": "etcdserver: rpc not supported for learner"}
        if name in self.dead:
            return 503, {"code": 14, "message": "etcdserver: request timed out"}
        verb = path.rpartition("/")[2]
        header = {"cluster_id": "77", "member_id": "1000", "raft_term": "2"}
        if self.refusals.get(verb):
            status, message = self.refusals[verb].pop(0)
            return status, {"code": 9, "message": message}
        if verb == "range":  # what is 0 is left out
            return 200, {"header": header, **({"count": str(self.keys)} if self.keys else {})}
        if verb == "add":
            if any(set(body["peerURLs"]) & set(entry["peerURLs"]) for entry in self.members):
                return 400, {"code": 9, "message": "etcdserver: Peer URLs already exists"}
            if any(entry.get("isLearner") for entry in self.members):
                return 400, {"code": 9, "message": "etcdserver: too many learner members in cluster"}
            new = {"ID": str(2000 + len(self.members)), "peerURLs": body["peerURLs"], "isLearner": body["isLearner"]}
            self.members.append(new)
            return 200, {"header": header, "member": new, "members": self.members}
        if verb == "promote":
            found = next((entry for entry in self.members if entry["ID"] == body["ID"]), None)
            if found is None:
                return 404, {"code": 5, "message": "etcdserver: member not found"}
            if not found.pop("isLearner", False):
                return 400, {"code": 9, "message": "etcdserver: can only promote a learner member"}
        if verb == "remove":
            found = next((entry for entry in self.members if entry["ID"] == body["ID"]), None)
            if found is None:
                return 404, {"code": 5, "message": "etcdserver: member not found"}
            self.members.remove(found)
        return 200, {"header": header, "members": self.members}

    def verbs(self) -> list[str]:
        """What was asked that changes something."""
        return [
            path.rpartition("/")[2]
            for _name, path, _body in self.asked
            if path.endswith(("/add", "/promote", "/remove"))
        ]


@pytest.fixture
def fake_etcd(serve: Callable[..., Server], etcd_tls: SimpleNamespace, closed_port: int) -> FakeEtcd:
    """A cluster of etcd that has no members yet; it demands certificates of its own authority."""
    return FakeEtcd(lambda: serve(etcd_tls, True), closed_port)
