# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks one host's variables against the roles' argument specs, on the controller. Touches nothing."""

from __future__ import annotations

import os

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import rules

# The parser in C is many times faster; not every build of PyYAML has it.
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "roles")


class ActionModule(ActionBase):
    """Says what is wrong with this host's variables."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        specs = {role: _options(role) for role in self._task.args["roles"]}
        findings = rules.unknown_names(task_vars, specs)
        known = {}
        for options in specs.values():
            values = {}
            for name in options:
                if name not in task_vars:
                    continue
                try:
                    values[name] = self._templar.template(task_vars[name])
                except AnsibleError as error:
                    findings.append("%s can't be worked out: %s" % (name, error.message))
            findings += rules.wrong_values(options, values)
            known.update(values)
        view = self._task.args["view"]
        # Only API servers ask etcd, and manifests are long: their hosts read them for all.
        if view.get("api_names"):
            findings += rules.given_etcd(known)
            findings += rules.given_network(known)
        else:
            findings += rules.given_network(known, read=None)
        return dict(result, changed=False, findings=findings, view=view)


def _options(role):
    path = os.path.join(ROLES, role, "meta", "argument_specs.yml")
    with open(path, encoding="utf-8") as stream:
        entry_points = yaml.load(stream, Loader=SafeLoader)["argument_specs"].values()
    return {name: option for entry_point in entry_points for name, option in entry_point.get("options", {}).items()}
