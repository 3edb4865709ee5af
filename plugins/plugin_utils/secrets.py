# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps secret contents apart from a module's other options, so that no log and no result of Ansible holds them."""

from __future__ import annotations


def apart(wish):
    """A component's options without the contents of its secret files, and these.

    :arg wish: dict, the options of the component module.
    :returns: the options, and a dict of path to content for the module's option secrets.
    """
    if hasattr(wish, "get") and "lease" in wish:  # the controller's own
        wish = {key: value for key, value in wish.items() if key != "lease"}
    files = wish.get("files") or [] if hasattr(wish, "get") else []
    if not all(hasattr(entry, "get") for entry in files) or not files:
        return wish, {}  # nothing secret, or nothing that makes sense: the module says what is wrong
    secrets = {
        entry["path"]: str(entry["content"])
        for entry in files
        if entry.get("secret") and entry.get("path") and entry.get("content") is not None
    }
    kept = [
        {key: value for key, value in entry.items() if key != "content" or entry.get("path") not in secrets}
        for entry in files
    ]
    return dict(wish, files=kept), secrets


def all_apart(components):
    """The same for several components, by role; a path belongs to one component only."""
    wishes, secrets = {}, {}
    for role, wish in components.items():
        wishes[role], of_role = apart(wish)
        secrets.update(of_role)
    return wishes, secrets


def contents_apart(objects):
    """Objects of the API without what Secrets among them hold, and that, by place in the list.

    :arg objects: list of dicts.
    :returns: the objects, and a dict for the option secrets of the module api_objects.
    """
    kept, secrets = [], {}
    for number, entry in enumerate(objects if isinstance(objects, (list, tuple)) else []):
        if hasattr(entry, "get") and entry.get("kind") == "Secret":
            secrets[str(number)] = {key: entry[key] for key in ("data", "stringData") if entry.get(key)}
            entry = {key: value for key, value in entry.items() if key not in secrets[str(number)]}
        kept.append(entry)
    return kept if isinstance(objects, (list, tuple)) else objects, {
        number: contents for number, contents in secrets.items() if contents
    }
