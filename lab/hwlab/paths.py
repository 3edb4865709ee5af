"""Where a lab's things lie."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from hwlab.ui import LabError

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = Path("/run/hwlab")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


def cache() -> Path:
    """What all labs of all clones share: root file systems, release files, Python environments."""
    named = os.environ.get("HARDWAY_LAB_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "hardway-kubernetes"


@dataclass(frozen=True)
class Lab:
    """One lab: a name within one clone of the repository."""

    name: str
    repository: Path = REPOSITORY

    def __post_init__(self) -> None:
        """Refuses names that would leave .lab/ or a file system's limits."""
        if not _NAME.fullmatch(self.name):
            raise LabError(f"{self.name!r} can't name a lab: use letters, digits, '-', '_', '.', at most 40")

    @property
    def directory(self) -> Path:
        """All that the lab keeps."""
        return self.repository / ".lab" / self.name

    @property
    def id(self) -> str:
        """Unique on this machine: two clones may both have a lab of this name."""
        return hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]

    @property
    def netns(self) -> str:
        """The network namespace's name."""
        return f"hwlab-{self.id}"

    @property
    def run(self) -> Path:
        """What tells other clones of the lab: locks, its record, SSH's sockets (whose paths must be short)."""
        return RUN / self.id

    @property
    def record(self) -> Path:
        """Says whose this lab is."""
        return self.run / "lab.json"

    @property
    def sockets(self) -> Path:
        """SSH's shared connections."""
        return self.run / "ssh"

    @property
    def up_lock(self) -> Path:
        """Held by `up` to its end and by `down`."""
        return RUN / f"{self.id}.up.lock"

    @property
    def hosts_lock(self) -> Path:
        """Held while hosts are made, started, stopped or removed."""
        return RUN / f"{self.id}.hosts.lock"

    @property
    def state(self) -> Path:
        """What the lab was made with."""
        return self.directory / "lab.json"

    @property
    def inventory(self) -> Path:
        """Connection variables, to be used after the topology's own inventory."""
        return self.directory / "inventory"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, made by the playbooks."""
        return self.directory / "kubeconfig"

    @property
    def controller(self) -> Path:
        """What stays with the controller: CAs and keys."""
        return self.directory / "controller"

    @property
    def key(self) -> Path:
        """The private key for SSH."""
        return self.directory / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' public keys."""
        return self.directory / "ssh" / "known_hosts"

    @property
    def bin(self) -> Path:
        """Commands of the cluster's version, first on exec's PATH."""
        return self.directory / "bin"

    @property
    def mirror_pid(self) -> Path:
        """The mirror's process."""
        return self.directory / "mirror.pid"

    @property
    def mirror_log(self) -> Path:
        """What the mirror was asked for."""
        return self.directory / "mirror.log"

    def host(self, name: str) -> Path:
        """A host's disk and records."""
        return self.directory / "hosts" / name

    def console(self, name: str) -> Path:
        """What the host wrote to its console."""
        return self.directory / "hosts" / f"{name}.console"
