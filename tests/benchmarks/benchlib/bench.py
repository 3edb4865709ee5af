"""Lab hosts of a benchmark's own: booted anew for each measurement, and commands inside their network."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hwlab import cli, hosts, inventory, lifecycle, network, paths, rootfs
from hwlab.paths import Lab

from . import REPOSITORY
from .machine import settle

LAB = str(REPOSITORY / "bin" / "lab")


def in_venv() -> None:
    """Go on in the project's Python environment, where Ansible is, whatever Python started this."""
    found = subprocess.run([str(REPOSITORY / "bin" / "venv")], check=True, stdout=subprocess.PIPE, text=True)
    venv = Path(found.stdout.strip())
    if Path(sys.prefix).resolve() != venv.resolve():
        python = str(venv / "bin" / "python")
        os.execv(python, [python, "-B", *sys.argv])


def say(text: str) -> None:
    """What goes on, beside the report on standard output."""
    print(f"-- {text}", file=sys.stderr, flush=True)


def sample(topology: str) -> Path:
    """The inventory that a topology names."""
    return inventory.directory(REPOSITORY, inventory.named(topology))


def workers_of(base: Path) -> dict[str, dict[str, object]]:
    """The hosts of group worker as an inventory's hosts.yml names them."""
    import yaml  # not everyone who imports this has it

    path = base / "hosts.yml"
    try:
        found = yaml.safe_load(path.read_text())["all"]["children"]["worker"]["hosts"]
    except (OSError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} must hold a group worker below all, with its hosts: {error!r}") from error
    if not found:
        raise SystemExit(f"group worker of {path} has no host to make others like it")
    return dict(found)


def write_inventory(base: Path, target: Path, count: int) -> list[str]:
    """Copies an inventory, with so many workers whose addresses follow the first one's; returns their names."""
    import yaml

    first = ipaddress.IPv4Address(next(iter(workers_of(base).values()))["ansible_host"])
    workers = {f"worker{number + 1}": {"ansible_host": str(first + number)} for number in range(count)}
    shutil.copytree(base, target)
    path = target / "hosts.yml"
    content = yaml.safe_load(path.read_text())
    content["all"]["children"]["worker"]["hosts"] = workers
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return list(workers)


@dataclass(frozen=True)
class Bench:
    """One lab that lives as long as a measurement."""

    name: str
    inventory: Path

    @property
    def lab(self) -> Lab:
        """The lab of that name of this clone."""
        return Lab(self.name)

    def boot(self) -> None:
        """Fresh hosts with what they will fetch in the machine's memory, and quiet again after their boot."""
        self.down()
        subprocess.run(
            [LAB, "hosts", "up", "--name", self.name, "--kind", "nspawn", "--topology", str(self.inventory)], check=True
        )
        warm()
        settle()

    def down(self) -> None:
        """Takes the lab away."""
        subprocess.run([LAB, "down", "--name", self.name], check=True)

    @contextmanager
    def booted(self, keep: bool = False) -> Iterator[None]:
        """Fresh hosts, which go away again; with keep not those of a measurement that failed."""
        try:
            self.boot()
            yield
        except BaseException:
            if keep:
                say(f"the hosts stay: bin/lab ssh --name {self.name} HOST; in the end: bin/lab down --name {self.name}")
            else:
                self.down()
            raise
        self.down()

    def environment(self, topology: Path | None = None) -> dict[str, str]:
        """What a command gets from `bin/lab exec`; with another inventory, that one instead of the lab's."""
        state = lifecycle.need_network(self.lab)
        found = cli.environment(self.lab, state, dict(os.environ))
        if topology:
            found["ANSIBLE_INVENTORY"] = f"{topology},{self.lab.inventory}"
        return found

    def inside(self, *command: str) -> list[str]:
        """A command in the lab's network, as `bin/lab exec` becomes it: no process of the lab stays between."""
        return [*network.enter(self.lab.netns), "--", *command]

    def ssh(self, host: str, command: str) -> list[str]:
        """A plain SSH call to a host, for its shell."""
        address = lifecycle.address_of(self.lab, host)
        options = [*inventory.ssh_options(self.lab), "-i", str(self.lab.key)]
        return self.inside("ssh", *options, f"{inventory.USER}@{address}", command)

    @property
    def hosts(self) -> list[str]:
        """All hosts of the lab."""
        return hosts.made(self.lab)

    @property
    def mirror(self) -> str:
        """Where hosts find release files."""
        return lifecycle.mirror_url(lifecycle.need(self.lab))


def warm() -> None:
    """Reads release files and the hosts' shared root once, so that no measurement waits for the machine's disk."""
    start = time.monotonic()
    read = 0
    for folder in (paths.cache() / "mirror", rootfs.directory(paths.cache(), rootfs.architecture())):
        for path in folder.rglob("*"):
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    read += len(block)
    say(f"{read >> 20} MiB of release files and root read in {time.monotonic() - start:.1f} s")
