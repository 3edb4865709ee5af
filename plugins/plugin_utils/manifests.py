# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with Kubernetes objects that users hand over."""

from __future__ import annotations

import os

import yaml

NOT_OURS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


# The parser in C is many times faster, and such files are long; not every build of PyYAML has it.
class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads YAML as Kubernetes does, to which a date is a text, and so is a lone equals sign."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in NOT_OURS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(path):
    """The objects in a file of the controller.

    :arg path: path of a YAML file with one document or more.
    :returns: list of objects, and list of sentences about what is wrong; one of the two is empty.
    """
    try:
        with open(os.path.expanduser(str(path)), encoding="utf-8") as stream:
            documents = list(yaml.load_all(stream, Loader=Loader))
    except OSError as error:
        return [], ["%s can't be read: %s." % (path, error.strerror)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [], ["%s is no YAML: %s." % (path, " ".join(str(error).split()))]
    objects, wrong = [], []
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        for entry in _items(document):
            reason = _why_no_object(entry)
            if reason:
                wrong.append("%s, document %d: %s." % (path, number, reason))
            else:
                objects.append(entry)
    if not objects and not wrong:
        wrong.append("%s holds no object." % path)
    return ([], wrong) if wrong else (objects, [])


def _items(document):
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        return document["items"]
    return [document]


def _why_no_object(entry):
    """Why something can't be applied, or None."""
    if not isinstance(entry, dict):
        return "an object was expected, and not %s" % type(entry).__name__
    metadata = entry.get("metadata")
    lacks = [key for key in ("apiVersion", "kind") if not isinstance(entry.get(key), str)]
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        lacks.append("metadata.name")
    return "it lacks %s" % ", ".join(lacks) if lacks else None
