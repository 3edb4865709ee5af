# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How a module reaches the Kubernetes API."""

    DOCUMENTATION = r"""
options:
  servers:
    description: Addresses of the API servers, C(https://host:port); the next one is tried where one does not answer.
    type: list
    elements: str
    required: true
  pki_dir:
    description: Folder of the controller with the authorities. The action plugin signs an hour's access with them.
    type: path
  passphrase:
    description: Passphrase of the authorities' keys. Used by the action plugin, never sent to a host.
    type: str
  ca:
    description: The API's authority as PEM text. Set by the action plugin.
    type: str
  client_certificate:
    description: PEM text. Set by the action plugin.
    type: str
  client_key:
    description: PEM text. Set by the action plugin.
    type: str
"""
