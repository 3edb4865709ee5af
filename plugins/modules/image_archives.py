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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState
from ansible_collections.hardway.kubernetes.plugins.module_utils.images import IMAGES_SPEC, keep_images


def main():
    module = AnsibleModule(
        argument_spec=IMAGES_SPEC,
        supports_check_mode=True,
    )
    state = HostState(module)
    loaded = keep_images(module, module.params["archives"], state)
    module.exit_json(**dict(state.result(), loaded=loaded))


if __name__ == "__main__":
    main()
