# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: to_unit
short_description: The text of a systemd unit from data
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Sections hold settings. A list repeats a setting, None leaves it out.
  - Of several units, a later one's settings take the place of an earlier one's. C(Environment) comes beside the earlier one's,
    whose variables the components need, unless it is None.
  - C(ExecStart) given as a list of words is one command with its arguments, quoted as systemd wants it; a list of such lists
    is several.
options:
  _input:
    description: Sections of the unit, or a list of such units.
    type: raw
    required: true
"""

EXAMPLES = r"""
text: "{{ {'Service': {'ExecStart': ['/bin/true']}} | hardway.kubernetes.to_unit }}"
"""

RETURN = r"""
_value:
  description: The unit.
  type: str
"""

from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import HEADER


def _word(word):
    word = str(word).replace("\\", "\\\\").replace("%", "%%").replace("\n", "\\n")
    if not word or any(character in word for character in " \t\"'$;"):
        return '"%s"' % word.replace('"', '\\"').replace("$", "$$")
    return word


def _value(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def to_unit(units):
    """The text of a unit from a dict of dicts, or from several of them."""
    sections = {}
    for unit in [units] if hasattr(units, "items") else units:
        for section, settings in unit.items():
            present = sections.setdefault(section, {})
            for key, value in settings.items():
                beside = key == "Environment" and value is not None and present.get(key) is not None
                present[key] = _list(present[key]) + _list(value) if beside else value
    lines = [HEADER + "; set the role's variables instead of editing this file."]
    for section, settings in sections.items():
        lines += ["", "[%s]" % section]
        for key, value in settings.items():
            if value is None:
                continue
            if key == "ExecStart" and isinstance(value, (list, tuple)):
                commands = value if value and isinstance(value[0], (list, tuple)) else [value]
                for command in commands:
                    lines.append("ExecStart=" + " \\\n  ".join(_word(word) for word in command))
            elif isinstance(value, (list, tuple)):
                lines += ["%s=%s" % (key, _value(entry)) for entry in value]
            else:
                lines.append("%s=%s" % (key, _value(value)))
    return "\n".join(lines) + "\n"


class FilterModule:
    """The filter to_unit."""

    def filters(self):
        return {"to_unit": to_unit}
