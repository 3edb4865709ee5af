"""What role release takes away again: what the roles brought, and nothing that others put beside it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import upstream
from ansible_runs import REPOSITORY, green


def removed(folder: Path) -> str:
    """The end of a play that removes the role's work from this folder."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"release__directory": str(folder)},
        "tasks": [
            {
                "ansible.builtin.import_role": {
                    "name": "hardway.kubernetes.release",
                    "tasks_from": "remove",
                    "rolespec_validate": False,
                }
            }
        ],
    }
    path = folder.parent / "remove.yml"
    path.write_text(yaml.safe_dump([play]))
    found = re.search(r"changed=(\d+)", green("-i", "localhost,", path))
    assert found
    return found.group(1)


def test_every_release_has_its_folder() -> None:
    known = yaml.safe_load((REPOSITORY / "roles/release/vars/main.yml").read_text())["__release__folders"]
    assert sorted(known) == sorted({*upstream.GITHUB, *upstream.KUBERNETES, "cni", "images"})


def test_a_folder_that_others_use_too_stays(tmp_path: Path) -> None:
    folder = tmp_path / "opt"
    for name in ("etcd/3.6.14", "kubelet/1.36.3", "theirs"):
        (folder / name).mkdir(parents=True)
    assert removed(folder) == "1"
    assert os.listdir(folder) == ["theirs"]
    assert removed(folder) == "0"
    (folder / "theirs").rmdir()
    (folder / ".hidden").write_text("")
    assert removed(folder) == "0"
    (folder / ".hidden").unlink()
    assert removed(folder) == "1"
    assert not folder.exists()
    assert removed(folder) == "0"
