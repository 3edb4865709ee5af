"""The small API client against a loopback TLS server that speaks the API's words."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import kube_api
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import (
    Api,
    ApiError,
    in_words,
    wait_for,
    why_unavailable,
)

RESOURCES = {
    "/api/v1": [
        {"name": "nodes", "kind": "Node", "namespaced": False},
        {"name": "nodes/status", "kind": "Node", "namespaced": False},
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "services", "kind": "Service", "namespaced": True},
        {"name": "services/proxy", "kind": "ServiceProxyOptions", "namespaced": True},
    ],
    "/apis/rbac.authorization.k8s.io/v1": [{"name": "clusterroles", "kind": "ClusterRole", "namespaced": False}],
    "/apis/apps/v1": [
        {"name": "deployments", "kind": "Deployment", "namespaced": True},
        {"name": "deployments/scale", "kind": "Scale", "namespaced": True},
    ],
}


def wish(api_version: str, kind: str, name: str, **metadata: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}


@pytest.fixture
def connect(tls: SimpleNamespace) -> Callable[..., Api]:
    def connect(*servers: str, timeout: float = 5) -> Api:
        return Api(
            list(servers),
            Path(tls.ca).read_text(),
            Path(tls.client_crt).read_text(),
            Path(tls.client_key).read_text(),
            timeout,
        )

    return connect


@pytest.fixture
def server(serve: Callable[..., Any], tls: SimpleNamespace) -> Any:
    """An API server that wants a client's certificate and knows some kinds; the rest is server.answers."""
    server = serve(tls, True)
    server.answers = {}
    server.bodies = []

    def respond(handler: Any) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        if length:
            server.bodies.append((handler.headers["Content-Type"], json.loads(handler.rfile.read(length))))
        path = handler.path.split("?")[0]
        if path in RESOURCES:
            handler.answer(200, json.dumps({"resources": RESOURCES[path]}))
            return
        found = server.answers.get(f"{handler.command} {path}", (404, {"message": f"{path} not found"}))
        status, body = found
        handler.answer(status, body if isinstance(body, str) else json.dumps(body))

    server.respond = respond
    return server


# ---- requests ----


def test_an_answer_is_data_or_text(server: Any, connect: Callable[..., Api]) -> None:
    server.answers = {"GET /version": (200, {"major": "1"}), "GET /readyz": (200, "ok")}
    api = connect(server.url)
    assert api.request("GET", "/version") == {"major": "1"}
    assert api.request("GET", "/readyz") == "ok"


def test_one_connection_serves_many_requests(server: Any, connect: Callable[..., Api]) -> None:
    server.answers = {"GET /readyz": (200, "ok")}
    api = connect(server.url)
    for _ in range(3):
        api.request("GET", "/readyz")
    assert len(server.open) == 1


def test_a_refusal_holds_status_path_and_the_apis_words(server: Any, connect: Callable[..., Api]) -> None:
    server.answers = {
        "GET /secret": (403, {"kind": "Status", "message": 'nodes is forbidden: User "x" cannot list'}),
        "GET /plain": (500, "etcd is gone\n"),
        "GET /kept": (
            429,
            {"message": "no", "details": {"causes": [{"reason": "DisruptionBudget", "message": "web"}]}},
        ),
    }
    api = connect(server.url)
    with pytest.raises(ApiError, match='GET /secret: nodes is forbidden: User "x" cannot list') as caught:
        api.request("GET", "/secret")
    assert caught.value.status == 403
    assert caught.value.causes == []
    with pytest.raises(ApiError, match="GET /plain: etcd is gone$") as caught:
        api.request("GET", "/plain")
    assert caught.value.status == 500
    with pytest.raises(ApiError) as caught:
        api.request("GET", "/kept")
    assert caught.value.causes == ["web"]


def test_get_of_what_is_not_there_is_none_and_of_what_is_forbidden_an_error(
    server: Any, connect: Callable[..., Api]
) -> None:
    server.answers = {"GET /forbidden": (403, {"message": "no"})}
    api = connect(server.url)
    assert api.get("/none") is None
    with pytest.raises(ApiError, match="no"):
        api.get("/forbidden")


