"""Archives are loaded into containerd only where an image of theirs lacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

PAUSE = {"path": "/opt/pause.tar", "images": ["registry.k8s.io/pause:3.10.1"]}
PAIR = {"path": "/opt/pair.tar", "images": ["a:1", "b:1"]}
CTR = "/usr/local/bin/ctr --namespace k8s.io images"


def run(host: SimpleNamespace, check: bool = False) -> dict[str, Any]:
    return host.run_module("image_archives", {"archives": [PAUSE, PAIR]}, check)


def test_only_what_lacks_is_loaded(host: SimpleNamespace, commands: Any) -> None:
    commands.answers = {f"{CTR} list": (0, "a:1\nregistry.k8s.io/pause:3.10.1\nsha256:x\n", "")}
    result = run(host)
    assert result["loaded"] == ["/opt/pair.tar"]
    assert [entry["before_header"] for entry in result["diff"]] == ["b:1"]
    assert commands.ran == [f"{CTR} list --quiet", f"{CTR} import --no-unpack /opt/pair.tar"]


def test_nothing_to_load(host: SimpleNamespace, commands: Any) -> None:
    commands.answers = {f"{CTR} list": (0, "a:1\nb:1\nregistry.k8s.io/pause:3.10.1\n", "")}
    result = run(host)
    assert (result["changed"], result["loaded"]) == (False, [])
    assert len(commands.ran) == 1


@pytest.mark.parametrize("installed", [True, False])
def test_check_mode_loads_nothing_with_or_without_containerd(
    host: SimpleNamespace, commands: Any, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr(host.load("module_utils", "images").os.path, "exists", lambda path: installed)
    commands.answers = {f"{CTR} list": (1, "", "containerd does not run")}
    assert run(host, check=True)["loaded"] == ["/opt/pause.tar", "/opt/pair.tar"]
    assert not [line for line in commands.ran if "import" in line]
