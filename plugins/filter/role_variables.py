# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: role_variables
short_description: Names of one internal variable of several roles
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Tasks that do one thing for all parts of a host take each part's wishes from a variable of its role.
options:
  _input:
    description: Names of roles.
    type: list
    elements: str
    required: true
  of:
    description: What the variable is of its role, the part of its name after the role's.
    type: str
    required: true
"""

EXAMPLES = r"""
certificates: "{{ query('ansible.builtin.vars', *(['etcd'] | hardway.kubernetes.role_variables('certificates'))) }}"
"""

RETURN = r"""
_value:
  description: Names, such as __etcd__certificates.
  type: list
  elements: str
"""


def role_variables(roles, of):
    """The names."""
    return ["__%s__%s" % (role, of) for role in roles]


class FilterModule:
    """The filter role_variables."""

    def filters(self):
        return {"role_variables": role_variables}
