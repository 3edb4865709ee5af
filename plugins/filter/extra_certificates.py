# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: extra_certificates
short_description: Certificates that users want beside those of the components, as the certificates module takes them
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Each entry may say where its authority's certificate goes; that is a wish of its own.
options:
  _input:
    description: The value of certificates__extra.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
wishes: >-
  {{ [{'path': '/etc/app/etcd', 'ca': 'etcd', 'common_name': 'app', 'usages': ['client'], 'authority': '/etc/app/ca.crt'}]
     | hardway.kubernetes.extra_certificates }}
"""

RETURN = r"""
_value:
  description: A dict with certificates and authorities, both as hardway.kubernetes.certificates takes them.
  type: dict
"""


def extra_certificates(wishes):
    """The wishes apart."""
    return {
        "certificates": [
            {name: value for name, value in wish.items() if name != "authority" and value is not None}
            for wish in wishes
        ],
        "authorities": [{"ca": wish["ca"], "path": wish["authority"]} for wish in wishes if wish.get("authority")],
    }


class FilterModule:
    """The filter extra_certificates."""

    def filters(self):
        return {"extra_certificates": extra_certificates}
