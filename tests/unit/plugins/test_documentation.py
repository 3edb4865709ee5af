"""Every plugin is documented, and Ansible can read it: a page that is no YAML takes ansible-doc and the reference away."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
DOCUMENTED = sorted(
    path for kind in ("modules", "filter", "lookup", "callback") for path in (PLUGINS / kind).glob("*.py")
)


def texts(path: Path) -> dict[str, str]:
    found = {}
    for entry in ast.parse(path.read_text()).body:
        if isinstance(entry, ast.Assign) and isinstance(entry.value, ast.Constant):
            found[entry.targets[0].id] = entry.value.value
    return found


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_documentation_examples_and_return_are_yaml(path: Path) -> None:
    found = texts(path)
    for name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        assert yaml.safe_load(found[name])
    page = yaml.safe_load(found["DOCUMENTATION"])
    assert page.get("module", page.get("name")) == path.stem
    assert page["short_description"]
    assert all(isinstance(line, str) for line in page["description"])


@pytest.mark.parametrize("path", sorted((PLUGINS / "action").glob("*.py")), ids=lambda path: path.stem)
def test_every_action_has_its_module(path: Path) -> None:
    assert (PLUGINS / "modules" / path.name).exists()


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_plugin_has_tests(path: Path) -> None:
    tests = "\n".join(test.read_text() for test in Path(__file__).parent.rglob("test_*.py"))
    assert path.stem in tests
