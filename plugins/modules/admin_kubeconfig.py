#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: admin_kubeconfig
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
short_description: Keep the administrator's kubeconfig on the controller
description:
  - Makes a client certificate for the person who runs the cluster, in the group C(hardway:cluster-admins), and a kubeconfig
    with a context for the endpoint and one for each API server. Both are renewed with the cluster's certificates.
  - The current context is kept while its server answers, but where O(endpoint) is new; otherwise one that answers is chosen.
attributes:
  action:
    description: Runs on the controller alone and reaches no host.
    support: full
  check_mode:
    description: Works in check mode.
    support: full
  diff_mode:
    description: Shows what differs, never a key.
    support: full
options:
  state:
    description: With V(absent) the file goes. One that holds more than this cluster's access by then stays, with a warning.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: Where the kubeconfig goes on the controller, 0600.
    type: path
    required: true
  pki_dir:
    description: Folder of the controller with the authorities. Required where O(state) is V(present).
    type: path
  passphrase:
    description: Passphrase of the authorities' keys.
    type: str
  cluster_name:
    description: The cluster's name, and its main context's.
    type: str
    required: true
  endpoint:
    description: The address, host:port, that stands for all API servers, where there is one.
    type: str
    default: ""
  servers:
    description: Addresses of the API servers by host. Required where O(state) is V(present). The names tell this cluster's access from
      that of another one whose name begins with this one's.
    type: dict
  user:
    description: Name of the person, as the audit log will show it. Required where O(state) is V(present).
    type: str
  days:
    description: Life of the certificate in days.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: Keep the administrator's kubeconfig
  hardway.kubernetes.admin_kubeconfig:
    path: ~/.config/hardway.kubernetes/example/admin.kubeconfig
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    cluster_name: example
    servers: {cp1: "https://192.168.60.11:6443"}
    user: kim
"""

RETURN = r"""
path:
  description: Where it is.
  returned: always
  type: str
"""
