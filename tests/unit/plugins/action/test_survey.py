"""The controller's half of the survey: it judges certificates, and says which roles these and new releases bring along."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, make_key, public_pem

ROLES = ["containerd", "cni", "etcd"]  # cni is no component
LEAF = {"path": "/etc/etcd/pki/server", "ca": "etcd", "common_name": "cp1", "sans": ["cp1"], "usages": ["server"]}


class Survey:
    """A task, and what the host answers: its todo, and a leaf that serves."""

    def __init__(self, host: SimpleNamespace, pki: Pki) -> None:
        self.host, self.pki = host, pki
        self.asked: list[dict[str, Any]] = []
        self.args: dict[str, Any] = {
            "pki_dir": pki.folder,
            "passphrase": "",
            "settings": {"state": "inspected"},
            "roles": ROLES,
            "components": {"etcd": {"name": "etcd"}, "containerd": {"name": "containerd"}},
            "certificates": {
                "authorities": [{"ca": "etcd", "path": "/etc/etcd/pki/ca.crt"}],
                "certificates": [LEAF],
            },
        }
        public_key = make_key("ecdsa-p256").public_key()
        self.leaf = {"certificate": pki.sign(LEAF, public_key, 30), "public_key": public_pem(public_key)}

    def run(self, *todo: str, answer: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        def execute(name: str, args: dict[str, Any]) -> dict[str, Any]:
            assert name == "survey"
            self.asked.append(args)
            found = {"found": {LEAF["path"]: self.leaf}} if args.get("certificates") else {}
            return answer or {"changed": False, "host": {"node_name": "cp1"}, "todo": list(todo), **found}

        return self.host.run_action("survey", {**self.args, **more}, execute=execute)


@pytest.fixture
def survey(host: SimpleNamespace, pki: Pki) -> Survey:
    return Survey(host, pki)


# ---- what is to do ----


def test_nothing_is_to_do_where_nothing_differs_and_certificates_serve(survey: Survey) -> None:
    assert survey.run() == {"changed": False, "host": {"node_name": "cp1"}, "todo": []}


@pytest.mark.parametrize("empty", [False, True])
def test_a_new_cluster_needs_certificates_and_all_roles(survey: Survey, tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / "none").mkdir()
    result = survey.run("host", "release", pki_dir=str(tmp_path / "none"))
    assert result["todo"] == ["certificates", "cni", "containerd", "etcd", "host", "release"]
    assert (result["changed"], result["host"]) == (False, {"node_name": "cp1"})
    (asked,) = survey.asked
    assert (asked["certificates"], asked["components"]) == ({}, {})  # what names authorities can't be compared yet
    assert asked["settings"] == {"state": "inspected"}
    assert survey.run(pki_dir=str(tmp_path / "none"))["todo"] == ["certificates", "cni", "containerd", "etcd"]


def lost(survey: Survey) -> None:
    survey.leaf = {"certificate": None, "public_key": None}


def renamed(survey: Survey) -> None:
    survey.args["certificates"]["certificates"] = [dict(LEAF, sans=["cp1", "new"])]


def swapped(survey: Survey) -> None:
    survey.leaf["public_key"] = public_pem(make_key("ecdsa-p256").public_key())


def strange(survey: Survey) -> None:
    survey.args["certificates"]["certificates"] = [dict(LEAF, ca="kubernetes")]


@pytest.mark.parametrize("change", [lost, renamed, swapped, strange])
def test_a_certificate_to_renew_brings_certificates_and_every_role(
    survey: Survey, change: Callable[[Survey], None]
) -> None:
    change(survey)
    assert survey.run()["todo"] == ["certificates", "cni", "containerd", "etcd"]


@pytest.mark.parametrize("brings", ["release", "certificates"])
def test_what_processes_are_started_with_brings_every_role(survey: Survey, brings: str) -> None:
    assert survey.run(brings)["todo"] == sorted([brings, *ROLES])


@pytest.mark.parametrize("todo", [["host"], ["etcd"], ["containerd", "host"]])
def test_the_host_or_a_role_brings_no_other(survey: Survey, todo: list[str]) -> None:
    assert survey.run(*reversed(todo))["todo"] == todo


def test_without_a_list_of_roles_they_are_the_components(survey: Survey, tmp_path: Path) -> None:
    assert survey.run("release", roles=None)["todo"] == ["containerd", "etcd", "release"]
    result = survey.run(roles=None, pki_dir=str(tmp_path / "none"))
    assert result["todo"] == ["certificates", "containerd", "etcd"]


def test_a_host_without_certificates_has_none_to_renew(survey: Survey) -> None:
    assert survey.run("etcd", certificates={})["todo"] == ["etcd"]


# ---- what the host is told, and what it answers ----


def test_no_key_and_no_passphrase_goes_to_the_host(survey: Survey, tmp_path: Path) -> None:
    secret = Pki(str(tmp_path / "secret"), "open sesame")
    secret.create("example", 3650, "ecdsa-p256")
    args = copy.deepcopy(survey.args)
    survey.run(pki_dir=secret.folder, passphrase="open sesame")
    (asked,) = survey.asked
    assert set(asked) == {"settings", "components", "certificates", "secrets", "units"}
    assert asked["certificates"]["authorities"][0]["content"] == secret.read("etcd-ca.crt")
    assert "PRIVATE" not in str(asked)
    assert "open sesame" not in str(asked)
    assert survey.args == args


@pytest.mark.parametrize(
    "answer", [{"unreachable": True, "msg": "no route"}, {"failed": True, "msg": "this host trusts another authority"}]
)
@pytest.mark.parametrize("fresh", [False, True])
def test_a_host_that_can_not_answer_is_told_as_such(
    survey: Survey, tmp_path: Path, answer: dict[str, Any], fresh: bool
) -> None:
    more = {"pki_dir": str(tmp_path / "none")} if fresh else {}
    assert survey.run(answer=answer, **more) == answer


def test_a_folder_that_lost_a_key_stops_before_any_host_is_asked(survey: Survey) -> None:
    os.unlink(f"{survey.pki.folder}/etcd-ca.key")
    result = survey.run()
    assert (result["failed"], result["changed"]) == (True, False)
    assert "etcd-ca.key" in result["msg"]
    assert survey.asked == []


def test_it_works_with_a_real_module(host: SimpleNamespace, users: Any, survey: Survey, tmp_path: Path) -> None:
    certificates = {
        "authorities": [{"ca": "etcd", "path": f"{tmp_path}/etc/ca.crt"}],
        "certificates": [dict(LEAF, path=f"{tmp_path}/etc/server")],
    }
    access = {"pki_dir": survey.pki.folder, "passphrase": ""}
    args = {**access, "certificates": certificates, "roles": ["etcd"]}
    assert host.run_action("survey", args)["todo"] == ["certificates", "etcd"]
    assert not (tmp_path / "etc").exists()
    assert host.run_action("certificates", {**access, **certificates})["changed"]
    result = host.run_action("survey", args)
    assert result["todo"] == []
    assert "PRIVATE" not in str(result)


# ---- etcd ----

LOOK = {"name": "cp1", "peer_url": "https://cp1:2380", "servers": [], "wal_dir": "/wal", "bootstrap": "/env"}


def test_a_host_looks_at_etcd_with_an_hours_access(survey: Survey) -> None:
    survey.run(etcd=LOOK)
    (asked,) = survey.asked
    assert {name: asked["etcd"][name] for name in LOOK} == LOOK
    assert asked["etcd"]["ca"] == survey.pki.read("etcd-ca.crt")
    assert "PRIVATE KEY" in asked["client_key"]
    assert "PRIVATE" not in str(asked["etcd"])
    assert survey.pki.read("etcd-ca.key") not in str(asked)


def test_before_there_are_authorities_a_host_looks_at_its_disk_only(survey: Survey, tmp_path: Path) -> None:
    survey.run(etcd=LOOK, pki_dir=str(tmp_path / "none"))
    (asked,) = survey.asked
    assert asked["etcd"] == LOOK
    assert "client_key" not in asked


def test_a_host_without_etcd_gets_no_access(survey: Survey) -> None:
    survey.run(etcd={})
    assert "client_key" not in survey.asked[0]


# ---- the clock ----


def test_a_wrong_clock_is_a_finding_of_the_host(survey: Survey) -> None:
    wished = {"settings": {"state": "inspected", "maximum_clock_skew": 10}, "certificates": {}}
    answer = {"changed": False, "host": {"findings": []}, "todo": [], "clock": time.time() + 100}
    (found,) = survey.run(answer=answer, **wished)["host"]["findings"]
    assert "differs by 99 s" in found or "differs by 100 s" in found
    answer = {"changed": False, "host": {"findings": []}, "todo": [], "clock": time.time()}
    assert survey.run(answer=answer, **wished)["host"]["findings"] == []
