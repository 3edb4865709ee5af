"""The lookup cluster_hosts, found by its full name as in a play's hosts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template

USUAL = ["kube_apiserver", "etcd", "kube_controller_manager", "kube_scheduler", "kube_node"]


def look(groups: list[str] | dict[str, list[str]], *parts: str, **names: str) -> str:
    variables: dict[str, Any] = {name: trust_as_template(value) for name, value in names.items()}
    variables["groups"] = {name: [] for name in ["all", "ungrouped", *groups]}
    variables["groups"].update(groups if isinstance(groups, dict) else {})
    templar = Templar(loader=DataLoader(), variables=variables)
    plugin = lookup_loader.get("hardway.kubernetes.cluster_hosts", loader=DataLoader(), templar=templar)
    (pattern,) = plugin.run(list(parts), variables=variables)
    return pattern


def test_the_groups_that_are_there_with_api_servers_first() -> None:
    assert look(sorted(USUAL)) == ":".join(USUAL)
    assert look([*USUAL, "load_balancer", "others"]) == ":".join([*USUAL, "load_balancer"])
    assert look(["etcd", "kube_node"]) == "etcd:kube_node"


def test_groups_of_other_names() -> None:
    names = {f"cluster_{part}_group": f"my_{part}" for part in USUAL}
    assert look([f"my_{part}" for part in USUAL] + ["etcd"], **names) == ":".join(f"my_{part}" for part in USUAL)


def test_one_group_for_several_parts_is_named_once() -> None:
    names = {
        "cluster_kube_controller_manager_group": "kube_apiserver",
        "cluster_kube_scheduler_group": "kube_apiserver",
    }
    assert look(["kube_apiserver", "etcd", "kube_node"], **names) == "kube_apiserver:etcd:kube_node"


def test_a_name_that_is_a_template() -> None:
    assert look(["shop_etcd"], shop="shop", cluster_etcd_group="{{ shop }}_etcd") == "shop_etcd"


def test_an_inventory_with_none_of_them_is_an_error_in_words() -> None:
    with pytest.raises(AnsibleLookupError) as error:
        look(["web"], cluster_etcd_group="stores")
    for word in ("none of the groups kube_apiserver, stores,", "-e or with vars of import_playbook", "docs/reuse.md"):
        assert word in str(error.value)


def test_without_an_inventory_there_is_nothing_to_tell() -> None:
    assert look([]) == ":".join([*USUAL, "load_balancer"])


def test_hosts_in_no_group_are_an_inventory_too() -> None:
    """As with -i h1,h2, on which every play would be passed over."""
    with pytest.raises(AnsibleLookupError, match="none of the groups kube_apiserver"):
        look({"all": ["h1", "h2"], "ungrouped": ["h1", "h2"]})


def test_a_part_that_must_have_hosts() -> None:
    """Else its play is passed over: the group has another name in the inventory's variables, or nobody is in it."""
    assert look({"etcd": ["e1"], "kube_apiserver": ["a1"]}, "kube_apiserver") == "kube_apiserver:etcd"
    named = {"cluster_kube_apiserver_group": "masters"}
    assert look({"etcd": ["e1"], "masters": ["a1"]}, "kube_apiserver", **named) == "masters:etcd"
    for groups in ({"etcd": ["e1"], "masters": ["a1"]}, {"etcd": ["e1"], "kube_apiserver": []}):
        with pytest.raises(AnsibleLookupError) as error:
            look(groups, "kube_apiserver")
        for word in ("no host in the group kube_apiserver", "-e or with vars of import_playbook", "docs/reuse.md"):
            assert word in str(error.value)
    assert look([], "kube_apiserver") == ":".join([*USUAL, "load_balancer"])
