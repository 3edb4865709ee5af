# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: to_flags
short_description: Command-line flags from a dict
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Keys become C(--key=value), in order of their names. None leaves a flag out; a list is joined with commas.
options:
  _input:
    description: Flags, or a list of such dicts of which a later one's flags take the place of an earlier one's.
    type: raw
    required: true
"""

EXAMPLES = r"""
arguments: "{{ {'v': 2, 'profiling': false} | hardway.kubernetes.to_flags }}"  # --profiling=false, --v=2
"""

RETURN = r"""
_value:
  description: The flags.
  type: list
"""


def to_flags(flags):
    """A list of --key=value from a dict, or from several of them."""
    if not hasattr(flags, "items"):
        flags = {key: value for layer in flags for key, value in layer.items()}
    found = []
    for key, value in sorted(flags.items()):
        if value is None:
            continue
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, (list, tuple)):
            value = ",".join(str(part) for part in value)
        elif isinstance(value, dict):
            value = ",".join("%s=%s" % part for part in sorted(value.items()))
        found.append("--%s=%s" % (key, value))
    return found


class FilterModule:
    """The filter to_flags."""

    def filters(self):
        return {"to_flags": to_flags}
