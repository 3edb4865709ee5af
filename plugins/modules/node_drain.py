#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_drain
short_description: Let the pods of nodes go
description:
  - Cordons nodes and evicts their pods through the API, so that PodDisruptionBudgets and each pod's own time to end are
    respected. Pods of DaemonSets, static pods and pods that have ended stay; data in emptyDir volumes goes with its pod.
  - Then waits until the pods are gone and their volumes are detached.
  - A node whose host is gone for good can't end its pods. With O(nodes[].dead) it gets the taint
    C(node.kubernetes.io/out-of-service), after which kube-controller-manager deletes its pods without waiting for the host and
    detaches its volumes. No budget is asked.
  - Where not everything has gone in time it fails, and names each pod and what keeps it. The nodes stay cordoned.
  - Nodes that the API does not know are passed over.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
extends_documentation_fragment: [hardway.kubernetes.api]
attributes:
  check_mode:
    description: Says which nodes would be cordoned and which pods evicted.
    support: full
  diff_mode:
    description: Names the pods.
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
      dead:
        description: Its host is gone for good. With O(state=inspected), wait until the API has noticed.
        type: bool
        default: false
  state:
    description: Whether only to look.
    type: str
    choices: [inspected, drained]
    default: drained
  within:
    description: Seconds within which everything must have gone.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Drain a node
  hardway.kubernetes.node_drain:
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    servers: [https://192.168.60.11:6443]
    nodes: [{name: worker1}]
"""

RETURN = r"""
nodes:
  description: By node that the API knows, whether it is C(ready) or C(why) not, the C(pods) that would have to move, and those
    of them that nobody would make anew elsewhere, C(bare).
  returned: with O(state=inspected)
  type: dict
evicted:
  description: The pods that were told to go, as namespace/name.
  returned: with O(state=drained)
  type: list
  elements: str
"""

from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import (
    API_SPEC,
    OUT_OF_SERVICE,
    Api,
    ApiError,
    in_words,
    wait_for,
)

NOTICED_WITHIN = (
    120  # seconds; kube-controller-manager calls a silent node not Ready after 50, a new leader of it once it leads
)
PAUSE = 2  # seconds between two tries


def key(pod):
    """How people call a pod."""
    return "%s/%s" % (pod["metadata"]["namespace"], pod["metadata"]["name"])


def owner(pod):
    """The kind of what makes a pod anew where it is deleted, or None."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((entry["kind"] for entry in owners if entry.get("controller")), None)


def static(pod):
    """Whether it comes from a file on its host, which the API only mirrors."""
    return "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})


def moves(pod):
    """Whether a pod has to leave before its node can go."""
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not static(pod) and not ended and owner(pod) != "DaemonSet"


def tolerates_everything(pod):
    """Whether no taint makes it go; it goes with its node."""
    return any(
        entry.get("operator") == "Exists" and not entry.get("key") and entry.get("effect") in (None, "", "NoExecute")
        for entry in pod.get("spec", {}).get("tolerations") or []
    )


def why_not_ready(node):
    """Why a node is not Ready, or None."""
    for condition in node.get("status", {}).get("conditions") or []:
        if condition["type"] == "Ready":
            return None if condition["status"] == "True" else condition.get("message") or "not Ready"
    return "it has never said that it is"


class Drain:
    """Some nodes of the API, and what runs on them."""

    def __init__(self, module):
        self.module = module
        self.api = Api.from_params(module.params)
        self.asked = {}  # pods by uid that were told to go
        self.diff = []

    def node(self, name):
        """A Node, or None."""
        return self.api.get("/api/v1/nodes/" + quote(name))

    def pods(self, name):
        """All pods of a node."""
        return self.api.request("GET", "/api/v1/pods?fieldSelector=" + quote("spec.nodeName=" + name))["items"]

    def volumes(self, name):
        """Names of volumes that are attached to a node, none where pods that stay may use them."""
        if any(
            owner(pod) == "DaemonSet"
            and any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or [])
            for pod in self.pods(name)
        ):
            return []
        listing = self.api.get("/apis/storage.k8s.io/v1/volumeattachments") or {"items": []}
        return [
            entry["spec"]["source"].get("persistentVolumeName") or entry["metadata"]["name"]
            for entry in listing["items"]
            if entry["spec"]["nodeName"] == name
        ]

    def inspect(self, wishes):
        """What the API knows of the nodes; of those that are dead once it has noticed, or has had the time to."""
        wait_for(lambda: [wish for wish in wishes if wish["dead"] and self.ready(wish["name"])], NOTICED_WITHIN, PAUSE)
        found = {}
        for wish in wishes:
            node = self.node(wish["name"])
            if node is None:
                continue
            pods = [pod for pod in self.pods(wish["name"]) if moves(pod)]
            found[wish["name"]] = {
                "ready": why_not_ready(node) is None,
                "why": why_not_ready(node),
                "pods": sorted(map(key, pods)),
                "bare": sorted(key(pod) for pod in pods if owner(pod) is None),
            }
        return found

    def ready(self, name):
        """Whether a node is there and Ready."""
        node = self.node(name)
        return node is not None and why_not_ready(node) is None

    def start(self, wish):
        """Cordon or taint one node where it is not yet; returns whether the API knows it."""
        node = self.node(wish["name"])
        if node is None:
            return False
        taints = node["spec"].get("taints") or []
        if wish["dead"]:
            if OUT_OF_SERVICE["key"] in [taint["key"] for taint in taints]:
                return True
            change, words = {"spec": {"taints": taints + [OUT_OF_SERVICE]}}, "out of service"
        else:
            if node["spec"].get("unschedulable"):
                return True
            change, words = {"spec": {"unschedulable": True}}, "cordoned"
        self.note("node " + wish["name"], "in service", words)
        if not self.module.check_mode:
            # The version guards the list of taints, which a patch replaces whole.
            change["metadata"] = {"resourceVersion": node["metadata"]["resourceVersion"]}
            try:
                path = "/api/v1/nodes/" + quote(wish["name"])
                self.api.request("PATCH", path, change, "application/merge-patch+json")
            except ApiError as error:
                if error.status != 409:
                    raise
                self.diff.pop()
                return self.start(wish)
        return True

    def note(self, header, before, after):
        """One more difference."""
        entry = {"before_header": header, "after_header": header, "before": before + "\n", "after": after + "\n"}
        self.diff.append(entry)

    def left(self, wishes):
        """Tell every pod to go that has not been told; which are still there, and what keeps them."""
        found = {}
        try:
            for wish in wishes:
                for pod in self.pods(wish["name"]):
                    if moves(pod) and not (wish["dead"] and tolerates_everything(pod)):
                        found["%s on %s" % (key(pod), wish["name"])] = self.tell(pod, wish["dead"])
                if not found:
                    attached = "is still attached"
                    found.update(
                        {"volume %s of %s" % (name, wish["name"]): attached for name in self.volumes(wish["name"])}
                    )
        except ApiError as error:
            if error.refused:
                raise
            found["the API"] = str(error)  # a server that ends, or a leader that is elected
        return found

    def tell(self, pod, dead):
        """Evict one pod; what keeps it."""
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            grace = metadata.get("deletionGracePeriodSeconds")
            return "is ending%s" % (", and has %d s for it" % grace if grace else "")
        if dead:
            return "has not been deleted by kube-controller-manager yet"
        wish = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            # A pod of the same name that runs elsewhere meanwhile is not meant.
            "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
        }
        path = "/api/v1/namespaces/%s/pods/%s/eviction" % (quote(metadata["namespace"]), quote(metadata["name"]))
        try:
            self.api.request("POST", path, wish)
        except ApiError as error:
            # Kept by a budget, changed meanwhile, or its namespace is being deleted: all of it may pass.
            if error.status not in (0, 403, 404, 409, 429) and error.status < 500:
                raise
            return "is kept: %s" % (" ".join(error.causes) or error)
        self.asked[metadata["uid"]] = key(pod)
        return "is ending"


