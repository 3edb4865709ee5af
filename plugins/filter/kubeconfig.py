# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: kubeconfig
short_description: A kubeconfig for one user of one server
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Certificates and keys are named by path, so that the file stays the same when they are renewed.
positional: user, certificate, ca
options:
  _input:
    description: Address of the API, C(https://host:port).
    type: str
    required: true
  user:
    description: Name of the user, for a person who reads the file.
    type: str
    required: true
  certificate:
    description: Path of the client certificate without ending.
    type: str
    required: true
  ca:
    description: Path of the API's authority.
    type: str
    required: false
"""

EXAMPLES = r"""
text: "{{ 'https://127.0.0.1:6443' | hardway.kubernetes.kubeconfig('kube-proxy', '/etc/kubernetes/kube-proxy/pki/client') }}"
"""

RETURN = r"""
_value:
  description: YAML text.
  type: str
"""

from ansible_collections.hardway.kubernetes.plugins.plugin_utils.text import to_yaml_text


def kubeconfig(server, user, certificate, ca="/etc/kubernetes/pki/ca.crt"):
    """The text of a kubeconfig whose client certificate and key lie at <certificate>.crt and .key."""
    return to_yaml_text(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": {"server": server, "certificate-authority": ca}}],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate": certificate + ".crt", "client-key": certificate + ".key"},
                }
            ],
            "contexts": [{"name": user, "context": {"cluster": "cluster", "user": user}}],
            "current-context": user,
        }
    )


class FilterModule:
    """The filter kubeconfig."""

    def filters(self):
        return {"kubeconfig": kubeconfig}
