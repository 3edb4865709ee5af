"""What tables of the docs list, and Python run on a host, for the tests that compare the two."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from lab_cluster import BALANCER, REPOSITORY


def table(heading: str, page: str = "hardening.md") -> list[dict[str, str]]:
    """The rows of the table under a heading of a page of the docs, by the names of its columns."""
    text = (REPOSITORY / "docs" / page).read_text()
    section = re.split(r"^#", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    lines = [line.strip().strip("|") for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    rows = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    assert rows, f"docs/{page} has no table under {heading!r}: nothing would be compared"
    return rows


def open_ports() -> list[dict[str, str]]:
    """The rows of the table of ports that hold for this inventory's kind of balancer."""
    found = []
    for row in table("Open ports"):
        kinds = re.search(r"`load_balancer__kind: ([\w, ]+)`", row["who asks"])
        if not kinds or BALANCER in kinds[1].split(", "):
            found.append(row)
    return found


def words(cell: str) -> list[str]:
    """What stands in backquotes in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def look(host: Any, script: str) -> Any:
    """What a Python script prints as JSON on a host, as root; one connection, whatever it collects."""
    packed = base64.b64encode(
        script.encode()
    ).decode()  # sudo logs its command line: nothing in it is to be found there
    return json.loads(host.check_output(f"echo {packed} | base64 -d | python3 -"))
