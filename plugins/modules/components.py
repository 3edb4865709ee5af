# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: components
short_description: Run several components of one host
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Does what P(hardway.kubernetes.component#module) does, for several components in one call. All are started, then the health
    of all is awaited, so that they come up side by side.
  - Running processes that need a restart are replaced one component after the other and, of each, one host after the other.
attributes:
  check_mode:
    description: Says what would change, and which processes would be started or replaced.
    support: full
  diff_mode:
    description: Shows files before and after, secrets apart.
    support: full
options:
  components:
    description: Options of P(hardway.kubernetes.component#module) by the name of the role that runs it, in the order in which
      they are to start.
    type: dict
    required: true
  api:
    description: The address at which components of this host ask for the API, where all share one. The API must answer there
      before anything is started or replaced; in check mode it is not asked.
    type: dict
    suboptions:
      url:
        description: The address, C(https://host:port).
        type: str
        required: true
      ca:
        description: CA certificate of the API.
        type: path
        required: true
      within:
        description: Seconds within which it must answer.
        type: int
        default: 60
      mend:
        description: What to look at where it does not, a sentence.
        type: str
        required: true
  images:
    description: Archives of P(hardway.kubernetes.image_archives#module) by the name of the role after which they are loaded.
    type: dict
    default: {}
  secrets:
    description: Contents of files that are marked secret, by path. Set by the action plugin, so that no log holds them.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Run the services of a node
  hardway.kubernetes.components:
    components:
      containerd: "{{ __containerd__component }}"
      kubelet: "{{ __kubelet__component }}"
"""

RETURN = r"""
started:
  description: Components that were started in this run.
  returned: always
  type: list
  elements: str
restarted:
  description: Components whose running process was replaced in this run.
  returned: always
  type: list
  elements: str
reloaded:
  description: Components whose running process was told to read its files again in this run.
  returned: always
  type: list
  elements: str
done:
  description: Roles whose component is as wished once this task has ended.
  returned: success
  type: list
  elements: str
restart_pending:
  description: Roles whose component needs a restart, which takes its turn. Used by the action plugin.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils import probe as probing
from ansible_collections.hardway.kubernetes.plugins.module_utils.component import (
    COMPONENT_SPEC,
    Component,
    announce,
    valid,
)
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState
from ansible_collections.hardway.kubernetes.plugins.module_utils.images import IMAGES_SPEC, keep_images


def await_api(module, wish):
    """Wait until the API answers at its shared address; fails with the mend where it does not."""
    wrong = probing.wait(dict(wish, url=wish["url"] + "/readyz"))
    if wrong:
        module.fail_json(
            msg="the API does not answer at %s within %d s (%s), where %s on this host are to ask for it. They were left as "
            "they are. %s" % (wish["url"], wish["within"], wrong, ", ".join(module.params["components"]), wish["mend"])
        )


def main():
    module = AnsibleModule(
        argument_spec={
            "components": {"type": "dict", "required": True},
            "api": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "ca": {"type": "path", "required": True},
                    "within": {"type": "int", "default": 60},
                    "mend": {"type": "str", "required": True},
                },
            },
            "images": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    if module.params["api"] and not module.check_mode:
        await_api(module, module.params["api"])
    state = HostState(module)
    components = {}
    for role, options in module.params["components"].items():
        wish = dict(valid(module, role, COMPONENT_SPEC, options), restart="defer")
        components[role] = Component(module, wish, module.params["secrets"], state)
        components[role].refuse_stranger()
    for component in components.values():
        component.prepare()
    announce(module, components.values())
    # Side by side; then those that wait for something which the others bring about.
    for waits in (False, True):
        wave = {
            role: component for role, component in components.items() if bool(component.wish["start_when"]) == waits
        }
        for component in wave.values():
            component.launch()
        for role, component in wave.items():
            component.finish()
            archives = valid(module, role, IMAGES_SPEC, {"archives": module.params["images"].get(role, [])})["archives"]
            keep_images(module, archives, state)
    told = {
        key: [component.wish["name"] for component in components.values() if component.result[key]]
        for key in ("started", "restarted", "reloaded")
    }
    pending = [role for role, component in components.items() if component.result["restart_pending"]]
    module.exit_json(**dict(state.result(), done=list(components), restart_pending=pending, **told))


if __name__ == "__main__":
    main()
