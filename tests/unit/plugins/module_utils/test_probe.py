"""Probes against real loopback servers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import probe
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, key_pem, make_key


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "containerd.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield path


# ---- http ----


def test_200_is_healthy(serve: Callable[..., Any]) -> None:
    server = serve()
    assert probe.ask({"url": server.url + "/readyz?verbose=1"}) is None
    assert probe.ask({"url": server.url}) is None
    assert server.asked == ["GET /readyz?verbose=1", "GET /"]


@pytest.mark.parametrize("status", [201, 301, 401, 404, 500, 503])
def test_any_other_status_is_told_with_the_answer(serve: Callable[..., Any], status: int) -> None:
    server = serve()
    server.status, server.body = status, "[-]etcd failed\n"
    assert probe.ask({"url": server.url}) == f"HTTP {status}: [-]etcd failed"


def test_a_long_answer_is_cut_to_its_end(serve: Callable[..., Any]) -> None:
    server = serve()
    server.status, server.body = 500, "x" * 5000 + "the end"
    wrong = probe.ask({"url": server.url})
    assert wrong.endswith("the end")
    assert len(wrong) < 450


def test_what_leads_nowhere_while_others_are_ready_is_not_healthy(serve: Callable[..., Any], closed_port: int) -> None:
    balancer, first, second = serve(), serve(), serve()
    asked = {"url": balancer.url, "behind": [first.url, second.url]}
    assert probe.ask(asked) is None
    assert first.asked == []
    balancer.status, first.status = 503, 500
    assert probe.ask(asked).startswith("HTTP 503")
    second.status = 500  # nobody is ready, so it can lead nowhere
    assert probe.ask(asked) is None
    assert "refused" in probe.ask({**asked, "url": f"http://127.0.0.1:{closed_port}"})
    balancer.status = 200
    assert probe.ask(asked) is None


def test_expect_looks_into_the_answer(serve: Callable[..., Any]) -> None:
    server = serve()
    server.body = '{"health":"false"}'
    assert probe.ask({"url": server.url, "expect": '"health":"true"'}).startswith(
        'the answer lacks \'"health":"true"\''
    )
    server.body = '{"health":"true","reason":""}'
    assert probe.ask({"url": server.url, "expect": '"health":"true"'}) is None


def test_an_answer_that_is_no_text_is_no_crash(serve: Callable[..., Any]) -> None:
    server = serve()
    server.body = b"\xff\xfe\x00"
    assert probe.ask({"url": server.url}) is None
    assert "lacks" in probe.ask({"url": server.url, "expect": "ok"})


def test_refused(closed_port: int) -> None:
    assert "refused" in probe.ask({"url": f"http://127.0.0.1:{closed_port}/"})
    assert "refused" in probe.ask({"url": f"https://127.0.0.1:{closed_port}/"})
    assert "refused" in probe.ask({"tcp": f"127.0.0.1:{closed_port}"})


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        wrong = probe.ask({"url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}, timeout=0.2)
    assert "timed out" in wrong
    assert time.monotonic() - began < 2


def test_a_server_that_hangs_up_and_one_that_speaks_no_http() -> None:
    for answer in (b"", b"SSH-2.0-OpenSSH\r\n"):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def respond(listener: socket.socket = listener, answer: bytes = answer) -> None:
                connection, _address = listener.accept()
                connection.recv(1000)
                connection.sendall(answer)
                connection.close()

            thread = threading.Thread(target=respond)
            thread.start()
            assert probe.ask({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/"})
            thread.join()


# ---- https ----


def test_https_with_the_right_authority(serve: Callable[..., Any], tls: SimpleNamespace) -> None:
    server = serve(tls)
    assert probe.ask({"url": server.url, "ca": tls.ca}) is None


def test_https_of_another_authority_is_refused(serve: Callable[..., Any], tls: SimpleNamespace) -> None:
    server = serve(tls)
    wrong = probe.ask({"url": server.url, "ca": tls.other_ca})
    assert wrong.startswith("its certificate is refused: ")
    assert probe.ask({"url": server.url}).startswith("its certificate is refused: ")
    assert server.asked == []


def test_https_for_another_name_is_refused(
    serve: Callable[..., Any], tls: SimpleNamespace, made_pki: Pki, tmp_path: Path
) -> None:
    wish = {"ca": "kubernetes", "common_name": "cp2", "sans": ["192.168.60.12"], "usages": ["server"]}
    key = make_key("ecdsa-p256")
    (tmp_path / "crt").write_text(made_pki.sign(wish, key.public_key(), 1))
    (tmp_path / "key").write_bytes(key_pem(key))
    server = serve(SimpleNamespace(ca=tls.ca, server_crt=str(tmp_path / "crt"), server_key=str(tmp_path / "key")))
    wrong = probe.ask({"url": server.url, "ca": tls.ca})
    assert wrong.startswith("its certificate is refused: ")
    assert "127.0.0.1" in wrong


def test_a_clients_certificate_is_shown_where_one_is_given(serve: Callable[..., Any], tls: SimpleNamespace) -> None:
    server = serve(tls, True)
    shown = {"url": server.url, "ca": tls.ca, "cert": tls.client_crt, "key": tls.client_key}
    assert probe.ask(shown) is None
    assert probe.ask({"url": server.url, "ca": tls.ca})


def test_a_missing_authority_file_is_told_by_name(tls: SimpleNamespace, tmp_path: Path) -> None:
    path = str(tmp_path / "ca.crt")
    wrong = probe.ask({"url": "https://127.0.0.1:1/", "ca": path})
    assert "No such file" in wrong
    assert path in wrong


# ---- sockets ----


def test_tcp(serve: Callable[..., Any]) -> None:
    server = serve()
    assert probe.ask({"tcp": f"127.0.0.1:{server.server_port}"}) is None


def test_unix_socket(unix_socket: str) -> None:
    assert probe.ask({"socket": unix_socket}) is None


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in probe.ask({"socket": str(tmp_path / "none.sock")})


def test_a_unix_socket_nobody_listens_at(tmp_path: Path) -> None:
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert "refused" in probe.ask({"socket": path})


def test_describe() -> None:
    assert probe.describe({"url": "https://a/", "tcp": None}) == "https://a/"
    assert probe.describe({"tcp": "a:1"}) == "a:1"
    assert probe.describe({"socket": "/run/x.sock"}) == "/run/x.sock"
    assert probe.describe({}) == "nothing"


# ---- waiting ----


def test_wait_ends_when_it_becomes_healthy(serve: Callable[..., Any]) -> None:
    server = serve()
    server.status = 503
    threading.Timer(0.2, lambda: setattr(server, "status", 200)).start()
    assert probe.wait({"url": server.url, "within": 10}) is None
    assert len(server.asked) >= 2


def test_wait_gives_the_last_thing_seen(serve: Callable[..., Any]) -> None:
    server = serve()
    server.status, server.body = 503, "not yet"
    began = time.monotonic()
    assert probe.wait({"url": server.url, "within": 1}) == "HTTP 503: not yet"
    assert 1 <= time.monotonic() - began < 3


def test_wait_gives_up_early_with_the_reason(closed_port: int) -> None:
    began = time.monotonic()
    assert probe.wait({"tcp": f"127.0.0.1:{closed_port}", "within": 60}, lambda: "it crashed") == "it crashed"
    assert time.monotonic() - began < 1


def test_the_reason_is_asked_for_at_once_and_then_each_second(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question is a process on a host that is busy with starting what is waited for."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(probe, "time", clock)
    asked: list[float] = []
    assert probe.wait({"tcp": f"127.0.0.1:{closed_port}", "within": 10}, lambda: asked.append(clock.now))
    assert asked[0] == 100.0
    assert all(1.0 <= later - sooner < 2.0 for sooner, later in zip(asked, asked[1:], strict=False)), asked
    assert 6 <= len(asked) <= 11


def test_a_healthy_answer_counts_more_than_a_reason_to_give_up(serve: Callable[..., Any]) -> None:
    assert probe.wait({"url": serve().url, "within": 5}, lambda: "it crashed") is None
