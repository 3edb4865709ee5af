"""Hosts' clocks, judged on the controller by the three actions that look at a host."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.clock import wrong_by


@pytest.mark.parametrize(
    ("told", "skew"),
    [(99.0, -1), (100.0, 0), (130.0, 0), (160.0, 0), (161.5, 1.5), (0.0, -100)],
)
def test_only_what_the_way_can_not_explain_counts(told: float, skew: float) -> None:
    """The look began at 100 and its answer came at 160: a busy host may have read its clock at any moment between."""
    assert wrong_by(told, 100.0, 160.0) == skew


def judged(host: SimpleNamespace, name: str, skew: float, **args: Any) -> list[str]:
    """Findings of an action on a host whose clock differs."""

    def execute(_name: str, _args: dict[str, Any]) -> dict[str, Any]:
        return {"changed": False, "findings": ["is small"], "clock": time.time() + skew}

    result = host.run_action(name, args, execute=execute)
    assert "clock" not in result
    assert result["findings"][0] == "is small"
    return result["findings"][1:]


@pytest.mark.parametrize("name", ["host_check", "host_settings"])
def test_a_wrong_clock(host: SimpleNamespace, name: str) -> None:
    for skew in (-3600, 3600):
        (found,) = judged(host, name, skew, maximum_clock_skew=10)
        told = re.search(r"differs by (-?\d+) s", found)
        assert told and abs(int(told.group(1)) - skew) <= 1
        assert "host__maximum_clock_skew allows 10" in found
    for skew in (-9, 0, 9):
        assert judged(host, name, skew, maximum_clock_skew="10") == []
    assert judged(host, name, 3600) == []


@pytest.mark.parametrize("name", ["host_check", "host_settings"])
def test_a_host_that_does_not_answer_has_no_clock(host: SimpleNamespace, name: str) -> None:
    gone = {"unreachable": True, "msg": "no route to host"}
    assert host.run_action(name, {"maximum_clock_skew": 10}, execute=lambda *_: dict(gone)) == gone
