#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_nodes
short_description: Keep labels and taints of nodes
description:
  - Makes labels and taints of registered nodes what the inventory says, without touching those that others have set.
  - What an earlier run set and the inventory no longer names is taken away; an annotation of the node remembers it.
  - A node that is Ready loses the taint with which P(hardway.kubernetes.node_drain#module) gave it up, since its host is back.
  - Waits until the nodes are registered and Ready.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
extends_documentation_fragment: [hardway.kubernetes.api]
attributes:
  check_mode:
    description: Says which nodes would change.
    support: full
  diff_mode:
    description: Shows labels and taints before and after.
    support: full
options:
  nodes:
    description: The nodes by name.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Node's name.
        type: str
        required: true
      labels:
        description: Labels.
        type: dict
        default: {}
      taints:
        description: Taints, each with key, effect and, where it has one, value.
        type: list
        elements: dict
        default: []
  ready_within:
    description: Seconds within which the nodes must be Ready; 0 does not wait.
    type: int
    default: 120
  workloads:
    description: Deployments and DaemonSets, as in P(hardway.kubernetes.api_objects#module), that the nodes must bring up.
    type: list
    elements: dict
    default: []
  available_within:
    description: Seconds within which O(workloads) must be available once the nodes are Ready; 0 does not wait.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Keep labels and taints
  hardway.kubernetes.cluster_nodes:
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    servers: [https://192.168.60.11:6443]
    nodes:
      - name: worker1
        labels: {disk: ssd}
"""

RETURN = r"""
nodes:
  description: Names of the nodes that differed.
  returned: always
  type: list
  elements: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import (
    API_SPEC,
    OUT_OF_SERVICE,
    Api,
    ApiError,
    give_up,
    in_words,
    wait_for,
)

ANNOTATION = "hardway.kubernetes/kept"


def taint_key(taint):
    """What makes a taint the same one: its key and effect."""
    return (taint["key"], taint["effect"])


def merge(node, wish):
    """The patch that makes one node what is wished, or None.

    :arg node: the Node as the API gives it.
    :arg wish: dict with labels (dict) and taints (list of dict).
    """
    annotations = node["metadata"].get("annotations") or {}
    kept = json.loads(annotations.get(ANNOTATION) or "{}")
    labels = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in wish["labels"].items()
        if value is not None
    }
    taints = [{key: str(value) for key, value in taint.items() if value not in (None, "")} for taint in wish["taints"]]
    present_labels = node["metadata"].get("labels") or {}
    change = {key: value for key, value in labels.items() if present_labels.get(key) != value}
    change.update({key: None for key in kept.get("labels", []) if key not in labels and key in present_labels})
    present_taints = node["spec"].get("taints") or []
    ours = {tuple(entry) for entry in kept.get("taints", [])} | {taint_key(taint) for taint in taints}
    others = [taint for taint in present_taints if taint_key(taint) not in ours]
    back = [taint for taint in others if not not_ready(node) and _sorted(taint) == OUT_OF_SERVICE]
    others = [taint for taint in others if taint not in back]
    unchanged = [taint for taint in present_taints if taint_key(taint) in ours]
    patch = {}
    if change:
        patch["metadata"] = {"labels": change}
    if back or sorted(map(json.dumps, map(_sorted, unchanged))) != sorted(map(json.dumps, map(_sorted, taints))):
        patch["spec"] = {"taints": others + taints}
    now = {"labels": sorted(labels), "taints": sorted(taint_key(taint) for taint in taints)}
    text = json.dumps(now, sort_keys=True)
    if annotations.get(ANNOTATION) != text and (annotations.get(ANNOTATION) or labels or taints):
        patch.setdefault("metadata", {})["annotations"] = {ANNOTATION: text}
    return patch or None


def _sorted(taint):
    return {key: taint[key] for key in sorted(taint) if key != "timeAdded"}


def not_ready(node):
    """Why a node is not Ready, or None."""
    if node is None:
        return "has not registered itself"
    for condition in node.get("status", {}).get("conditions") or []:
        if condition["type"] == "Ready":
            return None if condition["status"] == "True" else condition.get("message") or "not Ready"
    return "has not said yet whether it is Ready"


class Nodes:
    """The nodes of the API, awaited and kept."""

    def __init__(self, module):
        self.module = module
        self.api = Api.from_params(module.params)
        self.nodes = {}

    def listed(self):
        """All nodes by name."""
        return {node["metadata"]["name"]: node for node in self.api.request("GET", "/api/v1/nodes")["items"]}

    def not_ready(self, names):
        """Which of these nodes are not Ready: name to reason. Keeps all nodes that it saw."""
        self.nodes = self.listed()
        reasons = {name: not_ready(self.nodes.get(name)) for name in names}
        return {name: reason for name, reason in reasons.items() if reason}

    def keep(self, name, node, wish):
        """Patch one node where it differs; returns a diff or None."""
        patch = merge(node, wish)
        if not patch:
            return None
        if not self.module.check_mode:
            # The version guards the list of taints, which a patch replaces whole.
            body = dict(
                patch, metadata=dict(patch.get("metadata", {}), resourceVersion=node["metadata"]["resourceVersion"])
            )
            try:
                self.api.request("PATCH", "/api/v1/nodes/" + name, body, "application/merge-patch+json")
            except ApiError as error:
                if error.status != 409:
                    raise
                return self.keep(name, self.api.request("GET", "/api/v1/nodes/" + name), wish)
        before = {"labels": node["metadata"].get("labels"), "taints": node["spec"].get("taints")}
        return {
            "before_header": "node " + name,
            "after_header": "node " + name,
            "before": json.dumps(before, indent=2, sort_keys=True) + "\n",
            "after": "patched with " + json.dumps(patch, indent=2, sort_keys=True) + "\n",
        }


def main():
    module = AnsibleModule(
        argument_spec=dict(
            API_SPEC,
            nodes={
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "labels": {"type": "dict", "default": {}},
                    "taints": {"type": "list", "elements": "dict", "default": []},
                },
            },
            ready_within={"type": "int", "default": 120},
            workloads={"type": "list", "elements": "dict", "default": []},
            available_within={"type": "int", "default": 0},
        ),
        supports_check_mode=True,
    )
    wishes = {wish["name"]: wish for wish in module.params["nodes"]}
    keeper = Nodes(module)
    changed, diff = [], []
    try:
        waiting = wait_for(lambda: keeper.not_ready(wishes), 0 if module.check_mode else module.params["ready_within"])
        for name, wish in wishes.items():
            difference = keeper.keep(name, keeper.nodes[name], wish) if name in keeper.nodes else None
            if difference:
                changed.append(name)
                diff.append(difference)
        late = {}
        if module.params["available_within"] and not waiting and not module.check_mode:
            late = wait_for(
                lambda: keeper.api.unavailable(module.params["workloads"]), module.params["available_within"]
            )
    except ApiError as error:
        give_up(module, error, changed=bool(changed), nodes=changed)
    if waiting and module.params["ready_within"] and not module.check_mode:
        module.fail_json(
            msg="not Ready after %d s: %s. Look at: kubectl describe node, and journalctl -u kubelet there."
            % (module.params["ready_within"], in_words(waiting)),
            changed=bool(changed),
            nodes=changed,
        )
    if late:
        module.fail_json(
            msg="not available after %d s: %s. Look at: kubectl describe, and kubectl get events -A"
            % (module.params["available_within"], in_words(late)),
            changed=bool(changed),
            nodes=changed,
        )
    module.exit_json(changed=bool(changed), nodes=changed, diff=diff)


if __name__ == "__main__":
    main()
