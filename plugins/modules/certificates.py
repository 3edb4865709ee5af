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

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, read_bytes

KEY_OPTIONS = {
    "ecdsa-p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ecdsa-p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa-2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa-4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
}


class HostCertificates:
    """The host's half: looks, makes keys and signing requests, puts certificates beside their keys."""

    def __init__(self, module):
        self.module = module
        self.state = HostState(module)

    def inspect(self, wishes):
        """What is there for each wish: certificate and public key as PEM text or None; a request where there is neither."""
        found = {}
        for wish in wishes:
            path = wish["path"]
            certificate = read_bytes(path + ".crt")
            public_key = None
            if os.path.exists(path + ".key"):
                code, out, dummy = self.module.run_command(["openssl", "pkey", "-in", path + ".key", "-pubout"])
                public_key = out if code == 0 else None
                if code == 0:
                    self.state.file(
                        path + ".key", read_bytes(path + ".key"), owner=wish["owner"], mode="0600", secret=True
                    )
            found[path] = {
                "certificate": certificate.decode("utf-8", "replace") if certificate else None,
                "public_key": public_key,
            }
            if not (certificate and public_key) and not self.module.check_mode:
                found[path]["request"] = self.request(wish)
        return found

    def request(self, wish):
        """Make a new key beside the present one, which serves until the certificate is there; returns the request."""
        directory = os.path.dirname(wish["path"])
        if not os.path.isdir(directory):
            self.state.directory(directory, owner="root", group=wish["owner"], mode="0750")
        new_key = wish["path"] + ".key.new"
        if os.path.exists(new_key):
            os.unlink(new_key)
        command = ["openssl", "genpkey", "-out", new_key] + KEY_OPTIONS[self.module.params["key_type"]]
        self.module.run_command(command, check_rc=True, umask=0o077)
        command = ["openssl", "req", "-new", "-key", new_key, "-config", "/dev/null", "-subj", "/CN=request"]
        dummy, out, dummy = self.module.run_command(command, check_rc=True)
        return out

    def install(self, wish, certificate):
        """Swap in the new key and its certificate. A run killed in between leaves a pair that does not match: issued anew."""
        new_key = wish["path"] + ".key.new"
        self.state.file(new_key, read_bytes(new_key), owner=wish["owner"], mode="0600", secret=True)
        os.replace(new_key, wish["path"] + ".key")
        self.state.file(wish["path"] + ".crt", certificate, owner="root", group=wish["owner"], mode="0644")


def main():
    module = AnsibleModule(
        argument_spec={
            "pki_dir": {"type": "path"},
            "passphrase": {"type": "str", "no_log": True},
            "days": {"type": "int", "default": 365},
            "key_type": {"type": "str", "choices": sorted(KEY_OPTIONS), "default": "ecdsa-p256", "no_log": False},
            "users": {"type": "list", "elements": "str", "default": []},
            "authorities": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "ca": {"type": "str", "required": True, "choices": ["kubernetes", "etcd", "front-proxy"]},
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                },
            },
            "certificates": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "ca": {"type": "str", "required": True, "choices": ["kubernetes", "etcd", "front-proxy"]},
                    "common_name": {"type": "str", "required": True},
                    "organizations": {"type": "list", "elements": "str", "default": []},
                    "sans": {"type": "list", "elements": "str", "default": []},
                    "usages": {
                        "type": "list",
                        "elements": "str",
                        "required": True,
                        "choices": ["server", "client"],
                    },
                },
            },
            "step": {"type": "str", "choices": ["inspect", "request", "install"], "default": "inspect"},
            "signed": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    host = HostCertificates(module)
    wishes = module.params["certificates"]
    result = {}
    if module.params["step"] == "inspect":
        authorities = {wish["path"]: read_bytes(wish["path"]) for wish in module.params["authorities"]}
        strange = sorted(
            wish["path"]
            for wish in module.params["authorities"]
            if authorities[wish["path"]] and authorities[wish["path"]].decode().strip() != wish["content"].strip()
        )
        if strange:
            module.fail_json(
                msg="this host trusts another authority than the one in the controller's folder: %s. The folder is another "
                "cluster's, was lost and made anew, or this host still belongs to another cluster. Point "
                "cluster_controller_dir at the right folder, restore it from a backup, or run the reset playbook for this "
                "host. Nothing was changed." % ", ".join(strange)
            )
        for user in module.params["users"]:
            host.state.system_user(user)
        for wish in module.params["authorities"]:
            host.state.file(wish["path"], wish["content"], mode="0644")
        result["found"] = host.inspect(wishes)
    elif module.params["step"] == "request":
        result["requests"] = {wish["path"]: host.request(wish) for wish in wishes}
    else:
        for wish in wishes:
            host.install(wish, module.params["signed"][wish["path"]])
    module.exit_json(**dict(host.state.result(), **result))


if __name__ == "__main__":
    main()
