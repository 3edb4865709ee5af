# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: nth_address
short_description: The address at a place in a network
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Counts from the network's own address, which is 0.
positional: position
options:
  _input:
    description: A network in CIDR notation, or several with commas between; the first counts.
    type: str
    required: true
  position:
    description: The place.
    type: int
    required: true
"""

EXAMPLES = r"""
dns: "{{ '10.96.0.0/16' | hardway.kubernetes.nth_address(10) }}"  # 10.96.0.10
"""

RETURN = r"""
_value:
  description: The address.
  type: str
"""

import ipaddress

from ansible.errors import AnsibleFilterError


def nth_address(network, position):
    """The address at a place in a network, as text. Raises AnsibleFilterError for what is no network."""
    try:
        return str(ipaddress.ip_network(str(network).split(",", maxsplit=1)[0].strip())[position])
    except (ValueError, IndexError) as error:
        raise AnsibleFilterError("nth_address: %s has no address %s: %s" % (network, position, error)) from error


class FilterModule:
    """The filter nth_address."""

    def filters(self):
        return {"nth_address": nth_address}
