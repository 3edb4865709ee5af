"""nginx's pool follows what real loopback API servers say; nginx is a stand-in with real processes."""

from __future__ import annotations

import errno
import importlib.machinery
import importlib.util
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "load_balancer" / "files" / "nginx_pool.py"

# One worker from the start; at SIGHUP a new one is made, and the old one stays as if it had connections left.
NGINX = r"""
import os, signal, sys, time
workers, master = [], os.getpid()
def work():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # a worker that is told to end early ends too
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        while os.getppid() == master:
            time.sleep(0.05)
        os._exit(0)
    workers.append(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
def end(*_):
    for child in workers:
        try:
            os.kill(child, signal.SIGKILL)
        except OSError:
            pass
    os._exit(0)
signal.signal(signal.SIGTERM, end)
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
signal.signal(signal.SIGHUP, lambda *_: work())
work()
open(sys.argv[1], "w").close()
while True:
    time.sleep(600)
"""


def load() -> Any:
    """The script, as a module."""
    loader = importlib.machinery.SourceFileLoader("nginx_pool", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("nginx_pool", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load()
    monkeypatch.setattr(module, "EVERY", 0.05)
    monkeypatch.setattr(module, "AGAIN", 0.02)
    return module


@pytest.fixture
def nginx(pool: Any, tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "nginx.py").write_text(NGINX)
    started = tmp_path / "started"
    found = pool.Nginx([sys.executable, str(tmp_path / "nginx.py"), str(started)], str(tmp_path / "pool.conf"))
    found.started = started
    yield found
    found.stop()
    if found.process:
        found.process.wait()


def until(holds: Callable[[], Any]) -> Any:
    """What holds() gives, once that is something."""
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def server(pool: Any, address: str = "192.0.2.1:6443") -> Any:
    return pool.Server(address, 1.0)


# ---- one server ----


def test_a_look_at_a_server(pool: Any, api_servers: dict[str, Any], tls: Any, closed_port: int) -> None:
    context = ssl.create_default_context(cafile=tls.ca)
    there = api_servers["cp1"]
    one = server(pool, f"127.0.0.1:{there.server_port}")
    one.look(context)
    assert (one.reason, one.silent) == ("", False)
    assert there.asked == ["GET /readyz"]
    there.status = 500
    one.look(context)
    assert (one.reason, one.silent) == ("HTTP 500", False)
    gone = server(pool, f"127.0.0.1:{closed_port}")
    gone.look(context)
    assert "refused" in gone.reason
    assert not gone.silent  # its host ended its connections
    one.look(ssl.create_default_context(cafile=tls.other_ca))
    assert "certificate verify failed" in one.reason
    assert not one.silent


class OldTimeout(OSError):
    """As of Python 3.9, where socket.timeout is no TimeoutError."""


@pytest.mark.parametrize(
    "error",
    [TimeoutError("timed out"), OSError(errno.EHOSTUNREACH, "No route to host"), OldTimeout("timed out")],
)
def test_a_host_that_says_nothing(pool: Any, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def connect(*_args: Any, **_more: Any) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket, "timeout", OldTimeout)
    one = server(pool)
    one.look(ssl.create_default_context())
    assert (one.reason, one.silent) == (str(error), True)


def test_one_look_brings_a_server_in_and_two_take_it_out(pool: Any) -> None:
    one = server(pool)
    changes = []
    for reason in ("", "", "HTTP 500", "", "HTTP 500", "HTTP 500", "HTTP 500", ""):
        one.reason = reason
        changes.append((one.judge(), one.ready))
    assert changes == [
        *((True, True), (False, True), (False, True), (False, True)),
        *((False, True), (True, False), (False, False), (True, True)),
    ]


def cuts(one: Any, *looks: str) -> list[bool]:
    """After each look whether the server is to be cut; where it is, the pool is written anew."""
    found = []
    for look in looks:
        one.reason, one.silent = ("", False) if look == "ready" else (look, look == "silent")
        assert one.judge() or not one.cut
        found.append(one.cut)
    return found


def test_a_server_that_left_is_cut_once_it_falls_silent(pool: Any) -> None:
    assert cuts(server(pool), "ready", "silent", "silent", "silent") == [False, False, True, False]
    late = cuts(server(pool), "ready", "HTTP 500", "HTTP 500", "HTTP 500", "silent", "silent", "silent")
    assert late == [False] * 5 + [True, False]
    # Between two silences nothing new went there.
    again = cuts(server(pool), "ready", "silent", "silent", "HTTP 500", "silent", "silent")
    assert again == [False, False, True, False, False, False]
    assert cuts(server(pool), "ready", "silent", "silent", "ready", "silent", "silent")[-1]


def test_who_has_no_connections_is_not_cut(pool: Any, closed_port: int) -> None:
    assert not any(cuts(server(pool), "silent", "silent", "silent"))  # never in the pool
    ended = server(pool, f"127.0.0.1:{closed_port}")
    cuts(ended, "ready", "HTTP 500", "HTTP 500")
    ended.look(ssl.create_default_context())  # refused: in good order it ended, and then its host did
    assert not any(cuts(ended, "silent", "silent", "silent"))


def test_the_pools_file_names_all_and_marks_who_is_out(pool: Any, tmp_path: Path) -> None:
    two = [server(pool, "192.168.60.11:6443"), server(pool, "192.168.60.12:6443")]
    two[0].ready = True
    pool.write(str(tmp_path / "pool.conf"), pool.pool_text(two))
    assert (tmp_path / "pool.conf").read_text() == (
        "server 192.168.60.11:6443 max_fails=1 fail_timeout=1s;\n"
        "server 192.168.60.12:6443 max_fails=1 fail_timeout=1s down;\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["pool.conf"]


# ---- nginx ----


def test_old_workers_keep_their_connections_unless_they_are_cut(nginx: Any) -> None:
    nginx.start()
    (first,) = until(lambda: nginx.started.exists() and nginx.workers())
    nginx.read_pool(cut=False)
    both = until(lambda: nginx.workers() - {first}) | {first}
    assert len(both) == 2
    nginx.read_pool(cut=True)
    assert until(lambda: len(nginx.workers()) == 1)
    assert not nginx.workers() & both


def test_a_nginx_that_has_ended_has_no_workers(nginx: Any) -> None:
    nginx.start()
    nginx.process.kill()
    nginx.process.wait()
    assert nginx.workers() == set()
    nginx.read_pool(cut=False)


# ---- the whole ----


@pytest.fixture
def running(pool: Any, nginx: Any, api_servers: dict[str, Any], tls: Any) -> Iterator[SimpleNamespace]:
    """The script at work beside three API servers, of which the last is not ready yet."""
    api_servers["cp3"].status = 500
    servers = [pool.Server(f"127.0.0.1:{one.server_port}", 1.0) for one in api_servers.values()]
    found = SimpleNamespace(ended=threading.Event(), code=None, nginx=nginx, servers=servers)
    context = ssl.create_default_context(cafile=tls.ca)

    def run() -> None:
        found.code = pool.run(nginx, servers, context, found.ended)

    found.thread = threading.Thread(target=run, daemon=True)
    found.thread.start()
    until(nginx.started.exists)
    found.down = lambda: [" down" in line for line in Path(nginx.pool_file).read_text().splitlines()]
    yield found
    found.ended.set()
    found.thread.join(10)


def test_the_pool_follows_the_servers(running: Any, api_servers: dict[str, Any], capfd: Any) -> None:
    assert running.down() == [False, False, True]
    before = running.nginx.workers()
    api_servers["cp3"].status = 200
    assert until(lambda: running.down() == [False, False, False])
    api_servers["cp1"].status = 500
    assert until(lambda: running.down() == [True, False, False])
    assert until(lambda: len(running.nginx.workers()) == len(before) + 2)  # nothing was cut
    for one in api_servers.values():
        one.status = 500
    assert until(lambda: running.down() == [True, True, True])
    running.ended.set()
    running.thread.join(10)
    assert running.code == 0
    assert running.nginx.process.poll() is not None
    told = capfd.readouterr().out
    assert f"{running.servers[2].address} joins" in told
    assert f"{running.servers[0].address} leaves: HTTP 500" in told


def test_a_server_whose_host_is_silent_costs_its_connections(
    running: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = running.nginx.workers()
    look = pool.Server.look

    def silent(one: Any, context: Any) -> None:
        look(one, context)
        if one is running.servers[0]:
            one.reason, one.silent = "timed out", True

    monkeypatch.setattr(pool.Server, "look", silent)
    assert until(lambda: running.down() == [True, False, True])
    assert until(lambda: running.nginx.workers() and not running.nginx.workers() & before)


def test_a_server_that_falls_silent_after_it_left_costs_them_too(
    running: Any, pool: Any, api_servers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    before = running.nginx.workers()
    api_servers["cp1"].status = 500
    assert until(lambda: running.down() == [True, False, True])
    look = pool.Server.look

    def silent(one: Any, context: Any) -> None:
        look(one, context)
        if one is running.servers[0]:
            one.reason, one.silent = "timed out", True

    monkeypatch.setattr(pool.Server, "look", silent)
    assert until(lambda: running.nginx.workers() and not running.nginx.workers() & before)
    assert f"{running.servers[0].address} is cut: timed out" in capfd.readouterr().out


def test_without_nginx_it_ends_too(running: Any) -> None:
    os.kill(running.nginx.process.pid, signal.SIGKILL)
    running.thread.join(10)
    assert running.code == 1


def test_systemd_is_told(pool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pool.notify("READY=1")  # nobody asked
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        pool.notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
