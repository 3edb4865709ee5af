"""ansible-playbook as a user runs it in this checkout, with nothing of the caller's own settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


def ansible_playbook(
    *arguments: str | Path, cwd: Path = REPOSITORY, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end.

    :arg cwd: where, since ansible.cfg is looked for there.
    :arg environment: variables that are set.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [PLAYBOOK, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**kept, **environment},
        timeout=900,
    )


def green(*arguments: str | Path) -> str:
    """What a run printed that ended well."""
    done = ansible_playbook(*arguments)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """All that a run printed."""
    return re.sub(r"\s+", " ", done.stdout + done.stderr)


def refused(*arguments: str | Path, cwd: Path = REPOSITORY, **environment: str) -> str:
    """What a run said, on one line, that stopped before it touched a host."""
    done = ansible_playbook(*arguments, cwd=cwd, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "UNREACHABLE" not in done.stdout
    assert "Compare the host with what is wished" not in done.stdout  # the first task that touches a host
    return one_line(done)
