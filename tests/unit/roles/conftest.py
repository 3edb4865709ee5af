"""What roles put on hosts is tried against the same loopback servers as the plugins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("of_plugins", Path(__file__).parents[1] / "plugins" / "conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)

no_proxy = _shared.no_proxy
made_pki = _shared.made_pki
tls = _shared.tls
serve = _shared.serve
api_servers = _shared.api_servers
closed_port = _shared.closed_port
