"""The lab's inventory and connections to its hosts, for tests that run inside the lab's network."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra

REPOSITORY = Path(__file__).resolve().parents[2]


def _inventory() -> dict[str, Any]:
    if "LAB_DIR" not in os.environ:
        raise pytest.UsageError("run these tests inside a lab: bin/lab exec -- pytest tests/testinfra")
    listing = subprocess.run(
        ["ansible-inventory", "--list"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    return json.loads(listing.stdout)


INVENTORY = _inventory()
HOSTVARS: dict[str, dict[str, Any]] = INVENTORY["_meta"]["hostvars"]


def group(name: str) -> list[str]:
    """Names of the hosts of a group, those of its children too."""
    listed = INVENTORY.get(name, {})  # ansible leaves empty groups out
    found = list(listed.get("hosts", []))
    for child in listed.get("children", []):
        found += group(child)
    return list(dict.fromkeys(found))


def connect(name: str) -> Any:
    """A testinfra host, as root, over the lab's own SSH settings."""
    variables = HOSTVARS[name]
    return testinfra.get_host(
        f"ssh://{variables['ansible_user']}@{variables['ansible_host']}",
        ssh_identity_file=variables["ansible_ssh_private_key_file"],
        ssh_extra_args=f"{variables['ansible_ssh_common_args']} {variables['ansible_ssh_args']}",
        sudo=True,
    )


def changed(output: str) -> dict[str, int]:
    """Host to its count of changes, from a play recap."""
    found = {}
    for line in output.split("PLAY RECAP", 1)[1].splitlines()[1:]:
        if " : " in line:
            counts = dict(part.split("=") for part in line.split(" : ")[1].split())
            found[line.split(" : ")[0].strip()] = int(counts["changed"])
    return found
