"""Every finding in one message."""

from __future__ import annotations

from types import SimpleNamespace


def test_all_findings_stand_in_one_message(host: SimpleNamespace) -> None:
    findings = {"cp2": ["has no openssl."], "": ["the group etcd is empty."], "cp1": ["one.", "two."], "w1": []}
    result = host.run_action("refuse", {"what": "This inventory can't become a cluster", "findings": findings})
    assert result["failed"]
    assert not result["changed"]
    assert result["msg"].splitlines() == [
        "This inventory can't become a cluster. Nothing was changed on any host.",
        "- the group etcd is empty.",
        "- cp1: one.",
        "- cp1: two.",
        "- cp2: has no openssl.",
    ]
    assert "w1" not in result["findings"]


def test_what_is_true_of_many_hosts_is_said_once(host: SimpleNamespace) -> None:
    findings = {"cp3": ["three."], "cp2": ["both.", "two."], "cp1": ["one.", "both."], "": ["both."]}
    result = host.run_action("refuse", {"what": "x", "findings": findings})
    assert result["msg"].splitlines()[1:] == [
        "- both.",
        "- cp1: one.",
        "- cp1, cp2: both.",
        "- cp2: two.",
        "- cp3: three.",
    ]


def test_without_findings_the_run_goes_on(host: SimpleNamespace) -> None:
    for findings in ({}, {"cp1": []}, None):
        result = host.run_action("refuse", {"what": "x", "findings": findings})
        assert result == {"changed": False, "findings": {}}


def test_what_was_not_changed_may_be_less_than_all(host: SimpleNamespace) -> None:
    args = {"what": "Role etcd can't be used so", "findings": {"cp1": ["one."]}, "untouched": "It changed nothing."}
    assert host.run_action("refuse", args)["msg"] == "Role etcd can't be used so. It changed nothing.\n- cp1: one."
