# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API server that a host has, whatever is wished of it now."""

from __future__ import annotations

import os
import re

from ansible_collections.hardway.kubernetes.plugins.module_utils import systemd

UNIT = "kube-apiserver"
# Variables that others of a running cluster rely on, by flag; the filter to_flags writes them.
SETTLED = {"secure-port": "cluster_api_port", "service-cluster-ip-range": "cluster_service_cidr"}


def flags():
    """The flags in the present unit, once it has served a cluster; a dict, empty where it has not.

    It writes its audit log from its first answer on: an installation that was cut short before has put nothing into etcd. One that
    writes none is taken for one that has.
    """
    if not systemd.written(UNIT):
        return {}
    found = dict(re.findall(r"--([a-z0-9-]+)=([^\s\"']+)", systemd.text_of(UNIT)))
    try:
        served = found.get("audit-log-path", "-") == "-" or os.path.getsize(found["audit-log-path"]) > 0
    except OSError:
        served = False
    return found if served else {}


def stores():
    """The members of etcd that it asks, sorted; none where it has not served."""
    return sorted(filter(None, flags().get("etcd-servers", "").split(",")))


def settled():
    """What it has served with, by the cluster's variables, as text; cluster_version is that of the program behind its link."""
    present = flags()
    found = {variable: present[flag] for flag, variable in SETTLED.items() if flag in present}
    program = re.search(r"^ExecStart=\"?(/[^\s\"]+)", systemd.text_of(UNIT), re.MULTILINE)
    # Its own folder comes last in the path; the one for all releases is the user's to name.
    versions = re.findall(r"\d+\.\d+\.\d+", os.path.realpath(program.group(1))) if present and program else []
    return dict(found, cluster_version=versions[-1]) if versions else found
