"""Writes docs/reference.md and the tables of variables in roles/*/README.md from what the code says of itself.

Sources: roles/*/meta/argument_specs.yml, roles/*/defaults/main.yml and the plugins' DOCUMENTATION.
With --check nothing is written; the exit code is 1 where a page is out of date or a default is told in two ways.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "hardway.kubernetes"
KINDS = {"modules": "Modules", "filter": "Filters", "lookup": "Lookups", "callback": "Callbacks", "test": "Tests"}
BEGIN = "<!-- variables: written by docs/make_reference.py -->"
END = "<!-- end of variables -->"
HEAD = """\
# Reference

Written by `make reference` from the roles' argument specs and the plugins' documentation; do not edit it by hand.

Every variable can be set in the inventory. `site.yml` checks all of them before it touches a host: an unknown name with a
role's prefix, a wrong type or a value that is not among the choices stops the run.
"""


class Problem(Exception):
    """The sources contradict one another or can't be read; the message says where."""


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def code(value: Any) -> str:
    """A value as it would stand in YAML, in code marks."""
    if isinstance(value, str) and value and "{{" not in value:
        return f"`{value}`"
    if isinstance(value, str) and value:
        return f"`` {cell(value)} ``" if "`" in value else f"`{cell(value)}`"
    return f"`{cell(json.dumps(value))}`"


def marked_up(text: Any) -> str:
    """Ansible's documentation markup as Markdown."""
    words = " ".join(str(line).strip() for line in text) if isinstance(text, list) else str(text or "")
    words = re.sub(r"\b(?:C|V|O|RV|E|P)\(((?:[^()\\]|\\.)*)\)", lambda found: f"`{found[1]}`", words)
    words = re.sub(r"\b(?:B|I)\(([^()]*)\)", r"*\1*", words)
    words = re.sub(r"\bM\(([^()]*)\)", r"`\1`", words)
    return re.sub(r"\b[LU]\(([^(),]*)(?:,\s*([^()]*))?\)", lambda found: f"[{found[1]}]({found[2] or found[1]})", words)


