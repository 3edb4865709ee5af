# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the administrator's kubeconfig on the controller; touches that file and no host."""

from __future__ import annotations

import base64
import binascii
import os
import socket
import tempfile
from urllib.parse import urlsplit

import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import (
    Pki,
    PkiError,
    key_pem,
    make_key,
    public_half,
)
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.text import to_yaml_text

GROUP = "hardway:cluster-admins"


class ActionModule(ActionBase):
    """Keeps certificate, key, addresses and the current context of one kubeconfig."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = self._task.args
        path = os.path.expanduser(args["path"])
        if args.get("state") == "absent":
            return dict(result, **self._remove(path, args))
        pki = Pki(args["pki_dir"], args.get("passphrase"))
        try:
            if pki.state() == "absent" and self._task.check_mode:
                return dict(result, changed=True, path=path)
            before = _read(path)
            _refuse_strangers(path, before or {}, args, _encode(pki.read("kubernetes-ca.crt")))
            after, renewed = _kubeconfig(pki, args, before)
        except PkiError as error:
            return dict(result, failed=True, changed=False, msg=str(error))
        changed = before != after
        if changed and not self._task.check_mode:
            _write(path, to_yaml_text(after))
        words = "present\n" if not changed else (renewed or "other servers or another current context") + "\n"
        diff = {
            "before_header": path,
            "after_header": path,
            "before": "present\n" if before else "absent\n",
            "after": words,
        }
        return dict(result, changed=changed, path=path, diff=diff if changed else [])

    def _remove(self, path, args):
        if not os.path.lexists(path):
            return {"changed": False, "path": path}
        try:
            strange = _strangers(_read(path) or {}, args)
        except PkiError as error:
            return {"changed": False, "path": path, "warnings": ["%s It was left there." % error]}
        if strange:
            words = "%s was left there: it holds more than this cluster's access (%s)." % (path, ", ".join(strange))
            return {"changed": False, "path": path, "warnings": [words]}
        if not self._task.check_mode:
            os.unlink(path)
        diff = {"before_header": path, "after_header": path, "before": "present\n", "after": "absent\n"}
        return {"changed": True, "path": path, "diff": diff}


def _strangers(present, args, authority=None):
    """Names of what is in a kubeconfig beside this cluster's access.

    Another cluster's name may begin with this one's: then its authority tells, but where the entry's whole name is one of ours.

    :arg args: the task's options.
    :arg authority: the certificate of this cluster's, as a kubeconfig has it.
    """
    name = str(args["cluster_name"])
    wished = {name} | {"%s-%s" % (name, host) for host in args.get("servers") or {}}
    clusters, contexts, users = (_entries(present, kind) for kind in ("clusters", "contexts", "users"))

    def begins(entry):
        return (entry + "-").startswith(name + "-")

    signed = {entry: str(inner.get("certificate-authority-data") or "") for entry, inner in clusters}
    authorities = ({authority} | {signed[entry] for entry in set(signed) & wished}) - {None, ""}
    ours = {entry for entry in signed if begins(entry) and (entry in wished or signed[entry] in authorities)}
    strange = [entry for entry in signed if entry not in ours]
    strange += [
        entry for entry, inner in contexts if not begins(entry) or str(inner.get("cluster")) in set(signed) - ours
    ]
    used = [str(inner.get("user")) for _name, inner in contexts]
    strange += [entry for entry, _inner in users if entry not in used]
    return list(dict.fromkeys(strange))


def _entries(present, kind):
    """Name and content of each entry of a kind, such as clusters; what is no entry is left out."""
    listed = present.get(kind)
    found = []
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            inner = entry.get(kind[:-1])
            found.append((str(entry.get("name")), inner if isinstance(inner, dict) else {}))
    return found


def _refuse_strangers(path, present, args, authority):
    """The file is written whole: whatever else is in it would be lost."""
    strange = _strangers(present, args, authority)
    if strange:
        raise PkiError(
            "%s holds more than this cluster's access (%s), and is written whole. Set kubectl__kubeconfig to a file of its own, and "
            "name both in KUBECONFIG, with a colon between. Nothing was changed." % (path, ", ".join(strange))
        )


def _kubeconfig(pki, args, before):
    """The wished kubeconfig as a dict, and why its certificate was issued anew or None."""
    user = {"ca": "kubernetes", "common_name": args["user"], "organizations": [GROUP], "sans": [], "usages": ["client"]}
    certificate, key = _present_pair(before)
    reason = pki.why_renew(user, certificate, public_half(key))
    if reason:
        new_key = make_key("ecdsa-p256")
        key = key_pem(new_key).decode()
        certificate = pki.sign(user, new_key.public_key(), int(args.get("days") or 90))
    ca = _encode(pki.read("kubernetes-ca.crt"))
    name = args["cluster_name"]
    servers = {"%s-%s" % (name, host): server for host, server in args["servers"].items()}
    if args.get("endpoint"):
        servers = dict({name: "https://" + args["endpoint"]}, **servers)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": entry, "cluster": {"server": server, "certificate-authority-data": ca}}
            for entry, server in servers.items()
        ],
        "users": [
            {
                "name": args["user"],
                "user": {"client-certificate-data": _encode(certificate), "client-key-data": _encode(key)},
            }
        ],
        "contexts": [{"name": entry, "context": {"cluster": entry, "user": args["user"]}} for entry in servers],
        "current-context": _current(servers, before or {}, name if args.get("endpoint") else None),
    }, reason


def _current(servers, before, endpoint):
    """The context of before while its server answers; an endpoint that is new comes first."""
    present = before.get("current-context")
    if endpoint and endpoint not in [name for name, _inner in _entries(before, "contexts")]:
        present = None
    order = [present] if present in servers else []
    order += [entry for entry in servers if entry not in order]
    return next((entry for entry in order if _answers(servers[entry])), order[0])


def _answers(server):
    url = urlsplit(server)
    try:
        with socket.create_connection((url.hostname, url.port or 443), timeout=1):
            return True
    except OSError:
        return False


def _read(path):
    try:
        with open(path, encoding="utf-8") as stream:
            present = yaml.safe_load(stream)
        if present is not None and not isinstance(present, dict):
            raise PkiError("%s is no kubeconfig. Move it away to have it made anew." % path)
        return present
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError) as error:
        raise PkiError("%s can't be read: %s. Move it away to have it made anew." % (path, error)) from error


def _write(path, text):
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".kubeconfig-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(temporary, path)


def _present_pair(before):
    try:
        user = before["users"][0]["user"]
        return _decode(user["client-certificate-data"]), _decode(user["client-key-data"])
    except (KeyError, IndexError, TypeError, binascii.Error, UnicodeDecodeError):
        return None, None


def _encode(text):
    return base64.b64encode(text.encode()).decode()


def _decode(text):
    return base64.b64decode(text).decode()
