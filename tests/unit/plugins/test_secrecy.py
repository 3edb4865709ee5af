"""What is marked secret reaches its file and nothing else: no log of Ansible, no result, no diff."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki

UNIT = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/sleep 600\n"


class Spy:
    """Runs action plugins with real modules, and keeps all that Ansible logs, prints and returns of them."""

    def __init__(self, host: SimpleNamespace, root: Path, pki: Pki) -> None:
        self.host, self.root, self.pki = host, root, pki
        self.logged: list[str] = []
        self.printed: list[str] = []
        self.results: list[dict[str, Any]] = []
        self.secret = root / "etcd" / "key"
        self.wish: dict[str, Any] = {
            "name": "etcd",
            "files": [
                {"path": str(root / "etcd" / "config"), "content": "open-1\n"},
                {"path": str(self.secret), "content": "hidden-1\nhidden too\n", "mode": "0600", "secret": True},
            ],
            "unit": UNIT,
        }

    def module(self, name: str, args: dict[str, Any], check: bool) -> dict[str, Any]:
        """The module's whole result, as it goes over the wire."""
        out = io.StringIO()
        wished = dict(args, _ansible_check_mode=check, _ansible_diff=True, _ansible_verbosity=3)
        with patch_module_args(wished), contextlib.redirect_stdout(out), pytest.raises(SystemExit):
            self.host.load("modules", name).main()
        self.printed.append(out.getvalue())
        result = json.loads(out.getvalue())
        assert "invocation" in result
        return result

    def run(self, name: str, check: bool = False) -> dict[str, Any]:
        access = {"pki_dir": self.pki.folder, "passphrase": ""} if name == "survey" else {}
        args = self.wish if name == "component" else {"components": {"etcd": self.wish}, **access}
        task_vars = {"cluster_controller_dir": str(self.root / "controller")}
        result = self.host.run_action(name, args, check, task_vars, lambda module, a: self.module(module, a, check))
        self.results.append(result)
        return result

    def renew(self) -> None:
        """Wish other contents of both files."""
        self.wish["files"][0]["content"] = "open-2\n"
        self.wish["files"][1]["content"] = "hidden-2\nhidden too\n"

    def is_silent(self, started: bool = True) -> None:
        """Nothing secret was told, though something was; a module logs its options once they are valid."""
        assert any("etcd" in line for line in self.logged) or not started
        assert self.printed
        assert self.results
        for told in (self.logged, self.printed, self.results):
            assert "hidden" not in str(told)


@pytest.fixture
def spy(host: SimpleNamespace, systemd: Any, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(host, tmp_path / "root", pki)

    def log(_module: Any, msg: Any, log_args: Any = None) -> None:
        spy.logged.append(f"{msg} {log_args}")

    monkeypatch.setattr(basic.AnsibleModule, "log", log)
    return spy


def headers(result: dict[str, Any]) -> list[str]:
    return [entry["before_header"] for entry in result["diff"]]


@pytest.mark.parametrize("name", ["component", "components"])
def test_a_secret_is_written_and_replaced_in_its_turn_and_never_told(spy: Spy, name: str) -> None:
    assert spy.run(name)["started"]
    assert spy.secret.read_text() == "hidden-1\nhidden too\n"
    spy.renew()
    result = spy.run(name)
    assert result["restarted"]
    assert str(spy.secret) in headers(result)
    assert "open-2" in str(result["diff"])
    assert spy.secret.read_text() == "hidden-2\nhidden too\n"
    assert len(spy.printed) == 3  # the second run looked, and then took its turn
    spy.is_silent()


@pytest.mark.parametrize("name", ["component", "components"])
def test_check_mode_tells_no_secret(spy: Spy, name: str) -> None:
    spy.run(name)
    spy.renew()
    result = spy.run(name, check=True)
    assert str(spy.secret) in headers(result)
    spy.is_silent()


@pytest.mark.parametrize("name", ["component", "components"])
def test_a_failure_tells_no_secret(spy: Spy, systemd: Any, closed_port: int, name: str) -> None:
    systemd.properties = {"NRestarts": "3"}
    spy.wish["healthy"] = {"tcp": f"127.0.0.1:{closed_port}", "within": 1}
    result = spy.run(name)
    assert result["failed"]
    assert str(spy.secret) in headers(result)
    spy.is_silent()


@pytest.mark.parametrize("name", ["survey", "component", "components"])
def test_bad_options_tell_no_secret(spy: Spy, name: str) -> None:
    spy.wish["files"][1]["contents"] = "x"
    result = spy.run(name)
    assert result["failed"]
    assert "contents" in result["msg"]
    spy.is_silent(started=name != "component")


def test_the_survey_sees_a_secret_that_differs_and_does_not_tell_it(spy: Spy) -> None:
    spy.run("component")
    assert spy.run("survey")["todo"] == []
    spy.wish["files"][1]["content"] = "hidden-2\n"
    assert spy.run("survey")["todo"] == ["etcd"]
    assert spy.secret.read_text() == "hidden-1\nhidden too\n"
    spy.is_silent()


def test_secrets_of_the_api_reach_it_and_no_log(spy: Spy, api: Any) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "etcd"}, "stringData": {"b": "hidden-1"}}
    args = {"pki_dir": spy.pki.folder, "servers": [api.server.url], "objects": [secret]}
    result = spy.host.run_action("api_objects", args, execute=lambda module, a: spy.module(module, a, False))
    spy.results.append(result)
    assert result["applied"] == ["Secret etcd"]
    assert api.objects["/api/v1/namespaces/default/secrets/etcd"]["stringData"] == {"b": "hidden-1"}
    spy.is_silent()
