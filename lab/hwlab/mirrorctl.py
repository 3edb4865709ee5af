"""The lab's mirror: a web server of release files at the bridge's address, for the lab's hosts only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from hwlab import cgroups, network, proc
from hwlab.paths import Lab
from hwlab.ui import LabError, tail

GROUP = "_mirror"  # no host's name starts so


def running(lab: Lab) -> bool:
    """Whether the lab's mirror runs."""
    identity = proc.Identity.read(lab.mirror_pid)
    return identity is not None and identity.alive()


def ensure(lab: Lab, address: str, directory: Path) -> None:
    """Starts the mirror unless it runs, and waits until it answers."""
    if not running(lab):
        stop(lab)
        directory.mkdir(parents=True, exist_ok=True)
        serve = [sys.executable, "-m", "hwlab.mirror", "--bind", address, "--port", str(network.MIRROR_PORT)]
        command = [*network.enter(lab.netns), *serve, "--directory", str(directory)]
        on_systemd = cgroups.unified() and Path("/run/systemd/system").is_dir()
        groups = [] if on_systemd else cgroups.prepare(lab.id, GROUP)
        with lab.mirror_log.open("ab") as log:
            process = subprocess.Popen(
                cgroups.join_command(groups, command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(lab.repository / "lab"), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        proc.Identity.of(process.pid).write(lab.mirror_pid)
    deadline = time.monotonic() + 15
    while not network.inside(lab.netns, lambda: network.listens(address, network.MIRROR_PORT)):
        if not running(lab) or time.monotonic() > deadline:
            raise LabError(f"the lab's mirror does not answer; the end of {lab.mirror_log}:\n{tail(lab.mirror_log)}")
        time.sleep(0.05)


def stop(lab: Lab) -> None:
    """Ends the mirror."""
    cgroups.kill(lab.id, GROUP)
    identity = proc.Identity.read(lab.mirror_pid)
    if identity is not None and identity.alive():
        proc.kill_all(lambda: [identity.pid] if identity.alive() else [])
    lab.mirror_pid.unlink(missing_ok=True)