def test_whether_nobody_even_listens_is_told(connect: Callable[..., Api], closed_port: int) -> None:
    """A server that is slow or starts is not one that is absent."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        urls = [f"https://127.0.0.1:{port}" for port in (closed_port, silent.getsockname()[1])]
        api = connect(*urls)
        api.timeout = 0.2
        with pytest.raises(ApiError) as slow:
            api.request("GET", "/x")
        api.servers = urls[:1]
        with pytest.raises(ApiError) as absent:
            api.request("GET", "/x")
    assert [(error.value.status, error.value.absent) for error in (slow, absent)] == [(0, False), (0, True)]


def test_the_next_server_is_asked_where_one_does_not_answer(
    server: Any, connect: Callable[..., Api], closed_port: int
) -> None:
    server.answers = {"GET /readyz": (200, "ok")}
    dead = f"https://127.0.0.1:{closed_port}"
    api = connect(dead, dead, server.url)
    assert api.request("GET", "/readyz") == "ok"
    assert api.servers[0] == server.url
    assert api.request("GET", "/readyz") == "ok"


def test_a_server_that_dies_between_requests_is_left_for_the_next(
    server: Any, serve: Callable[..., Any], tls: SimpleNamespace, connect: Callable[..., Api]
) -> None:
    server.answers = {"GET /readyz": (200, "second")}
    first = serve(tls, True)
    first.body = "first"
    api = connect(first.url, server.url)
    assert api.request("GET", "/readyz") == "first"
    first.stop()
    assert api.request("GET", "/readyz") == "second"


def test_an_idle_connection_that_the_only_server_ended_is_made_anew(server: Any, connect: Callable[..., Api]) -> None:
    server.answers = {"GET /readyz": (200, "ok")}
    api = connect(server.url)
    api.request("GET", "/readyz")
    server.drop()
    assert api.request("GET", "/readyz") == "ok"


def test_no_server_at_all_names_each(connect: Callable[..., Api], closed_port: int) -> None:
    api = connect(f"https://127.0.0.1:{closed_port}", f"https://localhost:{closed_port}")
    with pytest.raises(
        ApiError, match="no API server answered: https://127.0.0.1.*; https://localhost.*refused"
    ) as caught:
        api.request("GET", "/readyz")
    assert caught.value.status == 0


def test_a_server_of_another_authority_gets_no_request(server: Any, tls: SimpleNamespace) -> None:
    api = Api([server.url], *(Path(path).read_text() for path in (tls.other_ca, tls.client_crt, tls.client_key)))
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
        api.request("GET", "/readyz")
    assert server.asked == []


def test_the_key_leaves_no_file(server: Any, connect: Callable[..., Api]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    connect(server.url)
    assert len(os.listdir("/proc/self/fd")) == before


def test_from_params(server: Any, tls: SimpleNamespace) -> None:
    server.answers = {"GET /readyz": (200, "ok")}
    params = {"servers": [server.url]}
    for name, path in (("ca", tls.ca), ("client_certificate", tls.client_crt), ("client_key", tls.client_key)):
        params[name] = Path(path).read_text()
    assert Api.from_params(params).request("GET", "/readyz") == "ok"


# ---- objects ----


@pytest.mark.parametrize(
    ("wished", "path"),
    [
        (
            wish("v1", "ConfigMap", "coredns", namespace="kube-system"),
            "/api/v1/namespaces/kube-system/configmaps/coredns",
        ),
        (wish("v1", "ConfigMap", "mine"), "/api/v1/namespaces/default/configmaps/mine"),
        (wish("v1", "Node", "cp1"), "/api/v1/nodes/cp1"),
        (wish("v1", "Service", "a", namespace="b"), "/api/v1/namespaces/b/services/a"),
        (
            wish("rbac.authorization.k8s.io/v1", "ClusterRole", "hardway:flanneld"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/hardway%3Aflanneld",
        ),
        (wish("apps/v1", "Deployment", "coredns", namespace="x"), "/apis/apps/v1/namespaces/x/deployments/coredns"),
    ],
)
def test_paths_of_objects(server: Any, connect: Callable[..., Api], wished: dict[str, Any], path: str) -> None:
    assert connect(server.url).object_path(wished) == path


def test_kinds_are_looked_up_once_a_version(server: Any, connect: Callable[..., Api]) -> None:
    api = connect(server.url)
    for _ in range(3):
        api.object_path(wish("v1", "Node", "cp1"))
        api.object_path(wish("v1", "ConfigMap", "a"))
    assert server.asked == ["GET /api/v1"]


def test_an_unknown_kind_is_named(server: Any, connect: Callable[..., Api]) -> None:
    with pytest.raises(ApiError, match="the API knows no Nodes in v1"):
        connect(server.url).object_path(wish("v1", "Nodes", "cp1"))


def test_apply_is_server_side_and_tells_before_and_after(server: Any, connect: Callable[..., Api]) -> None:
    wished = wish("v1", "ConfigMap", "a", namespace="b")
    path = "/api/v1/namespaces/b/configmaps/a"
    server.answers = {f"GET {path}": (200, {"old": 1}), f"PATCH {path}": (200, {"new": 1})}
    assert connect(server.url).apply(wished) == ({"old": 1}, {"new": 1})
    assert server.asked[-1] == f"PATCH {path}?fieldManager=hardway.kubernetes&force=true"
    assert server.bodies == [("application/apply-patch+yaml", wished)]


def test_a_dry_run_asks_the_api_to_keep_nothing(server: Any, connect: Callable[..., Api]) -> None:
    server.answers = {"PATCH /api/v1/nodes/a": (201, {"new": 1})}
    assert connect(server.url).apply(wish("v1", "Node", "a"), dry_run=True) == (None, {"new": 1})
    assert server.asked[-1].endswith("&dryRun=All")


def test_a_dry_run_into_a_namespace_that_is_not_there_yet(server: Any, connect: Callable[..., Api]) -> None:
    wished = wish("v1", "ConfigMap", "a", namespace="new")
    api = connect(server.url)
    assert api.apply(wished, dry_run=True) == (None, wished)
    with pytest.raises(ApiError, match="not found"):
        api.apply(wished)


# ---- workloads ----


def workload(kind: str, generation: int = 2, conditions: Any = (), **status: int) -> dict[str, Any]:
    status = {"conditions": list(conditions), **status}
    return {"kind": kind, "metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status}


AVAILABLE = [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "True"}]
UPDATED = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
SCHEDULED = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


@pytest.mark.parametrize(
    "found",
    [
        workload("Deployment", conditions=AVAILABLE, **UPDATED),
        workload("Deployment", generation=1, conditions=AVAILABLE, **UPDATED),
        workload("DaemonSet", **SCHEDULED),
        workload("DaemonSet", **{**SCHEDULED, "desiredNumberScheduled": 0}),
    ],
)
def test_workloads_that_serve(found: dict[str, Any]) -> None:
    assert why_unavailable(found) is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (workload("Deployment"), "not seen by its controller yet"),
        (workload("Deployment", generation=3, conditions=AVAILABLE, **UPDATED), "not seen by its controller yet"),
        (workload("Deployment", observedGeneration=2), "0 of 2"),
        (workload("Deployment", conditions=AVAILABLE, **{**UPDATED, "updatedReplicas": 1}), "1 of 2"),
        (workload("Deployment", **{**UPDATED, "availableReplicas": 1}), "1 of 2 available"),
        (workload("DaemonSet"), "not seen by its controller yet"),
        (workload("DaemonSet", **{**SCHEDULED, "numberAvailable": 1}), "1 of 3 available"),
        (workload("DaemonSet", **{**SCHEDULED, "updatedNumberScheduled": 1}), "1 of 3 available"),
    ],
)
def test_workloads_that_do_not_serve_yet(found: dict[str, Any], why: str) -> None:
    assert why_unavailable(found).startswith(why)


def test_workloads_that_do_not_serve_are_named_with_their_reason(server: Any, connect: Callable[..., Api]) -> None:
    root = "/apis/apps/v1/namespaces/kube-system/deployments"
    server.answers = {
        f"GET {root}/up": (200, workload("Deployment", conditions=AVAILABLE, **UPDATED)),
        f"GET {root}/late": (200, workload("Deployment", **{**UPDATED, "availableReplicas": 1})),
    }
    wishes = [wish("apps/v1", "Deployment", name, namespace="kube-system") for name in ("up", "late", "none")]
    assert connect(server.url).unavailable(wishes) == {"late": "1 of 2 available", "none": "absent"}


# ---- waiting ----


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause of a wait; the clock goes on by it at once."""
    pauses: list[float] = []
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: sum(pauses) + next(ticks) / 1e6, sleep=pauses.append)
    monkeypatch.setattr(kube_api, "time", clock)
    return pauses


