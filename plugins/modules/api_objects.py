#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: api_objects
short_description: Keep objects in the Kubernetes API
description:
  - Server-side apply of a list of objects, under the field manager C(hardway.kubernetes).
  - A CustomResourceDefinition among them is waited for, so that objects of its kind may follow.
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
  secrets:
    description: What Secrets among the objects hold, by place in the list. Set by the action plugin, so that no log holds it.
    type: dict
    default: {}
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import (
    API_SPEC,
    Api,
    ApiError,
    give_up,
    in_words,
    wait_for,
)

DEFINED_WITHIN = 60  # seconds


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


def defined_kinds(objects):
    """What CustomResourceDefinitions among objects define: group/version and kind."""
    return {
        ("%s/%s" % (wish["spec"]["group"], version["name"]), wish["spec"]["names"]["kind"])
        for wish in objects
        if wish["kind"] == "CustomResourceDefinition"
        for version in wish["spec"]["versions"]
    }


def not_served(api, wish):
    """Why the API does not serve a CustomResourceDefinition yet, by its name."""
    found, group = api.get(api.object_path(wish)) or {}, wish["spec"]["group"]
    conditions = {entry["type"]: entry["status"] for entry in found.get("status", {}).get("conditions") or []}
    if conditions.get("Established") != "True":
        return {wish["metadata"]["name"]: "not established"}
    api.forget(group)
    for version in wish["spec"]["versions"]:
        listing = api.get("/apis/%s/%s" % (group, version["name"])) if version.get("served", True) else None
        kinds = [entry["kind"] for entry in (listing or {}).get("resources") or []]
        if version.get("served", True) and wish["spec"]["names"]["kind"] not in kinds:
            return {wish["metadata"]["name"]: "not served as %s yet" % version["name"]}
    return {}


def apply(api, wish, module, defined):
    """Apply one object; returns (before or None, after)."""
    try:
        before, after = api.apply(wish, module.check_mode)
    except ApiError as error:
        # Its kind would be there by now.
        if module.check_mode and error.status == 404 and (wish["apiVersion"], wish["kind"]) in defined:
            return None, wish
        raise
    if wish["kind"] == "CustomResourceDefinition" and not module.check_mode:
        late = wait_for(lambda: not_served(api, wish), DEFINED_WITHIN)
        if late:
            raise ApiError(0, "a CustomResourceDefinition after %d s: %s" % (DEFINED_WITHIN, in_words(late)))
    return before, after


def main():
    module = AnsibleModule(
        argument_spec=dict(
            API_SPEC,
            objects={"type": "list", "elements": "dict", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            secrets={"type": "dict", "default": {}, "no_log": True},
            available={"type": "int", "default": 0},
        ),
        supports_check_mode=True,
    )
    api = Api.from_params(module.params)
    applied, diff = [], []
    for number, contents in module.params["secrets"].items():
        module.params["objects"][int(number)].update(contents)
    try:
        defined = defined_kinds(module.params["objects"])
        for wish in module.params["objects"]:
            name = "%s %s" % (wish["kind"], wish["metadata"]["name"])
            if module.params["state"] == "absent":
                before, after = api.get(api.object_path(wish)), None
                if before and not module.check_mode:
                    api.request("DELETE", api.object_path(wish) + "?propagationPolicy=Background")
            else:
                before, after = apply(api, wish, module, defined)
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
        late = {}
        if module.params["available"] and module.params["state"] == "present" and not module.check_mode:
            workloads = [wish for wish in module.params["objects"] if wish["kind"] in ("Deployment", "DaemonSet")]
            late = wait_for(lambda: api.unavailable(workloads), module.params["available"])
    except ApiError as error:
        give_up(module, error, changed=bool(applied), applied=applied)
    if late:
        module.fail_json(
            msg="not available after %d s: %s. Look at: kubectl describe, and kubectl get events -A"
            % (module.params["available"], in_words(late)),
            changed=bool(applied),
            applied=applied,
        )
    module.exit_json(changed=bool(applied), applied=applied, diff=diff)


if __name__ == "__main__":
    main()
