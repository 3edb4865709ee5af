"""Several components of one host in one call: started side by side, then awaited, and restarts left to their turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import basic

UNIT = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/sleep 600\n\n[Install]\nWantedBy=multi-user.target\n"
PAUSE = "registry.k8s.io/pause:3.10.1"


class Host:
    """A host below tmp_path that runs two components; what is run and what is asked is remembered in one list."""

    def __init__(self, helpers: SimpleNamespace, systemd: Any, serve: Callable[..., Any], root: Path) -> None:
        self.helpers, self.systemd, self.root = helpers, systemd, root
        self.images: list[str] = []
        self.servers: dict[str, Any] = {}
        self.wish: dict[str, Any] = {"components": {}}
        for role, name in (("zeta", "containerd"), ("alpha", "kubelet")):  # not in the order of their names
            self.servers[role] = server = serve()
            server.respond = lambda handler, server=server, name=name: self.answer(handler, server, name)
            self.wish["components"][role] = {
                "name": name,
                "files": [{"path": self.path(f"{name}/config"), "content": "1\n"}],
                "unit": UNIT,
                "healthy": {"url": server.url, "within": 1},
            }

    def path(self, name: str) -> str:
        return str(self.root / name)

    def answer(self, handler: Any, server: Any, name: str) -> None:
        self.systemd.ran.append(f"probe {name}")
        handler.answer(server.status, server.body)

    def run_command(self, command: list[str], **more: Any) -> tuple[int, str, str]:
        if command[0] != self.path("bin/ctr"):
            return self.systemd.run_command(command, **more)
        self.systemd.ran.append(" ".join(["ctr", *command[4:]]))
        return 0, "".join(image + "\n" for image in self.images), ""

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        self.systemd.ran.clear()
        return self.helpers.run_module("components", {**self.wish, **more}, check)

    def order(self) -> list[str]:
        """What was run and asked, without systemd's own questions; once each."""
        words = ("systemctl restart", "probe", "ctr")
        return list(dict.fromkeys(line for line in self.systemd.ran if line.startswith(words)))

    def pids(self) -> list[int]:
        return [self.systemd.pid(f"{name}.service") for name in ("containerd", "kubelet")]

    def everything(self) -> dict[str, Any]:
        """Files, processes and what systemd starts at boot."""
        files = {str(path): path.lstat().st_mtime_ns for path in sorted(self.root.parent.rglob("*"))}
        return {**files, "pids": self.pids(), "enabled": set(self.systemd.enabled)}

    def renew(self, role: str) -> None:
        """Wish another content of the role's file."""
        self.wish["components"][role]["files"][0]["content"] = "2\n"

    def read(self, name: str) -> str:
        return Path(self.path(f"{name}/config")).read_text()


