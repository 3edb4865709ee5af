"""Files with objects that users hand over."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import manifests


def read(tmp_path: Path, text: str) -> tuple[list, list]:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    objects, wrong = manifests.read(str(path))
    return objects, [sentence.replace(str(path), "a.yaml") for sentence in wrong]


NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"


def test_documents_and_lists_become_objects(tmp_path: Path) -> None:
    text = f"---\n{NAMESPACE}---\n# nothing\n---\nkind: List\napiVersion: v1\nitems:\n- {NAMESPACE}- {NAMESPACE}"
    objects, wrong = read(tmp_path, text)
    assert ([entry["kind"] for entry in objects], wrong) == (["Namespace"] * 3, [])


def test_dates_and_equals_signs_are_texts(tmp_path: Path) -> None:
    """As in many definitions, which JSON must hold."""
    text = "{apiVersion: v1, kind: A, metadata: {name: a}, data: {day: 2026-11-21, signs: [=, x]}}"
    objects, _wrong = read(tmp_path, text)
    assert objects[0]["data"] == {"day": "2026-11-21", "signs": ["=", "x"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: DaemonSet\n", "a.yaml, document 1: it lacks apiVersion, metadata.name."),
        (NAMESPACE + "---\n- 1\n", "a.yaml, document 2: an object was expected, and not list."),
        ("# nothing\n", "a.yaml holds no object."),
        ("{", "a.yaml is no YAML: "),
    ],
)
def test_what_can_not_be_applied_is_told(tmp_path: Path, text: str, words: str) -> None:
    objects, wrong = read(tmp_path, text)
    assert objects == []
    assert len(wrong) == 1
    assert wrong[0].startswith(words)
