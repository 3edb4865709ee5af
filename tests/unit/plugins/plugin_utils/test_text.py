"""YAML from data."""

from __future__ import annotations

import yaml
from ansible.template import trust_as_template
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.text import to_yaml_text


def test_it_reads_back_in_the_same_order() -> None:
    data = {
        "z": 1,
        "a": {"list": [1, "two", None, True], "empty": {}},
        "text": "yes",
        "number": "012",
        "lines": "a\nb\n",
    }
    text = to_yaml_text(data)
    assert yaml.safe_load(text) == data
    assert list(yaml.safe_load(text)) == list(data)


def test_text_that_carries_its_origin_becomes_plain() -> None:
    assert to_yaml_text({"a": trust_as_template("x")}) == "a: x\n"
