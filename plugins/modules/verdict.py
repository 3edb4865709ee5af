#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
short_description: Print what was checked, and fail when something is wrong
description:
  - Shows a readable summary of all hosts and the cluster, then every finding. Runs on the controller.
attributes:
  action:
    description: Runs on the controller alone and reaches no host.
    support: full
  check_mode:
    description: Works in check mode.
    support: full
  diff_mode:
    description: Shows what differs, never a key.
    support: full
options:
  cluster_name:
    description: The cluster's name.
    type: str
    required: true
  hosts:
    description: Results of hardway.kubernetes.host_check by host.
    type: dict
    required: true
  cluster:
    description: Result of hardway.kubernetes.cluster_check.
    type: dict
    required: true
  skipped:
    description: Hosts of the inventory that did not answer.
    type: list
    elements: str
    default: []
  outside:
    description: Sentences about hosts of the cluster that were in no play.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Say what was found
  hardway.kubernetes.verdict:
    cluster_name: example
    hosts: {cp1: {findings: [], certificate_days: 364}}
    cluster: {findings: [], facts: [1 of 1 nodes Ready]}
"""

RETURN = r"""
findings:
  description: What was found.
  returned: always
  type: dict
"""
