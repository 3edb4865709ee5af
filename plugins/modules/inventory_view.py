#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_view
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
short_description: Check this host's variables, and tell what the cluster's rules need of them
description:
  - Checks variables of the roles against their argument specs, and looks for names that no role knows. Runs on the
    controller; no host is touched.
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
  roles:
    description: Roles whose variables are checked.
    type: list
    elements: str
    required: true
  view:
    description: Values that the rules for the whole cluster look at.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Check the variables
  hardway.kubernetes.inventory_view:
    roles: [cluster, etcd]
    view: {address: "{{ cluster_address }}"}
"""

RETURN = r"""
findings:
  description: Sentences with variable and mend.
  returned: always
  type: list
  elements: str
view:
  description: The values given.
  returned: always
  type: dict
"""