def main():
    module = AnsibleModule(
        argument_spec=dict(
            API_SPEC,
            nodes={
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "dead": {"type": "bool", "default": False}},
            },
            state={"type": "str", "choices": ["inspected", "drained"], "default": "drained"},
            within={"type": "int", "default": 300},
        ),
        supports_check_mode=True,
    )
    drain, wishes, within = Drain(module), module.params["nodes"], module.params["within"]
    late = {}
    try:
        if module.params["state"] == "inspected":
            module.exit_json(changed=False, nodes=drain.inspect(wishes))
        there = [wish for wish in wishes if drain.start(wish)]
        if module.check_mode:
            for wish in there:
                for pod in filter(moves, drain.pods(wish["name"])):
                    drain.asked[pod["metadata"]["uid"]] = key(pod)
        else:
            late = wait_for(lambda: drain.left(there), within, PAUSE)
    except ApiError as error:
        module.fail_json(msg=str(error), changed=bool(drain.diff or drain.asked))
    evicted = sorted(drain.asked.values())
    for name in evicted:
        drain.note("pod " + name, "runs", "evicted")
    told = {"changed": bool(drain.diff), "evicted": evicted, "diff": drain.diff}
    if late:
        names = ", ".join(wish["name"] for wish in there)
        if any(wish["dead"] for wish in there):
            module.fail_json(
                msg="the pods of %s are not gone after %d s: %s. Look at kube-controller-manager (journalctl -u "
                "kube-controller-manager where it leads) and at the volumes (kubectl get volumeattachment), and run again: it goes "
                "on from here. What left before stays out: API servers, members of etcd. If a host is to come back instead, its "
                "node keeps no pods until the taint is gone: site.yml takes it off once the node is Ready, or kubectl taint node "
                "NAME %s-" % (names, within, in_words(late), OUT_OF_SERVICE["key"]),
                **told,
            )
        module.fail_json(
            msg="not everything has left %s within %d s: %s. Mend what keeps it (kubectl get poddisruptionbudget -A; kubectl "
            "describe pod) and run again, with more time in kubelet__drain_within if that is all it takes. The nodes stay as "
            "they are, and nothing else was changed; kubectl uncordon lets them have pods again."
            % (names, within, in_words(late)),
            **told,
        )
    module.exit_json(**told)


if __name__ == "__main__":
    main()
