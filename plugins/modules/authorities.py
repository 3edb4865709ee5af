#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: authorities
short_description: Keep the cluster's certificate authorities on the controller
description:
  - Three authorities (kubernetes, etcd, front-proxy), the ServiceAccount key pair and the key that encrypts secrets at rest
    are made once, in a folder of the controller that only its owner can read.
  - A folder that is lost while hosts still trust its authorities is never replaced silently. First each host says which
    authorities it trusts (O(state=inspected)), then the folder is made only where none does (O(state=present)).
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
attributes:
  check_mode:
    description: Says that the folder would be made.
    support: full
  diff_mode:
    description: Names the folder.
    support: full
options:
  pki_dir:
    description: The folder on the controller.
    type: path
    required: true
  passphrase:
    description: Encrypts the authorities' keys where given.
    type: str
  cluster_name:
    description: Goes into the authorities' names.
    type: str
  days:
    description: Life of the authorities in days.
    type: int
    default: 3650
  key_type:
    description: Kind of the authorities' and the ServiceAccount key.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-4096]
    default: ecdsa-p256
  state:
    description: V(inspected) asks this host, where the folder is missing, which authorities it trusts. V(present) makes the
      folder on the controller.
    type: str
    choices: [inspected, present]
    required: true
  paths:
    description: Where hosts keep certificates of authorities.
    type: list
    elements: path
    default: []
  found:
    description: What each host answered to O(state=inspected), by host name; hosts that did not answer are missing.
    type: dict
    default: {}
  hosts:
    description: All hosts of the cluster.
    type: list
    elements: str
    default: []
  founders:
    description: Those of O(hosts) that a cluster begins with, which run etcd or an API server. Without any the cluster is
      there already, and so is its folder somewhere.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask hosts which authorities they trust
  hardway.kubernetes.authorities:
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    state: inspected
    paths: [/etc/kubernetes/pki/ca.crt]
"""

RETURN = r"""
found:
  description: Certificates of authorities that this host has, by path.
  returned: with O(state=inspected)
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule


def main():
    """Only O(state=inspected) reaches a host; all else is done by the action plugin on the controller."""
    module = AnsibleModule(
        argument_spec={
            "pki_dir": {"type": "path", "required": True},
            "passphrase": {"type": "str", "no_log": True},
            "cluster_name": {"type": "str"},
            "days": {"type": "int", "default": 3650},
            "key_type": {
                "type": "str",
                "choices": ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"],
                "default": "ecdsa-p256",
                "no_log": False,
            },
            "state": {"type": "str", "choices": ["inspected", "present"], "required": True},
            "paths": {"type": "list", "elements": "path", "default": []},
            "found": {"type": "dict", "default": {}},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "founders": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, found=[path for path in module.params["paths"] if os.path.exists(path)])


if __name__ == "__main__":
    main()
