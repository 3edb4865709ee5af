"""One component's life on a host: real processes, a systemd made of them, and real probes."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections import UserDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

THEIRS = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/sleep 600\n\n[Install]\nWantedBy=multi-user.target\n"
UNIT = "# Written by hardway.kubernetes\n" + THEIRS
NAME = "etcd.service"


class Host:
    """A host that runs the component etcd below tmp_path."""

    def __init__(self, helpers: SimpleNamespace, systemd: Any, server: Any, root: Path) -> None:
        self.helpers, self.systemd, self.server, self.root = helpers, systemd, server, root
        for version in ("1", "2"):
            (root / "opt" / version).mkdir(parents=True)
            (root / "opt" / version / "etcd").write_text("binary " + version)
        (root / "server.crt").write_text("certificate 1")
        self.wish: dict[str, Any] = {
            "name": "etcd",
            "user": "etcd",
            "directories": [
                {"path": self.path("etc"), "shared": True},
                {"path": self.path("etc/etcd"), "mode": "0750"},
                {"path": self.path("lib/etcd"), "owner": "etcd", "mode": "0700", "data": True},
            ],
            "files": [
                {"path": self.path("etc/etcd/config"), "content": "quota: 1\n", "mode": "0640"},
                {"path": self.path("etc/etcd/key"), "content": "secret-1", "mode": "0600", "secret": True},
                {"path": self.path("etc/etcd/bootstrap"), "content": "first", "restart": False},
            ],
            "links": {self.path("bin/etcd"): self.path("opt/1/etcd")},
            "inputs": [self.path("server.crt")],
            "unit": UNIT,
            "healthy": {"url": server.url, "within": 1},
        }

    def path(self, name: str) -> str:
        return str(self.root / name)

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        self.systemd.ran.clear()
        return self.helpers.run_module("component", {**self.wish, **more}, check)

    def kill_at(self, command: str) -> None:
        """Run, and die like a killed run does before this command."""
        self.systemd.killed_at = command
        with pytest.raises(KeyboardInterrupt):
            self._killed()
        self.systemd.killed_at = ""

    def _killed(self) -> None:
        from ansible.module_utils.testing import patch_module_args

        with patch_module_args(self.wish):
            self.helpers.load("modules", "component").main()

    def has_begun(self) -> None:
        """What is written from now on is surely younger than the process."""
        component = self.helpers.load("module_utils", "component")
        while time.time() < component.began_at(self.pid) + 2 * component.CLOCKS_DIFFER:
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        return self.systemd.pid(NAME)

    def everything(self) -> dict[str, Any]:
        """All files below the root, but for the lab's own."""
        return {
            str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else os.path.islink(path)
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture
def etcd(
    host: SimpleNamespace, systemd: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    hasty = SimpleNamespace(monotonic=lambda: time.monotonic() * 5, sleep=time.sleep)
    monkeypatch.setattr(host.load("module_utils", "probe"), "time", hasty)
    root = tmp_path / "root"
    root.mkdir()
    return Host(host, systemd, serve(), root)


def changed_paths(result: dict[str, Any]) -> list[str]:
    return [entry["before_header"] for entry in result["diff"]]


# ---- a first start ----


def test_a_first_start_makes_everything_and_waits_for_health(etcd: Host) -> None:
    result = etcd.run()
    assert (result["changed"], result["started"], result["restarted"]) == (True, True, False)
    assert etcd.pid
    assert etcd.server.asked
    assert NAME in etcd.systemd.enabled
    assert "etcd" in etcd.systemd.users
    assert Path(etcd.path("etc/etcd/config")).read_text() == "quota: 1\n"
    modes = [stat.S_IMODE(os.stat(etcd.path(name)).st_mode) for name in ("etc/etcd", "lib/etcd", "etc/etcd/key")]
    assert modes == [0o750, 0o700, 0o600]
    assert os.readlink(etcd.path("bin/etcd")) == etcd.path("opt/1/etcd")
    assert etcd.systemd.verbs() == ["enable", "daemon-reload", "restart"]


def test_no_secret_is_in_the_result(etcd: Host) -> None:
    assert "secret-1" not in str(etcd.run())
    etcd.wish["files"][1]["content"] = "secret-2"
    result = etcd.run()
    assert result["restarted"]
    assert "secret-" not in str(result)


def test_the_second_run_changes_nothing_and_touches_no_process(etcd: Host) -> None:
    etcd.run()
    pid, before = etcd.pid, etcd.everything()
    result = etcd.run()
    assert (result["changed"], result["diff"], result["restarted"]) == (False, [], False)
    assert etcd.pid == pid
    assert etcd.systemd.verbs() == []
    assert etcd.everything() == before


def test_a_first_start_need_not_wait(etcd: Host) -> None:
    etcd.server.status = 503
    result = etcd.run(wait_first_start=False)
    assert result["started"]
    assert not result.get("failed")


def test_a_process_that_ended_is_started(etcd: Host) -> None:
    etcd.run()
    etcd.systemd._stop(NAME)
    result = etcd.run()
    assert (result["started"], result["restarted"]) == (True, False)
    assert etcd.pid


def test_a_unit_that_failed_is_reset_first(etcd: Host) -> None:
    etcd.systemd.properties = {"ActiveState": "failed", "SubState": "failed"}
    result = etcd.run(healthy=None)
    assert result["started"]
    assert etcd.systemd.verbs()[-2:] == ["reset-failed", "restart"]


def test_a_unit_that_someone_disabled_is_enabled_without_a_restart(etcd: Host) -> None:
    etcd.run()
    pid = etcd.pid
    etcd.systemd.enabled.clear()
    result = etcd.run()
    assert changed_paths(result) == [NAME]
    assert etcd.systemd.verbs() == ["enable"]
    assert etcd.pid == pid


# ---- what restarts, and what does not ----


def new_content(etcd: Host) -> None:
    etcd.wish["files"][0]["content"] = "quota: 2\n"


def new_binary(etcd: Host) -> None:
    etcd.wish["links"] = {etcd.path("bin/etcd"): etcd.path("opt/2/etcd")}


def new_certificate(etcd: Host) -> None:
    Path(etcd.path("server.crt")).write_text("certificate 2")


def new_unit(etcd: Host) -> None:
    etcd.wish["unit"] = UNIT.replace("600", "600 ")


def new_file(etcd: Host) -> None:
    etcd.wish["files"].append({"path": etcd.path("etc/etcd/more"), "content": ""})


@pytest.mark.parametrize("change", [new_content, new_binary, new_certificate, new_unit, new_file])
def test_what_the_process_reads_restarts_it_once(etcd: Host, change: Callable[[Host], None]) -> None:
    etcd.run()
    pid = etcd.pid
    change(etcd)
    result = etcd.run()
    assert (result["restarted"], result["started"]) == (True, False)
    assert etcd.pid not in (0, pid)
    assert not etcd.run()["changed"]


def quiet_file(etcd: Host) -> None:
    etcd.wish["files"][2]["content"] = "second"


def quiet_mode(etcd: Host) -> None:
    etcd.wish["files"][0]["mode"] = "0600"


def quiet_directory(etcd: Host) -> None:
    etcd.wish["directories"].append({"path": etcd.path("more")})


@pytest.mark.parametrize("change", [quiet_file, quiet_mode, quiet_directory])
def test_what_the_process_does_not_read_restarts_nothing(etcd: Host, change: Callable[[Host], None]) -> None:
    etcd.run()
    pid = etcd.pid
    change(etcd)
    result = etcd.run()
    assert len(result["diff"]) == 1
    assert not result["restarted"]
    assert etcd.pid == pid
    assert etcd.systemd.verbs() == []


def edited_file(etcd: Host) -> None:
    Path(etcd.path("etc/etcd/config")).write_text("edited by hand")


def edited_unit(etcd: Host) -> None:
    etcd.systemd.unit_file(NAME).write_text(UNIT.replace("600", "500"))


def edited_link(etcd: Host) -> None:
    Path(etcd.path("bin/etcd")).unlink()
    Path(etcd.path("bin/etcd")).symlink_to(etcd.path("opt/2/etcd"))


def gone_file(etcd: Host) -> None:
    Path(etcd.path("etc/etcd/config")).unlink()


@pytest.mark.parametrize("edit", [edited_file, edited_unit, edited_link, gone_file])
def test_what_was_edited_by_hand_is_not_left_in_the_process(etcd: Host, edit: Callable[[Host], None]) -> None:
    """Whoever edited it restarted the unit, and its process says by its digest that it is as wished."""
    etcd.run()
    before = etcd.everything()
    edit(etcd)
    etcd.systemd.run_command(["systemctl", "restart", NAME])
    pid = etcd.pid
    result = etcd.run()
    assert (result["restarted"], result["started"]) == (True, False)
    assert etcd.pid not in (0, pid)
    assert etcd.everything() == before
    assert not etcd.run()["changed"]


@pytest.mark.parametrize("edit", [edited_file, edited_unit, edited_link])
def test_what_was_edited_since_the_process_began_is_set_right_alone(etcd: Host, edit: Callable[[Host], None]) -> None:
    etcd.run()
    before, pid = etcd.everything(), etcd.pid
    etcd.has_begun()
    edit(etcd)
    result = etcd.run()
    assert result["changed"]
    assert not result["restarted"]
    assert etcd.pid == pid
    assert etcd.everything() == before


def test_a_file_that_is_wished_no_more_goes(etcd: Host) -> None:
    """With its folder, where it was ours; what somebody else put there stays, and so does what is wished."""
    ours = "# Written by hardway.kubernetes\npassword = 1\n"
    old, kept, others = (etcd.path(f"etc/etcd/{name}/hosts") for name in ("old", "kept", "others"))
    both = [{"path": path, "content": ours, "secret": True, "restart": False} for path in (old, kept)]
    files = etcd.wish["files"]
    etcd.run(files=files + both)
    Path(others).parent.mkdir()
    Path(others).write_text("password = 2\n")
    less = {"files": files + both[1:], "sweep": [etcd.path("etc/etcd/*/hosts")]}

    assert etcd.run(check=True, **less)["changed"]
    assert Path(old).exists()
    result = etcd.run(**less)
    assert {entry["before_header"] for entry in result["diff"]} == {old, str(Path(old).parent)}
    assert "password" not in str(result["diff"])
    assert not Path(old).parent.exists()
    assert (Path(kept).read_text(), Path(others).read_text()) == (ours, "password = 2\n")
    assert etcd.systemd.verbs() == []
    assert not etcd.run(**less)["changed"]


def test_health_and_gate_are_no_settings_of_the_process(etcd: Host) -> None:
    etcd.run()
    etcd.wish["healthy"] = {"tcp": f"127.0.0.1:{etcd.server.server_port}"}
    assert not etcd.run(restart_gate={"others": [], "at_least": 0})["changed"]


def test_a_certificate_rewritten_with_the_same_content_restarts_nothing(etcd: Host) -> None:
    etcd.run()
    path = Path(etcd.path("server.crt"))
    text = path.read_text()
    path.unlink()
    path.write_text(text)
    assert not etcd.run()["changed"]


# ---- files that the process reads again when it is told to ----


@pytest.fixture
def reloads(etcd: Host) -> Host:
    """The component with a file that it reads again."""
    etcd.wish["unit"] = UNIT.replace("[Install]", "ExecReload=/bin/kill -HUP $MAINPID\n\n[Install]")
    etcd.wish["files"].append({"path": etcd.path("etc/etcd/peers"), "content": "a", "reload": True})
    assert etcd.run()["started"]
    assert (etcd.run()["changed"], etcd.systemd.verbs()) == (False, [])
    etcd.wish["files"][-1]["content"] = "a b"
    return etcd


def test_a_file_that_is_read_again_reloads_and_restarts_nothing(reloads: Host) -> None:
    pid = reloads.pid
    result = reloads.run()
    assert (result["changed"], result["reloaded"], result["restarted"]) == (True, True, False)
    assert reloads.systemd.verbs() == ["reload"]
    assert reloads.pid == pid
    assert Path(reloads.path("etc/etcd/peers")).read_text() == "a b"
    assert (reloads.run()["changed"], reloads.systemd.verbs()) == (False, [])


def test_a_reload_takes_its_turn_and_no_gate(reloads: Host) -> None:
    before = reloads.everything()
    deferred = reloads.run(restart="defer")
    assert (deferred["restart_pending"], deferred["changed"], deferred["reloaded"]) == (True, False, False)
    assert reloads.everything() == before
    nobody = {"at_least": 1, "others": [{"url": "http://127.0.0.1:1"}]}
    assert reloads.run(restart_gate=nobody)["reloaded"]


def test_a_reload_that_a_killed_run_left_out_is_made_up_for(reloads: Host) -> None:
    reloads.kill_at("systemctl reload")
    assert Path(reloads.path("etc/etcd/peers")).read_text() == "a b"
    result = reloads.run()
    assert (result["changed"], result["reloaded"]) == (True, True)
    assert not reloads.run()["changed"]


def test_what_a_killed_restart_wrote_down_is_not_taken_for_read(reloads: Host) -> None:
    """The other change, which wanted the restart, is taken back: the process still has the old file of this one."""
    unit = reloads.wish["unit"]
    reloads.has_begun()
    reloads.wish["unit"] = unit.replace("600", "601")
    reloads.kill_at("systemctl restart")
    reloads.wish["unit"] = unit
    result = reloads.run()
    assert (result["reloaded"], result["restarted"]) == (True, False)
    assert not reloads.run()["changed"]


def test_check_mode_tells_of_a_reload(reloads: Host) -> None:
    before = reloads.everything()
    result = reloads.run(check=True)
    assert [(entry["before"], entry["after"]) for entry in result["diff"]] == [
        ("a", "a b"),
        ("running with other settings\n", "reloaded\n"),
    ]
    assert (reloads.systemd.verbs(), reloads.everything()) == ([], before)


def test_a_restart_reads_everything(reloads: Host) -> None:
    new_content(reloads)
    result = reloads.run()
    assert (result["restarted"], result["reloaded"]) == (True, False)
    assert reloads.systemd.verbs() == ["restart"]
    assert not reloads.run()["changed"]


def test_health_is_awaited_after_a_reload(reloads: Host) -> None:
    reloads.server.status = 503
    result = reloads.run()
    assert "etcd is not healthy on this host" in result["msg"]


# ---- deferring ----


def test_defer_writes_nothing_beside_a_process_that_needs_a_restart(etcd: Host) -> None:
    etcd.run()
    pid, before = etcd.pid, etcd.everything()
    new_content(etcd)
    quiet_file(etcd)
    result = etcd.run(restart="defer")
    assert result["restart_pending"]
    assert (result["changed"], result["restarted"]) == (False, False)
    assert etcd.everything() == before
    assert etcd.pid == pid
    assert etcd.run(restart="now")["restarted"]


def test_defer_starts_what_does_not_run_and_writes_what_needs_no_restart(etcd: Host) -> None:
    assert etcd.run(restart="defer")["started"]
    quiet_file(etcd)
    result = etcd.run(restart="defer")
    assert (result["restart_pending"], result["changed"]) == (False, True)
    assert Path(etcd.path("etc/etcd/bootstrap")).read_text() == "second"


def test_defer_leaves_a_process_that_does_not_serve_to_its_turn_too(etcd: Host) -> None:
    """One probe that failed, on a busy host, must not restart all members side by side."""
    etcd.run()
    new_content(etcd)
    etcd.server.status = 503
    pid = etcd.pid
    result = etcd.run(restart="defer")
    assert (result["restarted"], result["restart_pending"], etcd.pid) == (False, True, pid)
    assert not result["changed"]


def test_one_that_does_not_serve_needs_no_gate(
    etcd: Host, host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its restart costs nothing, and may be what mends it."""
    monkeypatch.setattr(host.load("module_utils", "component"), "AILS_AFTER", 0.2)
    etcd.run()
    new_content(etcd)
    etcd.server.status = 503
    result = etcd.run(restart_gate={"at_least": 1, "others": [{"url": "http://127.0.0.1:1"}]})
    assert result["restarted"]


def test_one_that_failed_a_probe_and_serves_again_keeps_its_gate(etcd: Host) -> None:
    etcd.run()
    new_content(etcd)
    states = iter([503])
    etcd.server.respond = lambda handler: handler.answer(next(states, 200), "")
    result = etcd.run(restart_gate={"at_least": 1, "others": [{"url": "http://127.0.0.1:1"}]})
    assert result["failed"]
    assert "it was refused" in result["msg"]


# ---- the gate ----


def gate(at_least: int, *servers: Any) -> dict[str, Any]:
    return {"at_least": at_least, "others": [{"url": server.url} for server in servers]}


def test_a_restart_that_would_cost_too_much_is_refused_with_the_reason(etcd: Host, serve: Callable[..., Any]) -> None:
    etcd.run()
    well, ill = serve(), serve()
    ill.status, ill.body = 503, "no leader"
    pid, before = etcd.pid, etcd.everything()
    new_content(etcd)
    result = etcd.run(restart_gate=gate(2, well, ill))
    assert result["failed"]
    assert "only 1 of the other 2 members are healthy and 2 must be" in result["msg"]
    assert f"{ill.url}: HTTP 503: no leader" in result["msg"]
    assert well.url not in result["msg"]
    assert not result.get("changed")
    assert etcd.pid == pid
    assert etcd.everything() == before
    assert etcd.systemd.verbs() == []
    ill.status = 200
    assert etcd.run(restart_gate=gate(2, well, ill))["restarted"]


def test_a_gate_that_can_never_be_met_stays_closed(etcd: Host, serve: Callable[..., Any]) -> None:
    """Of two members neither can be missed, however well the other one is."""
    etcd.run()
    new_content(etcd)
    result = etcd.run(restart_gate=gate(2, serve()))
    assert result["failed"]
    assert "only 1 of the other 1 members are healthy and 2 must be" in result["msg"]


def test_the_gate_waits_for_others_in_their_first_start(etcd: Host, serve: Callable[..., Any]) -> None:
    """A cluster that grows, and gets another setting in the same run: the new members start beside this one's turn."""
    etcd.run()
    new_content(etcd)
    other = serve()
    states = iter([503])
    other.respond = lambda handler: handler.answer(next(states, 200), "")
    assert etcd.run(restart_gate=gate(1, other))["restarted"]


def test_the_gate_asks_nobody_where_no_process_is_lost(etcd: Host, serve: Callable[..., Any]) -> None:
    ill = serve()
    ill.status = 503
    assert etcd.run(restart_gate=gate(1, ill))["started"]
    assert not etcd.run(restart_gate=gate(1, ill))["changed"]
    quiet_file(etcd)
    assert etcd.run(restart_gate=gate(1, ill))["changed"]
    new_content(etcd)
    assert etcd.run(restart_gate=gate(0, ill))["restarted"]
    assert ill.asked == []


def test_a_member_that_is_down_itself_may_restart_through_a_closed_gate(etcd: Host, serve: Callable[..., Any]) -> None:
    etcd.run()
    ill = serve()
    ill.status = etcd.server.status = 503
    new_content(etcd)
    assert etcd.run(restart_gate=gate(1, ill))["restarted"]


# ---- health ----


def test_a_process_that_does_not_become_healthy_is_told_with_its_log(etcd: Host) -> None:
    etcd.server.status, etcd.server.body = 503, "no leader yet"
    result = etcd.run()
    assert result["failed"]
    assert result["started"]
    words = ["etcd is not healthy", "HTTP 503: no leader yet", etcd.server.url, "last line", "journalctl -u etcd"]
    assert all(word in result["msg"] for word in words)
    assert result["log"] == ["first line", "last line"]
    assert result["changed"]


def test_the_answer_of_a_process_that_is_ending_proves_nothing(etcd: Host) -> None:
    """etcd and API servers go on answering for a while after they were told to stop."""
    etcd.run()
    etcd.systemd.slow.add(NAME)
    new_content(etcd)
    result = etcd.run()
    assert result["failed"]
    assert "has not ended yet" in result["msg"]
    etcd.systemd.end_old()
    assert not etcd.run().get("failed")


def test_once_the_old_process_has_ended_the_new_one_is_asked(etcd: Host) -> None:
    etcd.run()
    etcd.systemd.slow.add(NAME)
    new_content(etcd)
    ends = threading.Timer(0.5, etcd.systemd.end_old)
    ends.start()
    result = etcd.run(healthy={**etcd.wish["healthy"], "within": 30})
    ends.join()
    assert not result.get("failed"), result
    assert result["restarted"]


def test_the_process_that_is_replaced_is_the_one_that_runs_once_the_turn_has_come(
    etcd: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run had the turn before and restarted it: that process's answers, while it ends, prove nothing either."""
    etcd.run()
    lease = etcd.helpers.load("module_utils", "lease")

    @contextlib.contextmanager
    def held(_lease: Any, _within: int) -> Iterator[None]:
        etcd.systemd.run_command(["systemctl", "restart", NAME])
        etcd.systemd.slow.add(NAME)
        yield None

    monkeypatch.setattr(lease, "held", held)
    monkeypatch.setattr(lease.Api, "from_params", lambda *_args: None)
    new_content(etcd)
    turn = {"name": "turns", "holder": "b", "servers": ["https://cp1:6443"], "ca": "", "client_certificate": ""}
    result = etcd.run(turn=turn, client_key="", restart="now")
    assert result.get("failed"), "it called the new process healthy while the old one still answered"
    assert "has not ended yet" in result["msg"]


class Restarting(UserDict[str, str]):
    """What systemd tells of a unit whose process it starts once more before each time it is asked."""

    def __init__(self, before: int) -> None:
        super().__init__(NRestarts=str(before), Result="exit-code")

    def keys(self) -> Any:
        self["NRestarts"] = str(int(self["NRestarts"]) + 1)
        return self.data.keys()


def test_a_process_that_ends_again_and_again_is_not_waited_for(etcd: Host) -> None:
    etcd.server.stop()
    etcd.systemd.properties = Restarting(before=7)
    result = etcd.run(healthy={"url": etcd.server.url, "within": 600})
    assert result["failed"]
    assert "ends again and again" in result["msg"]


def test_restarts_of_earlier_days_are_no_reason_to_give_up(etcd: Host) -> None:
    """systemd keeps its count over a restart that was asked for."""
    etcd.server.stop()
    etcd.systemd.properties = {"NRestarts": "7", "Result": "success"}
    result = etcd.run(healthy={"url": etcd.server.url, "within": 1})
    assert "ends again and again" not in result["msg"]


def test_an_unhealthy_process_with_the_right_inputs_is_not_restarted_but_told(etcd: Host) -> None:
    etcd.run()
    pid = etcd.pid
    etcd.server.status = 503
    result = etcd.run()
    assert result["failed"]
    assert etcd.pid == pid
    assert etcd.systemd.verbs() == []


def test_state_healthy_only_waits(etcd: Host) -> None:
    result = etcd.run(state="healthy")
    assert (result["changed"], result["diff"]) == (False, [])
    assert not etcd.pid
    etcd.server.status = 503
    assert etcd.run(state="healthy")["failed"]
    del etcd.wish["healthy"]
    assert "missing: healthy" in etcd.run(state="healthy")["msg"]


# ---- killed runs ----


def what_runs_is_what_is_wished(etcd: Host) -> None:
    """The process was started after everything on disk became what is wished."""
    result = etcd.run()
    assert not result.get("failed"), result
    assert etcd.systemd.text_of(NAME) == etcd.systemd.unit_file(NAME).read_text()
    assert Path(etcd.path("etc/etcd/config")).read_text() == etcd.wish["files"][0]["content"]
    assert not etcd.run()["changed"]


@pytest.mark.parametrize("command", ["useradd", "daemon-reload", "systemctl enable", "systemctl restart"])
def test_a_first_run_killed_anywhere_is_finished_by_the_next(etcd: Host, command: str) -> None:
    etcd.kill_at(command)
    what_runs_is_what_is_wished(etcd)


@pytest.mark.parametrize("change", [new_content, new_unit, new_binary])
@pytest.mark.parametrize("command", ["daemon-reload", "systemctl restart"])
def test_a_change_killed_anywhere_reaches_the_process_in_the_next_run(
    etcd: Host, change: Callable[[Host], None], command: str
) -> None:
    etcd.run()
    pid = etcd.pid
    change(etcd)
    new_unit(etcd)
    etcd.kill_at(command)
    assert etcd.pid == pid
    what_runs_is_what_is_wished(etcd)
    assert etcd.pid not in (0, pid)


def test_a_process_of_another_making_is_replaced(etcd: Host) -> None:
    etcd.systemd.unit_file(NAME).write_text(UNIT)
    etcd.systemd._start(NAME)
    pid = etcd.pid
    assert etcd.run()["restarted"]
    assert etcd.pid != pid


# ---- oneshot, and files alone ----


def test_a_oneshot_runs_once_and_again_only_for_new_inputs(etcd: Host) -> None:
    etcd.wish["unit"] = UNIT.replace("[Service]\n", "[Service]\nType=oneshot\nRemainAfterExit=yes\n")
    del etcd.wish["healthy"]
    assert etcd.run()["started"]
    result = etcd.run()
    assert (result["changed"], etcd.systemd.verbs()) == (False, [])
    new_content(etcd)
    assert etcd.run()["restarted"]
    assert not etcd.run()["changed"]


def test_a_oneshot_killed_before_it_ran_runs_in_the_next(etcd: Host) -> None:
    etcd.wish["unit"] = UNIT.replace("[Service]\n", "[Service]\nType=oneshot\nRemainAfterExit=yes\n")
    del etcd.wish["healthy"]
    etcd.run()
    new_content(etcd)
    etcd.kill_at("systemctl restart")
    assert etcd.run()["restarted"]


def test_without_a_unit_it_is_files_and_links_only(etcd: Host) -> None:
    wish = {"name": "cni", "files": etcd.wish["files"], "links": etcd.wish["links"]}
    etcd.wish = wish
    assert etcd.run()["changed"]
    assert Path(etcd.path("etc/etcd/config")).exists()
    assert etcd.systemd.verbs() == []
    assert list(etcd.systemd.folder.iterdir()) == []
    assert not etcd.run()["changed"]


def test_a_link_may_lead_to_a_directory(etcd: Host) -> None:
    etcd.wish["links"] = {etcd.path("plugins"): etcd.path("opt/1")}
    assert etcd.run()["started"]
    assert not etcd.run()["changed"]


@pytest.mark.parametrize("unit", [True, False])
def test_nothing_is_switched_to_what_is_not_there(etcd: Host, unit: bool) -> None:
    """Such as a newer version, which a run with a tag of the component alone does not bring."""
    if not unit:
        etcd.wish = {"name": "cni", "files": etcd.wish["files"], "links": etcd.wish["links"]}
    etcd.run()
    before = etcd.everything()
    new_content(etcd)
    etcd.wish["links"] = {etcd.path("bin/etcd"): etcd.path("opt/3/etcd")}
    assert etcd.run(check=True)["changed"]
    result = etcd.run()
    assert result["failed"]
    assert result["msg"] == (
        f"{etcd.path('bin/etcd')} is to lead to {etcd.path('opt/3/etcd')}, which is not on this host. Nothing was changed on it. Run "
        "site.yml without tags, or with the tag release first."
    )
    assert etcd.everything() == before
    assert etcd.systemd.verbs() == []


# ---- check mode ----


def test_check_mode_on_a_bare_host_tells_all_and_touches_nothing(etcd: Host) -> None:
    before = etcd.everything()
    result = etcd.run(check=True)
    assert result["changed"]
    assert {"user etcd", etcd.path("etc/etcd/config"), etcd.path("bin/etcd"), NAME} <= set(changed_paths(result))
    assert etcd.everything() == before
    assert etcd.systemd.verbs() == []
    assert "etcd" not in etcd.systemd.users
    assert etcd.server.asked == []


def test_check_mode_before_a_change_tells_of_the_restart(etcd: Host) -> None:
    etcd.run()
    pid, before = etcd.pid, etcd.everything()
    new_content(etcd)
    for more in ({}, {"restart": "defer"}):
        result = etcd.run(check=True, **more)
        assert result["changed"]
        assert [(entry["before"], entry["after"]) for entry in result["diff"]] == [
            ("quota: 1\n", "quota: 2\n"),
            ("running with other inputs\n", "restarted\n"),
        ]
    assert (etcd.pid, etcd.everything()) == (pid, before)


def test_check_mode_with_nothing_to_change_says_so(etcd: Host) -> None:
    etcd.run()
    assert not etcd.run(check=True)["changed"]


# ---- removing ----


def test_remove_takes_all_but_data_and_what_others_use(etcd: Host) -> None:
    etcd.run()
    Path(etcd.path("lib/etcd/member")).write_text("data")
    Path(etcd.path("etc/others")).write_text("x")
    etcd.systemd.users["etcd"] = 990
    result = etcd.run(state="absent")
    assert result["changed"]
    assert "etcd" in etcd.systemd.users
    assert not etcd.pid
    assert NAME not in etcd.systemd.enabled
    assert etcd.systemd.verbs() == ["disable", "daemon-reload"]
    left = set(etcd.everything()) - {"opt", "opt/1", "opt/1/etcd", "opt/2", "opt/2/etcd", "server.crt", "bin"}
    assert left == {"etc", "etc/others", "lib", "lib/etcd", "lib/etcd/member"}
    assert not list(etcd.systemd.folder.iterdir())
    assert not Path(etcd.root.parent / "inputs" / "etcd").exists()


def test_somebody_elses_service_is_not_replaced(etcd: Host) -> None:
    """Such as a distribution's, where a role is used alone and nothing has looked at the host before."""
    path = etcd.systemd.unit_file(NAME)
    path.write_text(THEIRS)
    etcd.systemd.run_command(["systemctl", "restart", NAME])
    pid, before = etcd.pid, etcd.everything()
    for check in (True, False):
        result = etcd.run(check=check)
        assert result["failed"]
        assert f"This host runs the service etcd of somebody else's ({path}), which would be replaced." in result["msg"]
    assert (etcd.pid, etcd.everything()) == (pid, before)
    etcd.systemd.run_command(["systemctl", "disable", "--now", NAME])
    assert etcd.run()["started"]


def test_remove_leaves_somebody_elses_unit_of_that_name(etcd: Host, capsys: pytest.CaptureFixture) -> None:
    """Such as where a run was refused for it, and the host is reset: its data may lie where ours would."""
    path, data = etcd.systemd.unit_file(NAME), Path(etcd.path("lib/etcd"))
    path.write_text(THEIRS)
    data.mkdir(parents=True)
    (data / "member").write_text("data")
    etcd.systemd.users["etcd"] = 990
    etcd.systemd.run_command(["systemctl", "enable", NAME])
    etcd.systemd.run_command(["systemctl", "restart", NAME])
    pid, before = etcd.pid, etcd.everything()
    result = etcd.run(state="absent", remove_data=True)
    assert not result["changed"]
    assert f"etcd was left alone: {path} is somebody else's." in capsys.readouterr().err
    assert (etcd.pid, etcd.everything()) == (pid, before)
    assert NAME in etcd.systemd.enabled
    assert "etcd" in etcd.systemd.users


def test_remove_twice_changes_nothing_more(etcd: Host) -> None:
    etcd.systemd.users["etcd"] = os.getuid()
    etcd.wish["user"] = None
    etcd.run()
    etcd.run(state="absent")
    result = etcd.run(state="absent")
    assert (result["changed"], result["diff"]) == (False, [])
    assert etcd.systemd.verbs() == []


def test_remove_leaves_no_unit_that_systemd_remembers_as_failed(etcd: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a member that starts again and again, since the others removed it, and is stopped while it starts."""
    etcd.run()
    stop = etcd.systemd._stop

    def fails(name: str) -> None:
        stop(name)
        etcd.systemd.properties = {"ActiveState": "failed", "SubState": "failed"}

    monkeypatch.setattr(etcd.systemd, "_stop", fails)
    etcd.run(state="absent")
    assert etcd.systemd.verbs() == ["disable", "reset-failed", "daemon-reload"]


def test_remove_of_one_that_failed_and_is_gone(etcd: Host) -> None:
    etcd.systemd.properties = {"ActiveState": "failed", "SubState": "failed"}
    assert etcd.run(check=True, state="absent")["changed"]
    assert etcd.systemd.verbs() == []
    assert etcd.run(state="absent")["changed"]
    assert etcd.systemd.verbs() == ["reset-failed"]


def test_remove_without_data_takes_the_user_too(etcd: Host) -> None:
    etcd.run()
    del etcd.wish["directories"][2]
    etcd.systemd.users["etcd"] = 990
    etcd.run(state="absent")
    assert "etcd" not in etcd.systemd.users


def test_remove_of_data_must_be_asked_for(etcd: Host) -> None:
    etcd.run()
    Path(etcd.path("lib/etcd/member")).write_text("data")
    etcd.systemd.users["etcd"] = 990
    etcd.run(state="absent", remove_data=True)
    assert not Path(etcd.path("lib/etcd")).exists()
    assert not Path(etcd.path("etc")).exists()
    assert "etcd" not in etcd.systemd.users


def test_remove_keeps_data_below_a_directory_that_goes(etcd: Host) -> None:
    etcd.wish["directories"] = [
        {"path": etcd.path("lib/etcd")},
        {"path": etcd.path("lib/etcd/data"), "data": True},
    ]
    etcd.run()
    Path(etcd.path("lib/etcd/data/member")).write_text("data")
    etcd.run(state="absent")
    assert Path(etcd.path("lib/etcd/data/member")).read_text() == "data"


def test_remove_leaves_what_stands_where_a_link_was(etcd: Host) -> None:
    etcd.run()
    Path(etcd.path("bin/etcd")).unlink()
    Path(etcd.path("bin/etcd")).mkdir()
    Path(etcd.path("bin/etcd/mine")).write_text("x")
    etcd.run(state="absent")
    assert Path(etcd.path("bin/etcd/mine")).exists()


def test_remove_in_check_mode_touches_nothing(etcd: Host) -> None:
    etcd.run()
    etcd.systemd.users["etcd"] = 990
    pid, before = etcd.pid, etcd.everything()
    result = etcd.run(check=True, state="absent")
    assert result["changed"]
    assert (etcd.pid, etcd.everything()) == (pid, before)
    assert etcd.systemd.verbs() == []
    assert "etcd" in etcd.systemd.users