def test_waiting_ends_as_soon_as_nothing_is_missing(slept: list[float]) -> None:
    looks = iter([{"a": "starts", "b": "starts"}, {"b": "starts"}, {}])
    assert wait_for(lambda: next(looks), 600, pause=0.5) == {}
    assert slept == [0.5, 0.5]


def test_what_is_there_at_once_is_not_waited_for(slept: list[float]) -> None:
    assert wait_for(dict, 600) == {}
    assert slept == []


def test_waiting_ends_in_time_with_what_the_last_look_found(slept: list[float]) -> None:
    looks = iter(range(1, 100))
    missing = wait_for(lambda: {"a": f"look {next(looks)}"}, 10, pause=1)
    assert missing == {"a": f"look {next(looks) - 1}"}
    assert 10 <= sum(slept) <= 11


def test_no_time_to_wait_is_one_look(slept: list[float]) -> None:
    looks = iter([{"a": "starts"}])
    assert wait_for(lambda: next(looks), 0) == {"a": "starts"}
    assert slept == []


def test_an_error_of_the_api_ends_a_wait(slept: list[float]) -> None:
    def look() -> dict[str, str]:
        raise ApiError(403, "no")

    with pytest.raises(ApiError, match="no"):
        wait_for(look, 600)
    assert slept == []


