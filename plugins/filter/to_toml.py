# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: to_toml
short_description: TOML from data
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Writes dicts, lists, text, numbers and truth values; None leaves a key out. What containerd's configuration needs.
options:
  _input:
    description: The data.
    type: dict
    required: true
"""

EXAMPLES = r"""
text: "{{ {'version': 3} | hardway.kubernetes.to_toml }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

import json
import re


def _scalar(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(_scalar(entry) for entry in value)
    if isinstance(value, dict):
        return "{%s}" % ", ".join(
            "%s = %s" % (_key(key), _scalar(inner)) for key, inner in value.items() if inner is not None
        )
    # TOML's basic strings escape as JSON's do.
    return json.dumps(str(value), ensure_ascii=False)


def _key(key):
    return key if re.match(r"^[A-Za-z0-9_-]+$", key) else json.dumps(key)


def _table(data, path):
    lines = [
        "%s = %s" % (_key(key), _scalar(value))
        for key, value in data.items()
        if not isinstance(value, dict) and value is not None
    ]
    if path and (lines or not data):
        lines = ["", "[%s]" % ".".join(map(_key, path))] + lines
    for key, value in data.items():
        if isinstance(value, dict):
            lines += _table(value, path + [key])
    return lines


def to_toml(data):
    """TOML text from a dict; plain values of a table come before its tables, as TOML demands."""
    return "\n".join(_table(data, [])).lstrip("\n") + "\n"


class FilterModule:
    """The filter to_toml."""

    def filters(self):
        return {"to_toml": to_toml}
