# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_hosts
short_description: The groups with all hosts of a cluster, for a play's hosts
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - A play's hosts are worked out before any host's variables are known. So the names of groups (C(cluster_etcd_group) and so
    on) are read from extra variables and from C(vars) of the play or of C(import_playbook), never from the inventory.
  - Groups that the inventory does not have are left out. An inventory that has none of them is an error, since a playbook
    would end well and have done nothing; one without any host is not, as there is none in a check of the syntax.
  - Hosts with an API server come first, so that what runs once asks there.
options:
  _terms:
    description: Parts, such as V(kube_apiserver), whose group must have hosts, since a play is for it alone and would be passed over.
    type: list
    elements: str
    required: false
"""

EXAMPLES = r"""
- name: Do something on all hosts of the cluster
  hosts: "{{ lookup('hardway.kubernetes.cluster_hosts') }}"
  gather_facts: false
  tasks: []
"""

RETURN = r"""
_raw:
  description: One pattern of Ansible, the names of the groups with a colon between them.
  type: list
  elements: str
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

PARTS = ("kube_apiserver", "etcd", "kube_controller_manager", "kube_scheduler", "kube_node", "load_balancer")
ANSIBLES_OWN = {"all", "ungrouped"}


class LookupModule(LookupBase):
    """The lookup cluster_hosts."""

    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        names = [
            str(self._templar.template(variables.get("cluster_%s_group" % part, part), fail_on_undefined=True))
            for part in PARTS
        ]
        groups = variables.get("groups") or {}
        present = set(groups) - ANSIBLES_OWN
        found = [name for name in dict.fromkeys(names) if name in present]
        if (present or groups.get("all")) and not found:
            raise AnsibleLookupError(
                "the inventory has none of the groups %s, so there is no host to work on. Name your groups so, put yours into "
                "them as children, or tell their names with -e or with vars of import_playbook, such as "
                "cluster_etcd_group (docs/reuse.md). The inventory's own variables are not known yet where a play "
                "looks for its hosts." % ", ".join(dict.fromkeys(names))
            )
        empty = [names[PARTS.index(part)] for part in terms if not groups.get(names[PARTS.index(part)])]
        if found and empty:
            raise AnsibleLookupError(
                "the inventory has no host in the group %s, and nothing can be done without one. Put hosts into it; or, if your "
                "group has another name, tell it with -e or with vars of import_playbook, such as cluster_kube_apiserver_group "
                "(docs/reuse.md). The inventory's own variables are not known yet where a play looks for its hosts."
                % ", ".join(empty)
            )
        return [":".join(found or names)]
