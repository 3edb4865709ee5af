"""The controller's clock, which hosts' clocks are compared with, is the same in every time zone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
ANSIBLE = Path(sys.executable).parent / "ansible"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_seconds_since_1970(zone):
    """As Python counts them."""
    result = subprocess.run(
        [str(ANSIBLE), "localhost", "-e", "@roles/cluster/vars/main.yml"]
        + ["-m", "ansible.builtin.debug", "-a", "var=__cluster__now"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env=dict(os.environ, TZ=zone, ANSIBLE_NOCOLOR="1"),
    )
    told = json.loads(result.stdout[result.stdout.index("{") :])["__cluster__now"]
    assert abs(float(told) - time.time()) < 60
