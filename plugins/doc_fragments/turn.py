# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How a module asks for its turn among runs of several controllers; TURN_SPEC of module_utils/lease.py."""

    DOCUMENTATION = r"""
options:
  turn:
    description: The Lease and an hour's access to it. Set by the action plugin.
    type: dict
    suboptions:
      name:
        description: The Lease's name.
        type: str
        required: true
      holder:
        description: Who this run is, for others to read.
        type: str
        required: true
      servers:
        description: Addresses of the API servers.
        type: list
        elements: str
        required: true
      ca:
        description: The API's authority as PEM text.
        type: str
        required: true
      client_certificate:
        description: PEM text.
        type: str
        required: true
"""
