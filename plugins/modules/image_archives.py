#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_archives
short_description: Load image archives into containerd
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Loads archives whose images containerd does not have yet, into the namespace that the kubelet uses.
  - For hosts that reach no registry, and for images that must be there before the network is.
attributes:
  check_mode:
    description: Says which archives would be loaded.
    support: full
  diff_mode:
    description: Names the images.
    support: full
options:
  archives:
    description: The archives.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: The archive on the host.
        type: path
        required: true
      images:
        description: Names of the images in it.
        type: list
        elements: str
        required: true
"""

EXAMPLES = r"""
- name: Load pause
  hardway.kubernetes.image_archives:
    archives:
      - path: /opt/hardway/images/pause/3.10.1/image.tar
        images: [registry.k8s.io/pause:3.10.1]
"""

RETURN = r"""
loaded:
  description: Archives that were loaded.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

CTR = ["/usr/local/bin/ctr", "--namespace", "k8s.io", "images"]


def main():
    module = AnsibleModule(
        argument_spec={
            "archives": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "images": {"type": "list", "elements": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    there = set()
    if os.path.exists(CTR[0]) or not module.check_mode:
        code, out, dummy = module.run_command(CTR + ["list", "--quiet"], check_rc=not module.check_mode)
        there = set(out.split()) if code == 0 else set()
    lacking = [archive for archive in module.params["archives"] if set(archive["images"]) - there]
    for archive in [] if module.check_mode else lacking:
        # An image is unpacked where and when a pod first needs it, not on every host.
        module.run_command(CTR + ["import", "--no-unpack", archive["path"]], check_rc=True)
    diff = [
        {"before_header": image, "after_header": image, "before": "absent\n", "after": "loaded\n"}
        for archive in lacking
        for image in archive["images"]
        if image not in there
    ]
    module.exit_json(changed=bool(lacking), loaded=[archive["path"] for archive in lacking], diff=diff)


if __name__ == "__main__":
    main()
