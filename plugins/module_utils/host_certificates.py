# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's half of its certificates: keys that never leave it, requests, and what was signed."""

from __future__ import annotations

import os

from ansible_collections.hardway.kubernetes.plugins.module_utils import x509
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, read_bytes

KEY_OPTIONS = {
    "ecdsa-p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ecdsa-p384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa-2048": ["rsa:2048"],
    "rsa-4096": ["rsa:4096"],
}


class HostCertificates:
    """The host's half: looks, makes keys and signing requests, puts certificates beside their keys."""

    def __init__(self, module, wish):
        self.module = module
        self.wish = wish
        self.state = HostState(module)

    def trust(self):
        """Users, and the authorities' certificates; a host that trusts other ones is left alone."""
        authorities = {wished["path"]: read_bytes(wished["path"]) for wished in self.wish["authorities"]}
        strange = sorted(
            wished["path"]
            for wished in self.wish["authorities"]
            if authorities[wished["path"]] and authorities[wished["path"]].decode().strip() != wished["content"].strip()
        )
        if strange:
            self.module.fail_json(
                msg="this host trusts another authority than the one in the controller's folder: %s. The folder is another "
                "cluster's, was lost and made anew, or this host still belongs to another cluster. Point "
                "cluster_controller_dir at the right folder, restore it from a backup, or run the reset playbook for this "
                "host. Nothing was changed." % ", ".join(strange)
            )
        for user in self.wish["users"]:
            self.state.system_user(user)
        for wished in self.wish["authorities"]:
            self.state.file(wished["path"], wished["content"], mode="0644")

    def inspect(self, wishes):
        """What is there for each wish: certificate and public key as PEM text or None; a request where there is neither."""
        found = {}
        for wish in wishes:
            path = wish["path"]
            certificate = read_bytes(path + ".crt")
            certificate = certificate.decode("utf-8", "replace") if certificate else None
            public_key = self.public_key(path, certificate)
            if public_key:
                self.state.file(path + ".key", read_bytes(path + ".key"), owner=wish["owner"], mode="0600", secret=True)
            found[path] = {"certificate": certificate, "public_key": public_key}
            if not (certificate and public_key) and not self.module.check_mode:
                found[path]["request"] = self.request(wish)
        return found

    def public_key(self, path, certificate):
        """The public half of a key, as PEM text, or None where there is no key that can be read."""
        if not os.path.exists(path + ".key"):
            return None
        # Without a process, where the two belong together: slow hosts start one for seconds, and there are many keys.
        if x509.BEGIN in (certificate or "") and x509.fits(path + ".crt", path + ".key"):
            return x509.public_key(certificate)
        code, out, dummy = self.module.run_command(["openssl", "pkey", "-in", path + ".key", "-pubout"])
        return out if code == 0 else None

    def request(self, wish):
        """Make a new key beside the present one, which serves until the certificate is there; returns the request."""
        directory = os.path.dirname(wish["path"])
        if not os.path.isdir(directory):
            self.state.directory(directory, owner="root", group=wish["owner"], mode="0750")
        new_key = wish["path"] + ".key.new"
        if os.path.exists(new_key):
            os.unlink(new_key)
        command = ["openssl", "req", "-new", "-config", "/dev/null", "-subj", "/CN=request"]
        command += ["-nodes", "-keyout", new_key, "-newkey"] + KEY_OPTIONS[self.wish["key_type"]]
        dummy, out, dummy = self.module.run_command(command, check_rc=True, umask=0o077)
        return out

    def install(self, wish, certificate):
        """Swap in the new key and its certificate. A run killed in between leaves a pair that does not match: issued anew."""
        new_key = wish["path"] + ".key.new"
        self.state.file(new_key, read_bytes(new_key), owner=wish["owner"], mode="0600", secret=True)
        os.replace(new_key, wish["path"] + ".key")
        self.state.file(wish["path"] + ".crt", certificate, owner="root", group=wish["owner"], mode="0644")


CERTIFICATES_SPEC = {
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
            "keep_names": {"type": "bool", "default": False},
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
}
