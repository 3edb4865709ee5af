"""What a host says of the authorities that it trusts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace


def test_paths_that_are_there(host: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("x")
    paths = [str(tmp_path / "ca.crt"), str(tmp_path / "other.crt")]
    args = {"pki_dir": "/on/the/controller", "state": "inspected"}
    for check in (False, True):
        result = host.run_module("authorities", {**args, "paths": paths}, check)
        assert (result["changed"], result["found"]) == (False, paths[:1])
    assert host.run_module("authorities", args)["found"] == []
