#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: api_objects
short_description: Keep objects in the Kubernetes API
description:
  - Server-side apply of a list of objects, under the field manager C(hardway.kubernetes).
  - Needs no kubectl and no Python package on the host, only that it reaches one of the API servers.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
extends_documentation_fragment: [hardway.kubernetes.api]
attributes:
  check_mode:
    description: A dry run by the API itself.
    support: full
  diff_mode:
    description: Shows objects before and after, without the content of Secrets.
    support: full
options:
  objects:
    description: Objects with apiVersion, kind and metadata.
    type: list
    elements: dict
    required: true
  state:
    description: Whether they are there.
    type: str
    choices: [present, absent]
    default: present
  available:
    description: Deployments and DaemonSets among the objects must become available within this many seconds; 0 does not wait.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Keep a namespace
  hardway.kubernetes.api_objects:
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    servers: [https://192.168.60.11:6443]
    objects:
      - apiVersion: v1
        kind: Namespace
        metadata: {name: example}
"""

RETURN = r"""
applied:
  description: Objects that differed, as kind and name.
  returned: always
  type: list
  elements: str
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import API_SPEC, Api, ApiError


def essence(found):
    """An object without what the API itself keeps up to date."""
    if not found:
        return {}
    found = json.loads(json.dumps(found))
    for key in ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"):
        found["metadata"].pop(key, None)
    found.pop("status", None)
    return found


def readable(found):
    """An object's text for a diff."""
    if not found:
        return ""
    found = dict(found)
    if found.get("kind") == "Secret":
        found = {key: value for key, value in found.items() if key not in ("data", "stringData")}
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def unavailable(found):
    """Why a Deployment or DaemonSet does not serve yet, or None."""
    status = found.get("status", {})
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return "not seen by its controller yet"
    if found["kind"] == "DaemonSet":
        wished = status.get("desiredNumberScheduled", 0)
        there = min(status.get("numberAvailable", 0), status.get("updatedNumberScheduled", 0))
        return None if there >= wished else "%d of %d available" % (there, wished)
    wished, updated = found["spec"]["replicas"], status.get("updatedReplicas", 0)
    if updated < wished or status.get("replicas", 0) > updated:
        return "%d of %d of the new version" % (updated, wished)
    # Available in Kubernetes' own sense: as many as its strategy demands, so that one lost host does not fail a run.
    for condition in status.get("conditions") or []:
        if condition["type"] == "Available" and condition["status"] == "True":
            return None
    return "%d of %d available" % (status.get("availableReplicas", 0), wished)


def wait_available(api, wishes, seconds):
    """Wait for Deployments and DaemonSets; returns why some are not available, or an empty list."""
    end = time.monotonic() + seconds
    waiting = [wish for wish in wishes if wish["kind"] in ("Deployment", "DaemonSet")]
    while waiting:
        reasons = {}
        for wish in waiting:
            found = api.get(api.object_path(wish))
            reasons[wish["metadata"]["name"]] = unavailable(found) if found else "absent"
        waiting = [wish for wish in waiting if reasons[wish["metadata"]["name"]]]
        if waiting and time.monotonic() > end:
            return ["%s: %s" % (wish["metadata"]["name"], reasons[wish["metadata"]["name"]]) for wish in waiting]
        if waiting:
            time.sleep(0.3)
    return []


def main():
    module = AnsibleModule(
        argument_spec=dict(
            API_SPEC,
            objects={"type": "list", "elements": "dict", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            available={"type": "int", "default": 0},
        ),
        supports_check_mode=True,
    )
    api = Api.from_params(module.params)
    applied, diff = [], []
    try:
        for wish in module.params["objects"]:
            name = "%s %s" % (wish["kind"], wish["metadata"]["name"])
            if module.params["state"] == "absent":
                before, after = api.get(api.object_path(wish)), None
                if before and not module.check_mode:
                    api.request("DELETE", api.object_path(wish) + "?propagationPolicy=Background")
            else:
                before, after = api.apply(wish, module.check_mode)
            if essence(before) != essence(after):
                applied.append(name)
                diff.append(
                    {
                        "before_header": name,
                        "after_header": name,
                        "before": readable(essence(before)),
                        "after": readable(essence(after)),
                    }
                )
        late = []
        if module.params["available"] and module.params["state"] == "present" and not module.check_mode:
            late = wait_available(api, module.params["objects"], module.params["available"])
    except ApiError as error:
        module.fail_json(msg=str(error), changed=bool(applied), applied=applied)
    if late:
        module.fail_json(
            msg="not available after %d s: %s. Look at: kubectl describe, and kubectl get events -A"
            % (module.params["available"], "; ".join(late)),
            changed=bool(applied),
            applied=applied,
        )
    module.exit_json(changed=bool(applied), applied=applied, diff=diff)


if __name__ == "__main__":
    main()
