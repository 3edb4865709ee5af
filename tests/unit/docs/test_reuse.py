"""docs/reuse.md shows the very files that tests on hosts run, and its commands name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reuse.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "tests" / "reuse" / "repository"
SHOWN = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_every_file_of_the_sample_is_shown_as_it_is() -> None:
    files = {
        str(path.relative_to(SAMPLE)): path.read_text(encoding="utf-8") for path in SAMPLE.rglob("*") if path.is_file()
    }
    assert SHOWN == files


def test_commands_are_about_files_that_are_there() -> None:
    commands = [line for line in PAGE.splitlines() if line.startswith("ansible-playbook ")]
    assert len(commands) >= 8
    for command in commands:
        for word in command.split()[1:]:
            if word.endswith(".yml"):
                assert (SAMPLE / word.removeprefix("@")).is_file(), command
            if word.startswith("hardway.kubernetes."):
                assert (ROOT / "playbooks" / f"{word.rpartition('.')[2]}.yml").is_file(), command


def test_versions_and_names_are_those_of_the_collection() -> None:
    """What the sample has to write out."""
    version = yaml.safe_load((ROOT / "roles/etcd/defaults/main.yml").read_text())["etcd__version"]
    assert f"/opt/hardway/etcd/{version}/etcdctl" in SHOWN["store/try.sh"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert f"{galaxy['namespace']}-{galaxy['name']}-{galaxy['version']}.tar.gz" in SHOWN["requirements.yml"]
    spec = yaml.safe_load((ROOT / "roles/cluster/meta/argument_specs.yml").read_text())["argument_specs"]["validate"]
    named = yaml.safe_load(SHOWN["plant/groups.yml"])
    assert set(named) == {name for name in spec["options"] if name.endswith("_group")}
    for use in ("machines", "plant"):
        text = (SAMPLE / use / "hosts.yml").read_text()
        assert f"cluster_version: {spec['options']['cluster_version']['default']}" in text
