"""Somebody else's repository: the built tarball in a collections folder of its own, and nothing of this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from lab_cluster import ANSWERED_WITHIN, HOSTVARS, REPOSITORY

SAMPLE = REPOSITORY / "tests" / "reuse" / "repository"
# The lab's names of the hosts that the repository knows by address.
_NAMES = {variables["ansible_host"]: name for name, variables in HOSTVARS.items()}
FIRST_THREE = [_NAMES.get(f"192.168.60.1{number}") for number in (1, 2, 3)]
FOURTH, FIFTH = _NAMES.get("192.168.60.21"), _NAMES.get("192.168.60.22")
ON_BARE_HOSTS = [
    pytest.mark.bare,
    pytest.mark.skipif(
        None in (*FIRST_THREE, FOURTH, FIFTH), reason="the repository's hosts are those of the stacked lab"
    ),
]


class Elsewhere:
    """A copy of tests/reuse/repository with the collection installed in it.

    :arg folder: an empty folder; HOME of whatever runs is in it too, so that no default path leads to this machine's own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        shutil.copytree(SAMPLE, self.folder)
        self._lab()
        self.command("ansible-galaxy", "collection", "build", "--output-path", str(self.folder), str(REPOSITORY))
        self.command(
            "ansible-galaxy", "collection", "install", "--offline", "-r", "requirements.yml", "-p", "collections"
        )

    def _lab(self) -> None:
        """What only the lab's hosts need: how to reach them, their mirror, and what they lack. Whose cluster it is, is not."""
        made = Path(os.environ["LAB_DIR"]) / "inventory" / "group_vars" / "all"
        kept = self.folder / "lab" / "group_vars" / "all"
        kept.mkdir(parents=True)
        (self.folder / "lab" / "hosts.yml").write_text("all: {hosts: {}}\n")
        for path in made.glob("*.yml"):
            values = yaml.safe_load(path.read_text()) or {}
            ours = {name: value for name, value in values.items() if not name.startswith(("cluster_", "kubectl__"))}
            (kept / path.name).write_text(yaml.safe_dump(ours))

    def environment(self) -> dict[str, str]:
        """Nothing of the lab's or the checkout's own settings but the inventory, which -i takes the place of."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "KUBECONFIG"))}
        return {**kept, "HOME": str(self.home), "ANSIBLE_INVENTORY": os.environ["ANSIBLE_INVENTORY"]}

    def command(self, *words: str) -> str:
        """Run a command in the repository; it must end well."""
        result = subprocess.run(
            words, capture_output=True, text=True, check=False, env=self.environment(), cwd=self.folder
        )
        assert result.returncode == 0, f"{' '.join(words)}: {result.stdout[-2000:]}{result.stderr[-2000:]}"
        return result.stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook as its user would, with the lab's inventory where none is given."""
        return subprocess.run(
            ["ansible-playbook", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            cwd=self.folder,
        )

    def kubectl(self, cluster: str) -> Callable[..., str]:
        """A cluster's kubectl, with the kubeconfig that a run of its repository made."""
        config = self.home / f".config/hardway.kubernetes/{cluster}/admin.kubeconfig"
        return lambda *words: self.command(
            "kubectl", f"--kubeconfig={config}", f"--request-timeout={ANSWERED_WITHIN}s", *words
        )

    def play(self, use: str, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook with the inventory of one of the uses: store, boxes, machines, plant."""
        return self.run("-i", f"{use}/hosts.yml", "-i", "lab", *arguments, playbook)
