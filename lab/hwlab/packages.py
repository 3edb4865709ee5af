"""Debian packages that this machine lacks, installed by one thread of one command at a time: apt refuses company."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from hwlab import locks, paths, proc
from hwlab.ui import LabError


def install(names: Iterable[str]) -> None:
    """Installs packages; a person without root, or with another packager, is told their names."""
    missing = sorted(names)
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabError(
            f"this machine lacks what Debian and Ubuntu have in these packages: {' '.join(missing)}; install them"
        )
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    with locks.locked(paths.cache() / "packages.lock"):
        proc.run([*quiet, "update"])
        proc.run([*quiet, "-o", "DPkg::Lock::Timeout=300", "install", "--yes", "--no-install-recommends", *missing])
