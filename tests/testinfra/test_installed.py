"""The tarball, installed elsewhere: the site playbook and a role by their full names, without the checkout's settings."""

from __future__ import annotations

import os
import subprocess

import pytest
from lab_cluster import REPOSITORY, changed

ROLE = """
- name: One role alone
  hosts: etcd
  gather_facts: false
  become: true
  roles:
    - hardway.kubernetes.etcd
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with the installed collection, and what runs playbooks there."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {key: value for key, value in os.environ.items() if key != "ANSIBLE_CONFIG"}
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(folder / "collections")
    for command in (
        ["ansible-galaxy", "collection", "build", "--output-path", str(folder), str(REPOSITORY)],
        ["ansible-galaxy", "collection", "install", "--offline", "-p", str(folder / "collections")]
        + [str(folder / "hardway-kubernetes-0.1.0.tar.gz")],
    ):
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)

    def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["ansible-playbook", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)

    _run.folder = folder
    return _run


def test_the_tarball_holds_no_lab_and_no_tests(elsewhere):
    """Only what users need."""
    there = sorted(
        path.name for path in (elsewhere.folder / "collections/ansible_collections/hardway/kubernetes").iterdir()
    )
    assert not {"lab", "tests", "molecule", "bin", ".lab", "Makefile"} & set(there)
    assert {"roles", "playbooks", "plugins", "inventory", "docs", "meta"} <= set(there)


def test_the_site_playbook_by_its_full_name(elsewhere):
    """It finds the cluster as it should be."""
    result = elsewhere("hardway.kubernetes.site")
    assert result.returncode == 0, result.stdout[-4000:]
    assert set(changed(result.stdout).values()) == {0}, result.stdout[-4000:]


def test_a_role_by_its_full_name(elsewhere):
    """etcd alone, with its own release files and certificates."""
    (elsewhere.folder / "one.yml").write_text(ROLE)
    result = elsewhere("one.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    assert set(changed(result.stdout).values()) == {0}, result.stdout[-4000:]
