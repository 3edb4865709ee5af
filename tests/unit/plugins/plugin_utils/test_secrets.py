"""What is secret goes its own way; everything else stays where it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.secrets import all_apart, apart, contents_apart

OPEN = {"path": "/config", "content": "open", "secret": False}
WISH: dict[str, Any] = {
    "name": "etcd",
    "unit": "x",
    "files": [OPEN, {"path": "/key", "content": "hidden", "mode": "0600", "secret": True}],
}


def test_secret_contents_are_taken_out_and_nothing_else() -> None:
    wish, secrets = apart(WISH)
    assert secrets == {"/key": "hidden"}
    assert wish == {
        "name": "etcd",
        "unit": "x",
        "files": [OPEN, {"path": "/key", "mode": "0600", "secret": True}],
    }


def test_the_wish_itself_is_not_touched() -> None:
    before = copy.deepcopy(WISH)
    apart(WISH)
    all_apart({"etcd": WISH})
    assert before == WISH


@pytest.mark.parametrize("wish", [{"name": "cni"}, {"name": "cni", "files": []}, {"name": "cni", "files": None}])
def test_without_files_nothing_is_secret(wish: dict[str, Any]) -> None:
    assert apart(wish) == (wish, {})


def test_what_only_the_controller_may_know_stays_there() -> None:
    """The Lease's passphrase opens the authorities."""
    wish = {"name": "etcd", "files": [], "lease": {"pki_dir": "/pki", "passphrase": "hidden", "servers": []}}
    assert "hidden" not in str(apart(wish))


def test_several_keep_their_roles_and_order_and_share_one_dict_of_secrets() -> None:
    other = {"name": "kubelet", "files": [{"path": "/token", "content": "hidden too", "secret": True}]}
    wishes, secrets = all_apart({"zeta": WISH, "alpha": other})
    assert list(wishes) == ["zeta", "alpha"]
    assert wishes["zeta"] == apart(WISH)[0]
    assert secrets == {"/key": "hidden", "/token": "hidden too"}
    assert "hidden" not in str(wishes)
    assert all_apart({}) == ({}, {})


def test_what_secrets_of_the_api_hold_is_taken_out_and_nothing_else() -> None:
    config = {"kind": "ConfigMap", "data": {"a": "open"}}
    secret = {"kind": "Secret", "type": "Opaque", "data": {"a": "aGlkZGVu"}, "stringData": {"b": "hidden"}}
    given = [config, secret, {"kind": "Secret"}]
    before = copy.deepcopy(given)
    assert contents_apart(given) == (
        [config, {"kind": "Secret", "type": "Opaque"}, {"kind": "Secret"}],
        {"1": {"data": {"a": "aGlkZGVu"}, "stringData": {"b": "hidden"}}},
    )
    assert given == before
    assert contents_apart([]) == ([], {})


def test_objects_that_make_no_sense_are_left_to_the_module() -> None:
    assert contents_apart(None) == (None, {})
    assert contents_apart(["x"]) == (["x"], {})
