# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: pki
short_description: A file of the cluster's folder of authorities
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Reads what hosts that sign tokens or encrypt secrets must share. A key of an authority is refused, since those never
    leave the controller.
  - In check mode of a first run, where there is no folder yet, the answer is a placeholder.
options:
  _terms:
    description: Names of files in the folder.
    type: list
    elements: str
    required: true
  folder:
    description: The folder on the controller.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Show the public half of the ServiceAccount key
  ansible.builtin.debug:
    msg: "{{ lookup('hardway.kubernetes.pki', 'service-account.pub', folder='~/.config/hardway.kubernetes/example/pki') }}"
"""

RETURN = r"""
_raw:
  description: The files' text.
  type: list
  elements: str
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError


class LookupModule(LookupBase):
    """The lookup pki."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        pki = Pki(self.get_option("folder"))
        found = []
        for term in terms:
            if term.endswith("-ca.key"):
                raise AnsibleLookupError("%s is the key of an authority, which never leaves the controller" % term)
            try:
                found.append(pki.read(term))
            except PkiError as error:
                if not (variables or {}).get("ansible_check_mode"):
                    raise AnsibleLookupError(str(error)) from error
                found.append("(made in the first run)")
        return found
