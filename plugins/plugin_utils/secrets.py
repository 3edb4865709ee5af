# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps secret contents apart from a module's other options, so that no log and no result of Ansible holds them."""

from __future__ import annotations


def apart(wish):
    """A component's options without the contents of its secret files, and these.

    :arg wish: dict, the options of the component module.
    :returns: the options, and a dict of path to content for the module's option secrets.
    """
    secrets = {entry["path"]: entry["content"] for entry in wish.get("files") or [] if entry.get("secret")}
    files = [
        {key: value for key, value in entry.items() if key != "content" or not entry.get("secret")}
        for entry in wish.get("files") or []
    ]
    return dict(wish, files=files), secrets


def all_apart(components):
    """The same for several components, by role; a path belongs to one component only."""
    wishes, secrets = {}, {}
    for role, wish in components.items():
        wishes[role], of_role = apart(wish)
        secrets.update(of_role)
    return wishes, secrets