@pytest.mark.parametrize("status", [0, 500, 503])
def test_an_api_that_can_not_answer_for_a_while_is_waited_for(slept: list[float], status: int) -> None:
    looks = iter([ApiError(status, "slow"), {"a": "starts"}, ApiError(status, "slow"), {}])

    def look() -> dict[str, str]:
        found = next(looks)
        if isinstance(found, ApiError):
            raise found
        return found

    assert wait_for(look, 600, pause=1) == {}
    assert slept == [1, 1, 1]


def test_an_api_that_does_not_answer_until_the_end_is_an_error(slept: list[float]) -> None:
    def look() -> dict[str, str]:
        raise ApiError(0, "gone")

    with pytest.raises(ApiError, match="gone"):
        wait_for(look, 10, pause=1)
    assert 10 <= sum(slept) <= 11


def test_what_is_missing_in_words() -> None:
    assert in_words({"w1": "not Ready", "cp1": "absent"}) == "cp1: absent; w1: not Ready"
    assert in_words({}) == ""


# ---- commands in pods ----


def frame(payload: bytes, opcode: int = 2) -> bytes:
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + payload


def exit_status(code: int) -> bytes:
    if code == 0:
        return frame(b"\x03" + json.dumps({"metadata": {}, "status": "Success"}).encode())
    causes = [{"reason": "ExitCode", "message": str(code)}]
    status = {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: {code}",
        "details": {"causes": causes},
    }
    return frame(b"\x03" + json.dumps(status).encode())


