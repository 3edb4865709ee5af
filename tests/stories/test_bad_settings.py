"""A setting that a component can't start with stops at the first host of it; the others keep serving; mended, it heals."""

from __future__ import annotations

import json

import pytest
from lab_cluster import group, processes, restarted, through

HOSTS = group("kube_node")
CASES = {
    "a flag that does not exist": (
        "kube-scheduler",
        {"kube_scheduler__flags": {"no-such-flag": "1"}},
        "unknown flag: --no-such-flag",
    ),
    "a cipher that does not exist": (
        "kube-apiserver",
        {"kube_apiserver__flags": {"tls-cipher-suites": "TLS_WRONG"}},
        "TLS_WRONG",
    ),
    "an admission file with an error": (
        "kube-apiserver",
        {"kube_apiserver__admission_config": {"plugins": [{"name": "PodSecurity", "configuration": {"kind": 7}}]}},
        "kube-apiserver",
    ),
    "a flag of etcd that does not exist": ("etcd", {"etcd__flags": {"no-such-flag": "1"}}, "no-such-flag"),
}

MANAGERS = {"kube-controller-manager", "kube-scheduler"}
FOLLOWS = {
    "kube-scheduler": {"kube-scheduler"},
    "kube-apiserver": {"kube-apiserver"} | MANAGERS,
    "etcd": {"etcd", "kube-apiserver"} | MANAGERS,
}


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize("what", CASES)
def test_it_stops_at_the_first_host_and_heals(what, on, playbook, kubectl):
    """One host's member is down with the reason in the message; every other host runs the same processes as before."""
    unit, settings, words = CASES[what]
    before = processes(on, HOSTS)
    result = playbook("site.yml", "-e", json.dumps(settings))
    after = processes(on, HOSTS)
    assert result.returncode == 2, result.stdout[-4000:]
    assert f"{unit} is not healthy on this host" in result.stdout, result.stdout[-4000:]
    assert "Its last log lines" in result.stdout
    assert words in result.stdout, result.stdout[-4000:]
    assert "was left as it is here" in result.stdout
    changed = restarted(before, after)
    hosts = {name for name, _unit in changed}
    assert len(hosts) == 1, changed
    (host,) = hosts
    # What talks to the host's own API server, and that to its own etcd member, goes with it and comes back by itself.
    assert (host, unit) in changed <= {(host, name) for name in FOLLOWS[unit]}, changed
    for name in set(group("kube_apiserver")) - hosts:
        assert through(kubectl, name)("get", "--raw", "/readyz") == "ok"
    mended = playbook("site.yml")
    assert mended.returncode == 0, mended.stdout[-4000:]
    assert {name for name, _unit in restarted(before, processes(on, HOSTS))} == {host}
    assert on(host).service(unit).is_running
