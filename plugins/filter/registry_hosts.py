# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: registry_hosts
short_description: containerd's hosts.toml for registries
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - One file a registry, with its mirrors in order and their credentials; containerd reads them at each pull, so none restarts it.
options:
  _input:
    description: Registries as in containerd__registries.
    type: dict
    required: true
"""

EXAMPLES = r"""
files: "{{ {'docker.io': {'mirrors': [{'url': 'https://mirror.example.com'}]}} | hardway.kubernetes.registry_hosts }}"
"""

RETURN = r"""
_value:
  description: Entries for the files of hardway.kubernetes.component.
  type: list
"""

import base64

from ansible_collections.hardway.kubernetes.plugins.filter.to_toml import to_toml
from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import HEADER


def registry_hosts(registries):
    """Files for containerd's certs.d, 0600 since they may hold credentials."""
    found = []
    for registry, wish in registries.items():
        server = wish.get("server") or "https://" + ("registry-1.docker.io" if registry == "docker.io" else registry)
        # What has no folder of its own is asked for at its own name.
        data = {} if registry == "_default" and not wish.get("server") else {"server": server}
        hosts = {}
        for mirror in wish.get("mirrors") or []:
            host = {"capabilities": ["pull", "resolve"]}
            if mirror.get("ca"):
                host["ca"] = mirror["ca"]
            if mirror.get("skip_verify"):
                host["skip_verify"] = True
            if mirror.get("override_path"):
                host["override_path"] = True
            if mirror.get("username"):
                pair = "%s:%s" % (mirror["username"], mirror.get("password", ""))
                host["header"] = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
            hosts[mirror["url"]] = host
        data["host"] = hosts
        found.append(
            {
                "path": "/etc/containerd/certs.d/%s/hosts.toml" % registry,
                "content": HEADER + " from containerd__registries, and gone with its entry there.\n" + to_toml(data),
                "mode": "0600",
                "secret": True,
                "restart": False,
            }
        )
    return found


class FilterModule:
    """The filter registry_hosts."""

    def filters(self):
        return {"registry_hosts": registry_hosts}
