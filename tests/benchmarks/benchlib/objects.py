"""Objects of the API as one field manager has applied them: what server-side apply would take again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MANAGER = "hardway.kubernetes"
KEPT = "hardway.kubernetes/kept"  # cluster_nodes notes in it which labels and taints of a node are ours


def of_fields(value: Any, fields: Mapping[str, Any]) -> Any:
    """The part of a value that a field set (fieldsV1 of managedFields) names; a field without further ones is whole."""
    inner = {name: below for name, below in fields.items() if name != "."}
    if not inner:
        return value
    if isinstance(value, Mapping):
        return {name[2:]: of_fields(value[name[2:]], below) for name, below in inner.items() if name.startswith("f:")}
    kept = []
    for number, item in enumerate(value):
        for name, below in inner.items():
            kind, _, key = name.partition(":")
            named = (
                (kind == "k" and all(item.get(word) == wished for word, wished in json.loads(key).items()))
                or (kind == "v" and item == json.loads(key))
                or (kind == "i" and number == int(key))
            )
            if named:
                kept.append(of_fields(item, below))
                break
    return kept


def applied(found: Mapping[str, Any], manager: str = MANAGER) -> dict[str, Any] | None:
    """What a manager applied of an object, or None where it applied nothing."""
    for entry in found["metadata"].get("managedFields") or []:
        if entry["manager"] != manager or entry["operation"] != "Apply" or entry.get("subresource"):
            continue
        if entry["apiVersion"] != found["apiVersion"]:
            raise ValueError(
                f"{found['kind']} {found['metadata']['name']} was applied as {entry['apiVersion']} and came as"
                f" {found['apiVersion']}: its fields can't be told"
            )
        wish = of_fields(found, entry["fieldsV1"])
        names = {key: found["metadata"][key] for key in ("name", "namespace") if key in found["metadata"]}
        head = {"apiVersion": found["apiVersion"], "kind": found["kind"]}
        return {**wish, **head, "metadata": {**wish.get("metadata", {}), **names}}
    return None


def of_node(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Labels and the note that were set on a node; its taints come with its kubelet."""
    note = (found["metadata"].get("annotations") or {}).get(KEPT)
    if not note:
        return None
    labels = {name: found["metadata"]["labels"][name] for name in json.loads(note)["labels"]}
    metadata = {"name": found["metadata"]["name"], "labels": labels, "annotations": {KEPT: note}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def accounts(wishes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ServiceAccounts that applied workloads run as: with nothing but a name they have no field that names us."""
    found = {}
    for wish in wishes:
        name = wish.get("spec", {}).get("template", {}).get("spec", {}).get("serviceAccountName")
        if name:
            metadata = {"name": name, "namespace": wish["metadata"]["namespace"]}
            found[tuple(metadata.values())] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    return list(found.values())


def as_list(objects: Iterable[Mapping[str, Any]]) -> str:
    """Objects as one JSON document for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1)