@pytest.fixture
def node(
    host: SimpleNamespace, systemd: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    hasty = SimpleNamespace(monotonic=lambda: time.monotonic() * 5, sleep=time.sleep)
    monkeypatch.setattr(host.load("module_utils", "probe"), "time", hasty)
    found = Host(host, systemd, serve, tmp_path / "root")
    images = host.load("module_utils", "images")
    monkeypatch.setattr(images, "CTR", [found.path("bin/ctr"), *images.CTR[1:]])
    monkeypatch.setattr(basic.AnsibleModule, "run_command", lambda _m, *args, **more: found.run_command(*args, **more))
    return found


STARTS = ["systemctl restart --no-block containerd.service", "systemctl restart --no-block kubelet.service"]


def test_all_are_started_in_the_given_order_before_any_is_awaited(node: Host) -> None:
    result = node.run()
    assert node.order() == [*STARTS, "probe containerd", "probe kubelet"]
    assert (result["changed"], result["started"]) == (True, ["containerd", "kubelet"])
    assert (result["restarted"], result["restart_pending"]) == ([], [])
    assert all(node.pids())


def test_the_second_run_changes_nothing(node: Host) -> None:
    node.run()
    before = node.everything()
    result = node.run()
    assert result == {
        "changed": False,
        "diff": [],
        "done": ["zeta", "alpha"],
        "started": [],
        "restarted": [],
        "reloaded": [],
        "restart_pending": [],
    }
    assert node.everything() == before


def test_one_that_needs_a_restart_is_left_for_its_turn_and_the_others_are_not(node: Host) -> None:
    node.run()
    pids = node.pids()
    node.renew("zeta")
    node.wish["components"]["alpha"]["directories"] = [{"path": node.path("more")}]
    result = node.run()
    assert (result["restart_pending"], result["started"], result["restarted"]) == (["zeta"], [], [])
    assert [entry["before_header"] for entry in result["diff"]] == [node.path("more")]
    assert result["changed"]
    assert node.read("containerd") == "1\n"
    assert os.path.isdir(node.path("more"))
    assert node.pids() == pids
    assert "probe kubelet" in node.order()


def test_one_that_does_not_serve_takes_its_turn_too(node: Host) -> None:
    node.run()
    node.renew("alpha")
    node.servers["alpha"].status = 503
    result = node.run()
    assert (result["restarted"], result["restart_pending"]) == ([], ["alpha"])
    assert node.read("kubelet") == "1\n"


def test_a_wish_to_restart_now_is_not_heard_here(node: Host) -> None:
    node.run()
    node.renew("zeta")
    node.wish["components"]["zeta"]["restart"] = "now"
    assert node.run()["restart_pending"] == ["zeta"]
    assert node.read("containerd") == "1\n"


# ---- images ----

ARCHIVES = {"zeta": [{"path": "/opt/pause.tar", "images": [PAUSE]}]}


def test_images_are_loaded_once_their_component_is_healthy(node: Host) -> None:
    result = node.run(images=ARCHIVES)
    loaded = "ctr list --quiet", "ctr import --no-unpack /opt/pause.tar"
    assert node.order() == [*STARTS, "probe containerd", *loaded, "probe kubelet"]
    assert {"before": "absent\n", "after": "loaded\n"}.items() <= result["diff"][-1].items()
    assert result["diff"][-1]["before_header"] == PAUSE


def test_an_image_alone_is_a_change_and_one_that_is_there_is_none(node: Host) -> None:
    node.run()
    result = node.run(images=ARCHIVES)
    assert (result["changed"], len(result["diff"])) == (True, 1)
    node.images = [PAUSE]
    assert not node.run(images=ARCHIVES)["changed"]
    assert not any("import" in line for line in node.order())


def test_no_image_is_loaded_into_what_is_not_healthy(node: Host) -> None:
    node.servers["zeta"].status = 503
    assert node.run(images=ARCHIVES)["failed"]
    assert not any(line.startswith("ctr") for line in node.order())


# ---- health ----


@pytest.mark.parametrize(("role", "name", "other"), [("zeta", "containerd", "kubelet"), ("alpha", "kubelet", "etcd")])
def test_a_component_that_does_not_become_healthy_is_named(node: Host, role: str, name: str, other: str) -> None:
    node.servers[role].status, node.servers[role].body = 503, "not yet"
    result = node.run()
    assert result["failed"]
    assert f"{name} is not healthy" in result["msg"]
    assert "HTTP 503: not yet" in result["msg"]
    assert other not in result["msg"]
    assert result["changed"]
    assert all(node.pids())


# ---- check mode ----


def test_check_mode_on_a_bare_host_tells_all_and_touches_nothing(node: Host) -> None:
    before = node.everything()
    result = node.run(check=True, images=ARCHIVES)
    assert (result["changed"], result["started"]) == (True, ["containerd", "kubelet"])
    headers = [entry["before_header"] for entry in result["diff"]]
    assert {node.path("kubelet/config"), "containerd.service", "kubelet.service", PAUSE} <= set(headers)
    assert node.everything() == before
    assert node.order() == []


def test_check_mode_tells_of_a_restart_and_touches_nothing(node: Host) -> None:
    node.run()
    node.renew("zeta")
    before = node.everything()
    result = node.run(check=True)
    assert (result["changed"], result["restarted"], result["restart_pending"]) == (True, ["containerd"], [])
    assert {"before": "1\n", "after": "2\n"}.items() <= result["diff"][0].items()
    assert node.everything() == before


# ---- options ----


@pytest.mark.parametrize(
    ("wrong", "where", "words"),
    [
        ({"components": {"etcd": {"name": "etcd", "file": []}}}, "etcd: ", "file"),
        ({"components": {"etcd": {"unit": UNIT}}}, "etcd: ", "name"),
        ({"components": {"etcd": "none"}}, "etcd: ", "'none'"),
        ({"images": {"zeta": [{"path": "/x"}]}}, "zeta: ", "images"),
    ],
)
def test_bad_options_are_told_with_whose_they_are(node: Host, wrong: dict[str, Any], where: str, words: str) -> None:
    result = node.run(**wrong)
    assert result["failed"]
    assert not result.get("exception")
    assert result["msg"].startswith(where)
    assert words in result["msg"].removeprefix(where)


def test_a_secret_file_gets_its_content_from_secrets(node: Host) -> None:
    secret = {"path": node.path("kubelet/token"), "secret": True, "mode": "0600"}
    node.wish["components"]["alpha"]["files"].append(secret)
    assert "kubelet/token has no content" in node.run()["msg"]
    result = node.run(secrets={secret["path"]: "hidden"})
    assert Path(secret["path"]).read_text() == "hidden"
    assert "hidden" not in str(result)


def test_systemd_reads_its_units_once_for_all_of_them(node: Host) -> None:
    """Each time it reads every unit of the host, which costs more than what is started."""
    node.run()
    told = [line for line in node.systemd.ran if " show " not in line and line.startswith("systemctl")]
    assert told == [
        "systemctl enable --no-reload containerd.service kubelet.service",
        "systemctl daemon-reload",
        "systemctl restart --no-block containerd.service",
        "systemctl restart --no-block kubelet.service",
    ]
    node.run()
    assert [line for line in node.systemd.verbs() if line != "show"] == []


def test_what_waits_for_others_is_started_after_they_are_healthy(node: Host, serve: Callable[..., Any]) -> None:
    """A network's daemon ends again and again until the kubelet has registered its node."""
    api = serve()
    api.body = '{"spec": {"podCIDR": "10.244.0.0/24"}}'
    node.wish["components"]["zeta"]["start_when"] = {"url": api.url, "expect": '"podCIDR":', "within": 1}
    node.run()
    assert node.order() == [
        "systemctl restart --no-block kubelet.service",
        "probe kubelet",
        "systemctl restart --no-block containerd.service",
        "probe containerd",
    ]
    assert len(api.asked) == 1
    node.renew("zeta")
    node.run()  # a restart has what the first start waited for
    assert len(api.asked) == 1


def test_what_never_comes_to_hold_delays_a_start_and_no_more(node: Host, serve: Callable[..., Any]) -> None:
    api = serve()
    api.status = 404
    node.wish["components"]["zeta"]["start_when"] = {"url": api.url, "within": 0}
    assert not node.run().get("failed")
    assert all(node.pids())


# ---- an address that all share ----


def shared(server: Any, tls: Any) -> dict[str, Any]:
    return {"url": server.url, "ca": tls.ca, "within": 1, "mend": "Look at lb1."}


def test_the_api_must_answer_before_anything_starts(node: Host, serve: Callable[..., Any], tls: Any) -> None:
    server = serve(tls)
    result = node.run(api=shared(server, tls))
    assert result["started"] == ["containerd", "kubelet"]
    assert server.asked == ["GET /readyz"]


def test_an_api_that_does_not_answer_leaves_all_as_it_is(node: Host, serve: Callable[..., Any], tls: Any) -> None:
    server = serve(tls)
    server.status, server.body = 500, "not ready"
    before = node.everything()
    result = node.run(api=shared(server, tls))
    assert result["failed"]
    assert result["msg"] == (
        f"the API does not answer at {server.url} within 1 s (HTTP 500: not ready), where zeta, alpha on this host are to ask "
        "for it. They were left as they are. Look at lb1."
    )
    assert node.everything() == before


def test_check_mode_does_not_ask(node: Host, serve: Callable[..., Any], tls: Any) -> None:
    server = serve(tls)
    server.status = 500
    assert node.run(True, api=shared(server, tls))["started"] == ["containerd", "kubelet"]
    assert server.asked == []
