"""What is read of systemd, and from a process's own environment."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import INPUTS_VARIABLE, Unit


def unit_of(host: SimpleNamespace, journal: str = "", **properties: object) -> Unit:
    module = host.FakeModule()
    shown = "".join(f"{key}={value}\n" for key, value in properties.items())
    module.answers = {"systemctl": (0, shown, ""), "journalctl": (0, journal, "")}
    return Unit(module, "etcd")


@pytest.mark.parametrize(
    ("properties", "running"),
    [
        ({"ActiveState": "active", "SubState": "running", "MainPID": "12"}, True),
        ({"ActiveState": "activating", "SubState": "start", "MainPID": "12"}, True),
        ({"ActiveState": "active", "SubState": "exited", "MainPID": "0"}, True),
        ({"ActiveState": "failed", "SubState": "failed", "MainPID": "0"}, False),
        ({"ActiveState": "activating", "SubState": "auto-restart", "MainPID": "0"}, False),
        ({"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}, False),
        ({}, False),
    ],
)
def test_running(host: SimpleNamespace, properties: dict[str, str], running: bool) -> None:
    assert unit_of(host, **properties).running is running


def test_words(host: SimpleNamespace) -> None:
    unit = unit_of(host, ActiveState="failed", SubState="failed", UnitFileState="enabled")
    assert unit.enabled
    assert unit.state == "failed (failed)"
    assert not unit_of(host, UnitFileState="static").enabled


def test_inputs_stand_in_the_process_itself(host: SimpleNamespace) -> None:
    command = ["/bin/sh", "-c", "echo started; read -r end"]  # its word tells that the kernel has set it up
    variables = {"PATH": "/usr/bin:/bin", INPUTS_VARIABLE: "abc=def", "B": "2"}
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"started\n"
            assert unit_of(host, MainPID=process.pid).process_inputs() == "abc=def"
        finally:
            process.kill()


def test_a_process_without_inputs_or_without_a_process_has_none(host: SimpleNamespace) -> None:
    assert INPUTS_VARIABLE not in os.environ
    assert unit_of(host, MainPID=os.getpid()).process_inputs() is None
    assert unit_of(host, MainPID=0).process_inputs() is None
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    assert unit_of(host, MainPID=process.pid).process_inputs() is None


@pytest.mark.parametrize(
    ("properties", "crashed"),
    [
        ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}, True),
        ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "3", "Result": "exit-code"}, True),
        ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "2"}, False),
        ({"ActiveState": "active", "SubState": "running", "NRestarts": "0"}, False),
    ],
)
def test_crashed(host: SimpleNamespace, properties: dict[str, str], crashed: bool) -> None:
    reason = unit_of(host, **properties).crashed()
    assert bool(reason) is crashed
    if crashed:
        assert "result exit-code" in reason


def test_a_process_that_lives_for_a_while_each_time_is_waited_for(host: SimpleNamespace) -> None:
    """Seen on slow hosts: kube-controller-manager ended three times, each after two minutes without an answer of the API."""
    often = unit_of(host, ActiveState="active", SubState="running", NRestarts="4", Result="success")
    assert often.crashed(before=1, seconds=20)
    assert often.crashed(before=1, seconds=360) is None
    assert unit_of(host, ActiveState="failed", SubState="failed", Result="exit-code").crashed(seconds=360)


# ---- the journal ----

USAGE = [f"usage {number}" for number in range(40)]


def lines_of(host: SimpleNamespace, *processes: tuple[str | None, list[str]]) -> list[str]:
    """What is told of a journal; by process, or by systemd itself (None), in the order of their lines."""
    return unit_of(host, "".join(host.journal(run, *lines) for run, lines in processes)).last_lines()


def test_short_logs_are_told_whole(host: SimpleNamespace) -> None:
    assert lines_of(host, (None, ["Starting"]), ("a", ["one", "two"])) == ["Starting", "one", "two"]
    assert lines_of(host) == []


def test_of_a_long_one_the_first_lines_are_told_too(host: SimpleNamespace) -> None:
    """Some say what is wrong first and then how they are used."""
    told = lines_of(host, ("a", ["unknown flag", *USAGE]), (None, ["Failed with result"]))
    assert told[0] == "unknown flag"
    assert told[5] == "..."
    assert told[-2:] == ["usage 39", "Failed with result"]
    assert len(told) == 15


def test_what_systemd_says_hides_no_first_line(host: SimpleNamespace) -> None:
    """etcd says fourteen lines about a wrong flag, and systemd six more about that."""
    told = lines_of(host, ("a", ["unknown flag", *USAGE[:13]]), (None, [f"systemd {number}" for number in range(6)]))
    assert "unknown flag" in told
    assert told[-1] == "systemd 5"


@pytest.mark.parametrize("next_one", [[], ["only its version so far"]])
def test_the_next_try_never_hides_the_reason_of_the_last_one(host: SimpleNamespace, next_one: list[str]) -> None:
    """systemd starts it again and again, and the newest try may have said nothing yet."""
    told = lines_of(host, ("a", ["unknown flag", *USAGE]), (None, ["Starting"]), ("b", next_one))
    assert "unknown flag" in told


def test_a_next_try_in_the_middle_of_its_words_hides_nothing(host: SimpleNamespace) -> None:
    """kube-scheduler says how it is used, and what is wrong in its last line."""
    told = lines_of(host, ("a", [*USAGE, "unknown flag"]), (None, ["restart"]), ("b", USAGE[:30]))
    assert told[-2:] == [USAGE[-1], "unknown flag"]
    assert told[:6] == [*USAGE[:5], "..."]


def test_bytes_that_are_no_text_are_told_as_well_as_can_be(host: SimpleNamespace) -> None:
    unit = unit_of(host, '{"MESSAGE": [104, 105, 255], "_SYSTEMD_UNIT": "etcd.service"}\n{"MESSAGE": null}\n')
    assert unit.last_lines() == ["hi\ufffd", ""]
