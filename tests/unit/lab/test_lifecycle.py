"""In which order a lab comes up."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hwlab import lifecycle
from hwlab.paths import Lab
from hwlab.ui import Progress


class Files(Future[Path]):
    """Release files that are being built."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.order = order

    def result(self, timeout: float | None = None) -> Path:
        """They are built."""
        self.order.append("files")
        return Path()


@pytest.mark.parametrize(("kind", "order"), [("vm", ["files", "hosts"]), ("nspawn", ["hosts"])])
def test_virtual_machines_do_not_boot_beside_compilers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, order: list[str]
) -> None:
    seen: list[str] = []
    made: Any = SimpleNamespace(made=lambda *_: True, base=lambda *_: tmp_path)
    monkeypatch.setattr(lifecycle.hosts, "KINDS", {kind: made})
    monkeypatch.setattr(lifecycle.hosts, "ensure", lambda *_: seen.append("hosts"))
    for name in ("ensure_packages", "load_modules", "raise_limits"):
        monkeypatch.setattr(lifecycle.system, name, lambda *_: None)
    monkeypatch.setattr(lifecycle.network, "ensure", lambda *_: None)
    monkeypatch.setattr(lifecycle.inventory, "write", lambda *_: None)
    monkeypatch.setattr(lifecycle.paths, "cache", lambda: tmp_path)
    monkeypatch.setattr(lifecycle.paths, "RUN", tmp_path / "run")
    wanted: Any = SimpleNamespace(addresses={"cp1": "192.168.60.11"}, addresses_v6={}, name="single")
    state = lifecycle.State("single", None, str(tmp_path), "192.168.60.1", kind)
    lifecycle._hosts(Lab("test", tmp_path), state, wanted, Progress(), Files(seen))
    assert seen == order
