#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Keep all certificates of a host in one task
description:
  - Keys are made on the host that uses them and stay there; only signing requests travel. The controller signs with the
    cluster's authorities, whose keys never leave it.
  - A certificate is issued anew when there is none, when its key, authority, subject, names or usages are not the wished
    ones, or when less than a third of its life is left.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
attributes:
  check_mode:
    description: Says which certificates would be issued and why.
    support: full
  diff_mode:
    description: Shows the reason for each certificate that is issued; never a key.
    support: full
options:
  pki_dir:
    description: Folder of the controller with the authorities. Used by the action plugin, never sent to a host.
    type: path
  passphrase:
    description: Passphrase of the authorities' keys. Used by the action plugin, never sent to a host.
    type: str
  days:
    description: Life of a new certificate in days.
    type: int
    default: 365
  key_type:
    description: Kind of the keys that hosts make.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-4096]
    default: ecdsa-p256
  users:
    description: System users that own keys on this host; made where missing.
    type: list
    elements: str
    default: []
  authorities:
    description: Certificates of authorities that this host trusts, each with the O(authorities.path) it goes to.
    type: list
    elements: dict
    default: []
    suboptions:
      ca:
        description: The authority.
        type: str
        choices: [kubernetes, etcd, front-proxy]
        required: true
      path:
        description: Where its certificate goes, 0644.
        type: path
        required: true
      content:
        description: The certificate; the action plugin fills it in.
        type: str
  certificates:
    description: The wished certificates.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path without ending; C(.crt) and C(.key) are added.
        type: path
        required: true
      owner:
        description: Owner of the key and the directory.
        type: str
        default: root
      ca:
        description: The authority that signs it.
        type: str
        choices: [kubernetes, etcd, front-proxy]
        required: true
      common_name:
        description: The subject's CN.
        type: str
        required: true
      organizations:
        description: The subject's O, for Kubernetes the user's groups.
        type: list
        elements: str
        default: []
      sans:
        description: DNS names and addresses.
        type: list
        elements: str
        default: []
      keep_names:
        description: Names that the present certificate has besides are no reason to issue it anew, and a new one that is issued for
          another reason than its age keeps them. So clients may go from one name to another.
        type: bool
        default: false
      usages:
        description: What it is for.
        type: list
        elements: str
        choices: [server, client]
        required: true
  step:
    description: Which part of the exchange the host does. Set by the action plugin.
    type: str
    choices: [inspect, request, install]
    default: inspect
  signed:
    description: Signed certificates by path. Set by the action plugin.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Keep etcd's certificates
  hardway.kubernetes.certificates:
    pki_dir: ~/.config/hardway.kubernetes/example/pki
    users: [etcd]
    authorities:
      - {ca: etcd, path: /etc/etcd/pki/ca.crt}
    certificates:
      - path: /etc/etcd/pki/server
        owner: etcd
        ca: etcd
        common_name: cp1
        sans: [cp1, 192.168.60.11, localhost, 127.0.0.1]
        usages: [server, client]
"""

RETURN = r"""
issued:
  description: Paths of the certificates that were issued, with the reason.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_certificates import (
    CERTIFICATES_SPEC,
    HostCertificates,
)


def main():
    module = AnsibleModule(
        argument_spec=CERTIFICATES_SPEC,
        supports_check_mode=True,
    )
    host = HostCertificates(module, module.params)
    wishes = module.params["certificates"]
    result = {}
    if module.params["step"] == "inspect":
        host.trust()
        result["found"] = host.inspect(wishes)
    elif module.params["step"] == "request":
        result["requests"] = {wish["path"]: host.request(wish) for wish in wishes}
    else:
        for wish in wishes:
            host.install(wish, module.params["signed"][wish["path"]])
    module.exit_json(**dict(host.state.result(), **result))


if __name__ == "__main__":
    main()
