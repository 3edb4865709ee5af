# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text from data, on the controller."""

from __future__ import annotations

import json

import yaml


def to_yaml_text(data):
    """YAML text in the order of the data. Ansible's own kinds of text, which carry their origin, become plain first."""
    return yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False)
