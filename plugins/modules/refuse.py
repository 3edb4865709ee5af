#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: refuse
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
short_description: Stop with every finding in one message
description:
  - Fails when there are findings, and shows all of them, host by host. Runs on the controller.
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
  what:
    description: What the findings are about.
    type: str
    required: true
  findings:
    description: Sentences by host; the empty name stands for the whole inventory.
    type: dict
    required: true
  untouched:
    description: What was not changed, as a sentence.
    type: str
    default: Nothing was changed on any host.
"""

EXAMPLES = r"""
- name: Refuse unfit hosts
  hardway.kubernetes.refuse:
    what: Some hosts are not fit for Kubernetes
    findings: {cp1: [has no openssl command. Install the package openssl.]}
"""

RETURN = r"""
findings:
  description: What was found.
  returned: always
  type: dict
"""
