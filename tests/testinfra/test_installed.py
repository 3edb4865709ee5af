"""The tarball, installed elsewhere: what is in it, and that its playbooks and roles find this cluster as it should be."""

from __future__ import annotations

from lab_cluster import changes_nothing

ROLE = """
- name: One role alone
  hosts: etcd
  gather_facts: false
  become: true
  roles:
    - hardway.kubernetes.etcd
"""


def test_the_tarball_holds_no_lab_and_no_tests(elsewhere):
    """Only what users need."""
    there = {path.name for path in (elsewhere.folder / "collections/ansible_collections/hardway/kubernetes").iterdir()}
    assert not {"lab", "tests", "molecule", "bin", ".lab", "Makefile"} & there
    assert {"roles", "playbooks", "plugins", "inventory", "docs", "meta"} <= there


def test_the_site_playbook_by_its_full_name(elsewhere):
    """It finds the cluster as it should be."""
    result = elsewhere.run("hardway.kubernetes.site")
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)


def test_a_role_of_a_running_cluster(elsewhere):
    """etcd by itself, with its own release files and certificates, is the same as in the site playbook."""
    (elsewhere.folder / "one.yml").write_text(ROLE)
    result = elsewhere.run("one.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)
