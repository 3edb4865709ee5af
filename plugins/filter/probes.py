# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: probes
short_description: The same probe for several addresses
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - For a restart gate, which asks the other members whether they are healthy.
positional: url
options:
  _input:
    description: Addresses.
    type: list
    required: true
  url:
    description: The address to ask, with C({}) where the host's goes.
    type: str
    required: false
  tcp:
    description: Instead of O(url), host:port that must accept a connection, with C({}) where the host's address goes.
    type: str
    required: false
notes:
  - Further arguments go into each probe, such as C(ca), C(cert), C(key) and C(expect).
"""

EXAMPLES = r"""
others: "{{ ['192.168.60.12'] | hardway.kubernetes.probes('https://{}:6443/readyz', ca='/etc/kubernetes/pki/ca.crt') }}"
"""

RETURN = r"""
_value:
  description: Probes as hardway.kubernetes.component takes them.
  type: list
"""


def probes(addresses, url=None, tcp=None, **common):
    """A list of probe dicts, one for each address; IPv6 addresses get their brackets."""
    kind, text = ("url", url) if url else ("tcp", tcp)
    return [
        dict(common, **{kind: text.format("[%s]" % address if ":" in str(address) else address)})
        for address in addresses
    ]


class FilterModule:
    """The filter probes."""

    def filters(self):
        return {"probes": probes}
