# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The balancer that a host has, and where it asks for the API, whatever is wished of it now."""

from __future__ import annotations

import re
import socket

from ansible_collections.hardway.kubernetes.plugins.module_utils import systemd
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import read_bytes

UNIT = "load-balancer"
# In the configurations of HAProxy and nginx that role load_balancer writes.
LISTENS = re.compile(r"^\s*(?:bind|listen) (?:(\S+):)?(\d+)\b", re.MULTILINE)
# In keepalived's, which role virtual_address writes.
VIRTUAL = re.compile(r"^\s*virtual_ipaddress \{\s+([0-9a-fA-F.:]+)", re.MULTILINE)


def listens():
    """Where this host's balancer listens by its configuration: '127.0.0.1:7443' for the host alone, '*:6443' for others too.

    An older program's configuration may lie beside the one in use, so the unit says which counts. Empty where there is none.
    """
    for path in re.findall(r"/\S+/(?:haproxy\.cfg|nginx\.conf)\b", systemd.text_of(UNIT)):
        found = LISTENS.search((read_bytes(path) or b"").decode("utf-8", "replace"))
        if found:
            return "%s:%s" % ("127.0.0.1" if found.group(1) == "127.0.0.1" else "*", found.group(2))
    return ""


def holds():
    """The virtual address that this host's keepalived may hold by its configuration; empty where there is none."""
    for path in re.findall(r"--use-file=(/\S+)", systemd.text_of("virtual-address")):
        found = VIRTUAL.search((read_bytes(path) or b"").decode("utf-8", "replace"))
        if found:
            return found.group(1)
    return ""


def has(module, address):
    """Whether an interface of this host has an address now."""
    return bool(module.run_command(["ip", "-oneline", "address", "show", "to", address], check_rc=True)[1].strip())


def taken(address, port):
    """Whether somebody has an address: a connection is taken there, or refused."""
    try:
        with socket.create_connection((address, int(port)), timeout=2):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def asked(paths):
    """The servers that kubeconfigs of this host lead to, those that are not there apart."""
    texts = [(read_bytes(path) or b"").decode("utf-8", "replace") for path in paths]
    return sorted({server for text in texts for server in re.findall(r"^\s*server: (\S+)$", text, re.MULTILINE)})