def options(specs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All options with their suboptions, by path."""
    for name, option in specs.items():
        yield prefix + name, option
        inner = option.get("options") or option.get("suboptions") or {}
        yield from options(inner, f"{prefix}{name}{'[]' if option.get('type') == 'list' else ''}.")


def type_of(option: Mapping[str, Any]) -> str:
    """An option's type in words."""
    kind = option.get("type", "str")
    return f"list of {option['elements']}" if kind == "list" and "elements" in option else kind


def table(specs: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """A Markdown table of options."""
    lines = ["| name | type | default | what it is |", "| --- | --- | --- | --- |"]
    for name, option in options(specs):
        words = marked_up(option.get("description"))
        if option.get("choices"):
            words += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        if option.get("required"):
            default = "required"
        elif "default" in option:
            default = code(option["default"])
        else:
            default = code(defaults[name]) if defaults.get(name) is not None else ""
        lines.append(f"| `{name}` | {type_of(option)} | {default} | {cell(words)} |")
    return lines


class Role:
    """One role: its entry points, variables and defaults."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.readme = folder / "README.md"
        self.specs: dict[str, Any] = load(folder / "meta" / "argument_specs.yml")["argument_specs"]
        defaults = folder / "defaults" / "main.yml"
        self.defaults: dict[str, Any] = load(defaults) if defaults.is_file() else {}
        self.options: dict[str, Any] = {}
        for spec in self.specs.values():
            self.options.update(spec.get("options") or {})
        self.entry_points = {name: spec for name, spec in self.specs.items() if name != "variables"}

    def problems(self) -> Iterator[str]:
        """What the argument specs and the defaults tell in two ways."""
        for name, option in self.options.items():
            if "default" in option and (name not in self.defaults or self.defaults[name] != option["default"]):
                here = code(self.defaults.get(name, "no default"))
                yield f"roles/{self.name}: {name} is {code(option['default'])} in argument_specs.yml and {here} in defaults"
            if not option.get("description"):
                yield f"roles/{self.name}: {name} has no description in argument_specs.yml"
        for name in sorted(set(self.defaults) - set(self.options)):
            yield f"roles/{self.name}: {name} has a default and is not in argument_specs.yml"

    def section(self) -> list[str]:
        """The role's part of the reference."""
        first = next(iter(self.specs.values()))
        lines = [
            f"### {self.name}",
            "",
            f"{first['short_description']}. {marked_up(first.get('description'))}".strip(),
            "",
        ]
        lines += [f"- `{name}`: {spec['short_description']}." for name, spec in self.entry_points.items()]
        if self.options:
            lines += ["", *table(self.options, self.defaults)]
        return [*lines, ""]

    def readme_text(self) -> str:
        """The README with its table of variables written anew, where it has a place for one."""
        text = self.readme.read_text(encoding="utf-8")
        if BEGIN not in text or END not in text:
            return text
        body = "\n".join(table(self.options, self.defaults)) if self.options else "The role has no variables."
        before, rest = text.split(BEGIN, 1)
        return f"{before}{BEGIN}\n{body}\n{END}{rest.split(END, 1)[1]}"


def load(path: Path) -> Any:
    """A YAML file's data."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise Problem(f"{path.relative_to(ROOT)}: {error}") from error


def documentation(path: Path, name: str = "DOCUMENTATION") -> dict[str, Any] | None:
    """What a plugin says of itself; None where it says nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == name for target in node.targets):
            try:
                return yaml.safe_load(ast.literal_eval(node.value))
            except yaml.YAMLError as error:
                raise Problem(f"{path.relative_to(ROOT)}: its {name} is no YAML: {error}") from error
    return None


def with_fragments(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin's options with those of the fragments that it extends."""
    found: dict[str, Any] = {}
    for fragment in doc.get("extends_documentation_fragment") or []:
        if fragment.startswith(NAMESPACE + "."):
            path = ROOT / "plugins" / "doc_fragments" / f"{fragment.rsplit('.', 1)[1]}.py"
            found.update((documentation(path) or {}).get("options", {}))
    return {**found, **(doc.get("options") or {})}


def plugin_sections(wrong: list[str]) -> Iterator[str]:
    """The plugins' part of the reference; adds to wrong what can't be told."""
    for kind, title in KINDS.items():
        paths = [path for path in sorted((ROOT / "plugins" / kind).glob("*.py")) if path.name != "__init__.py"]
        if paths:
            yield from (f"## {title}", "")
        for path in paths:
            try:
                yield from plugin_section(path, kind)
            except Problem as problem:
                wrong.append(str(problem))


def plugin_section(path: Path, kind: str) -> list[str]:
    """One plugin's part of the reference."""
    doc = documentation(path)
    if doc is None:
        raise Problem(f"{path.relative_to(ROOT)} has no DOCUMENTATION")
    lines = [f"### {NAMESPACE}.{path.stem}", "", f"{marked_up(doc['short_description'])}.", ""]
    words = doc["description"] if isinstance(doc["description"], list) else [doc["description"]]
    lines += [f"- {marked_up(line)}" for line in words]
    found = with_fragments(doc)
    if found:
        lines += ["", *table(found, {})]
    returns = documentation(path, "RETURN") if kind == "modules" else None
    if returns:
        lines += ["", "Returns, beside what every module does:", ""]
        lines += [f"- `{name}` ({type_of(told)}): {marked_up(told['description'])}" for name, told in returns.items()]
    return [*lines, ""]


def pages(wrong: list[str]) -> dict[Path, str]:
    """Every page that this script writes, with its text; adds to wrong what the sources contradict or do not tell."""
    roles = [Role(path.parent.parent) for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))]
    wrong += [problem for role in roles for problem in role.problems()]
    lines = [HEAD, "## Roles", ""]
    for role in roles:
        lines += role.section()
    lines += plugin_sections(wrong)
    found = {ROOT / "docs" / "reference.md": "\n".join(lines).rstrip("\n") + "\n"}
    for role in roles:
        if role.readme.is_file():
            found[role.readme] = role.readme_text()
        else:
            wrong.append(f"roles/{role.name}/README.md is missing")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is out of date")
    check = parser.parse_args().check
    wrong: list[str] = []
    try:
        wished = pages(wrong)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    stale = [path for path, text in wished.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date: run make reference' if check else 'written'}")
        if not check:
            path.write_text(wished[path], encoding="utf-8")
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
