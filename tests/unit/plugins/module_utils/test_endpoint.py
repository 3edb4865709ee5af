"""The address that stands for all API servers: who is there, and who answers behind a balancer. Real loopback servers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import endpoint


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two tries."""
    monkeypatch.setattr(endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))


def urls(servers: dict[str, Any]) -> dict[str, str]:
    return {name: server.url for name, server in servers.items()}


# ---- addresses ----


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("k8s.example.com:6443", ("k8s.example.com", 6443)),
        ("https://192.168.60.11:6443", ("192.168.60.11", 6443)),
        ("https://192.168.60.11:6443/", ("192.168.60.11", 6443)),
        ("[fd00::1]:443", ("fd00::1", 443)),
    ],
)
def test_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert endpoint.host_and_port(address) == parts


# ---- is somebody there? ----


def test_a_server_and_a_closed_port_are_both_somebody(api_servers: dict[str, Any], closed_port: int) -> None:
    assert endpoint.why_not_there(f"127.0.0.1:{api_servers['cp1'].server_port}") is None
    assert endpoint.why_not_there(f"127.0.0.1:{closed_port}") is None


@pytest.mark.parametrize(
    "error", [TimeoutError("timed out"), OSError(113, "No route to host"), socket.gaierror(-2, "Name not known")]
)
def test_nobody(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def connect(*_args: Any) -> None:
        raise error

    monkeypatch.setattr(endpoint.socket, "create_connection", connect)
    assert endpoint.why_not_there("192.0.2.1:6443") == str(error)


# ---- is it ready? ----


def test_ready_not_ready_and_away(api_servers: dict[str, Any], tls: Any, closed_port: int) -> None:
    server = api_servers["cp1"]
    assert endpoint.why_not_ready(server.url, tls.ca) is None
    server.status = 500
    assert endpoint.why_not_ready(server.url, tls.ca) == "HTTP 500"
    assert "refused" in endpoint.why_not_ready(f"127.0.0.1:{closed_port}", tls.ca)


def test_a_certificate_of_another_authority_or_name(api_servers: dict[str, Any], tls: Any) -> None:
    url = api_servers["cp1"].url
    wrong = endpoint.why_not_ready(url, tls.other_ca)
    assert wrong.startswith("its certificate is refused: ")
    assert wrong.endswith("; a balancer must pass TLS through, in TCP mode")
    named = url.replace("127.0.0.1", "localhost")
    assert "localhost" in endpoint.why_not_ready(named, tls.ca)
    assert endpoint.why_not_ready(named, tls.ca, any_name=True) is None


def test_a_server_that_needs_a_moment(api_servers: dict[str, Any], tls: Any) -> None:
    server = api_servers["cp1"]
    states = [500, 500, 200]
    server.respond = lambda handler: handler.answer(states.pop(0), "")
    assert endpoint.why_not_ready(server.url, tls.ca, tries=3) is None
    states[:] = [500, 500, 200]
    assert endpoint.why_not_ready(server.url, tls.ca, tries=2) == "HTTP 500"


# ---- the finding about a balancer of somebody else ----


def finding(address: str, behind: list[str], ca: str, **more: Any) -> str | None:
    wish = {"address": address, "kind": "external", "behind": behind, "ca": ca, "answers_when_empty": True, **more}
    return endpoint.finding(wish)


def test_a_balancer_that_leads_to_the_api(
    api_servers: dict[str, Any], tls: Any, balance: Callable[..., Any], closed_port: int
) -> None:
    address = balance(api_servers.values()).address
    behind = [f"https://127.0.0.1:{closed_port}", *urls(api_servers).values()]
    assert finding(address, behind, tls.ca) is None
    assert (
        finding(address.replace("127.0.0.1", "localhost"), behind, tls.ca) is None
    )  # certificates come to know it in this run


def test_a_balancer_that_is_away_while_the_api_is_there(
    api_servers: dict[str, Any], tls: Any, closed_port: int
) -> None:
    address, behind = f"127.0.0.1:{closed_port}", list(urls(api_servers).values())
    found = finding(address, behind, tls.ca)
    assert found.startswith(f"gets no answer of the API at cluster_api_endpoint {address} (")
    assert f"while {behind[0]} behind it is ready" in found
    assert "load_balancer__kind external" in found
    assert "HTTPS GET /readyz" in found
    assert finding(address, behind, tls.ca, answers_when_empty=False) == found


def test_before_the_first_api_server_a_balancer_may_refuse(tls: Any, closed_port: int, tmp_path: Any) -> None:
    address = f"127.0.0.1:{closed_port}"
    for ca in (tls.ca, str(tmp_path / "none")):
        assert finding(address, [f"https://127.0.0.1:{closed_port}"], ca) is None


def test_before_the_first_api_server_somebody_must_be_there(monkeypatch: pytest.MonkeyPatch, tls: Any) -> None:
    monkeypatch.setattr(endpoint, "why_not_there", lambda address: "No route to host")
    found = finding("192.0.2.1:6443", [], tls.ca, kind="hybrid")
    assert found.startswith("reaches nobody at cluster_api_endpoint 192.0.2.1:6443 (No route to host).")
    assert "load_balancer__kind hybrid" in found
    assert "start it, or mend cluster_api_endpoint" in found
    assert "set load_balancer__answers_when_empty: false" in found
    assert finding("192.0.2.1:6443", [], tls.ca, answers_when_empty=False) is None


# ---- who answers ----


def test_certificates_say_who_answers(api_servers: dict[str, Any], tls: Any, balance: Callable[..., Any]) -> None:
    balancer = balance(api_servers.values())
    told, wrong = endpoint.answers(balancer.address, tls.ca, 6, urls(api_servers))
    assert (told, wrong) == ({"cp1": 2, "cp2": 2, "cp3": 2}, {})
    assert balancer.most == 6  # all were open at the same time


def test_a_server_that_is_not_ready_is_named(
    api_servers: dict[str, Any], tls: Any, balance: Callable[..., Any]
) -> None:
    api_servers["cp2"].status = 500
    told, wrong = endpoint.answers(balance(api_servers.values()).address, tls.ca, 3, urls(api_servers))
    assert (told, wrong) == ({"cp1": 1, "cp3": 1}, {"cp2: HTTP 500": 1})


def test_a_server_that_the_inventory_does_not_name(
    api_servers: dict[str, Any], tls: Any, balance: Callable[..., Any], closed_port: int
) -> None:
    """Where all of the inventory's were asked themselves; otherwise it may be one of those that were not."""
    servers = {"cp1": api_servers["cp1"].url}
    address = balance([api_servers["cp2"], api_servers["cp3"]]).address
    told, wrong = endpoint.answers(address, tls.ca, 4, servers)
    assert (sorted(told.values()), wrong) == ([2, 2], {})
    assert all(name.startswith("an API server that the inventory does not name (") for name in told)
    told, wrong = endpoint.answers(address, tls.ca, 4, {**servers, "cp2": f"https://127.0.0.1:{closed_port}"})
    assert (sorted(told.values()), wrong) == ([2, 2], {})
    assert all(name.startswith("an API server (") for name in told)
    assert all(name.startswith("an API server (") for name in endpoint.answers(address, tls.ca, 4, {})[0])


def test_a_balancer_that_is_not_there(api_servers: dict[str, Any], tls: Any, closed_port: int) -> None:
    told, wrong = endpoint.answers(f"127.0.0.1:{closed_port}", tls.ca, 2, urls(api_servers))
    assert told == {}
    assert list(wrong.values()) == [2]