@pytest.fixture
def executed(server: Any, connect: Callable[..., Api]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in a pod whose API server answers with these frames."""

    def run(*frames: bytes, command: tuple[str, ...] = ("true",), **more: Any) -> tuple[int, str, str]:
        def respond(handler: Any) -> None:
            server.headers = dict(handler.headers)
            accept = hashlib.sha1(
                (handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
            )
            handler.send_response(101)
            handler.send_header("Upgrade", "websocket")
            handler.send_header("Connection", "Upgrade")
            handler.send_header("Sec-WebSocket-Accept", base64.b64encode(accept.digest()).decode())
            handler.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
            handler.end_headers()
            for part in frames:
                handler.wfile.write(part)
            handler.close_connection = True

        server.respond = respond
        return connect(server.url).execute("demo", "client", list(command), **more)

    return run


def test_output_and_success(server: Any, executed: Callable[..., tuple[int, str, str]]) -> None:
    frames = (frame(b"\x01hello "), frame(b"\x02a warning"), frame(b"\x01world\n"), exit_status(0), frame(b"", 8))
    found = executed(*frames, command=("echo", "a b", "&c"), container="main")
    assert found == (0, "hello world\n", "a warning")
    query = "command=echo&command=a+b&command=%26c&stdout=true&stderr=true&container=main"
    assert server.asked == [f"GET /api/v1/namespaces/demo/pods/client/exec?{query}"]
    assert server.headers["Upgrade"] == "websocket"
    assert "v5.channel.k8s.io" in server.headers["Sec-WebSocket-Protocol"]


@pytest.mark.parametrize("code", [1, 2, 126, 127, 137])
def test_exit_codes(executed: Callable[..., tuple[int, str, str]], code: int) -> None:
    assert executed(frame(b"\x02sh: no\n"), exit_status(code), frame(b"", 8)) == (code, "", "sh: no\n")


def test_a_failure_without_output_tells_the_apis_words(executed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, errors = executed(exit_status(3), frame(b"", 8))
    assert (code, out) == (3, "")
    assert "non-zero exit code: 3" in errors


def test_a_failure_that_is_no_exit_code(executed: Callable[..., tuple[int, str, str]]) -> None:
    status = {"status": "Failure", "reason": "InternalError", "message": "executable file not found in $PATH"}
    code, _out, errors = executed(frame(b"\x03" + json.dumps(status).encode()), frame(b"", 8))
    assert code == 1
    assert "executable file not found" in errors


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 200_000])
def test_frames_of_every_length(executed: Callable[..., tuple[int, str, str]], size: int) -> None:
    code, out, _errors = executed(frame(b"\x01" + b"x" * size), exit_status(0), frame(b"", 8))
    assert (code, len(out)) == (0, size)


def test_empty_frames_and_pings_are_no_output(executed: Callable[..., tuple[int, str, str]]) -> None:
    frames = (frame(b""), frame(b"\x01"), frame(b"", 9), frame(b"\x01ok"), exit_status(0))
    assert executed(*frames, frame(b"\x03\xe8", 8)) == (0, "ok", "")


def test_a_stream_that_breaks_off_is_no_success(executed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _errors = executed(frame(b"\x01half"))
    assert code != 0
    assert out == "half"


def test_output_that_is_no_text(executed: Callable[..., tuple[int, str, str]]) -> None:
    assert executed(frame(b"\x01\xff"), exit_status(0)) == (0, "\ufffd", "")


def test_a_pod_that_is_not_there(server: Any, connect: Callable[..., Api]) -> None:
    server.answers = {"GET /api/v1/namespaces/demo/pods/none/exec": (404, {"message": 'pods "none" not found'})}
    with pytest.raises(ApiError, match="404.* not found") as caught:
        connect(server.url).execute("demo", "none", ["true"])
    assert caught.value.status == 404


def test_exec_goes_on_with_the_next_server(
    server: Any, executed: Callable[..., tuple[int, str, str]], connect: Callable[..., Api], closed_port: int
) -> None:
    assert executed(frame(b"\x01ok"), exit_status(0))[0] == 0
    api = connect(f"https://127.0.0.1:{closed_port}", server.url)
    assert api.execute("demo", "client", ["true"]) == (0, "ok", "")


def test_exec_with_no_server_is_an_error_of_the_api(connect: Callable[..., Api], closed_port: int) -> None:
    with pytest.raises(ApiError, match="no API server answered"):
        connect(f"https://127.0.0.1:{closed_port}").execute("demo", "client", ["true"])
