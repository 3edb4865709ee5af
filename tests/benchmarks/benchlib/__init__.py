"""What the benchmarks share. They use the lab as a library, so it is put where Python finds it."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
for _folder in (REPOSITORY / "lab", REPOSITORY / ".collections"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
