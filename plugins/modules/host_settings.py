#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_settings
short_description: Look at a host, and give it the kernel settings that Kubernetes needs
description:
  - V(inspected) changes nothing. It tells what makes the host unfit, and whether its settings differ from the wished ones.
  - V(present) installs packages, loads kernel modules, sets sysctls and turns swap off, now and at boot.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows settings before and after.
    support: full
options:
  platform:
    description: The family of distributions that the other options are meant for. A host of another known family is unfit.
    type: str
    choices: [debian, ubuntu, redhat]
  kernel_modules_package:
    description:
      - The beginning of the name of the package that has more modules for one kernel; C(-) and the running kernel's release follow.
      - It is installed where one of O(modules) is lacking.
    type: str
    default: ""
  wanted_services:
    description: By package, units that are started and enabled once it was installed, because they do not start with it.
    type: dict
    default: {}
  state:
    description: Whether to look, to set, or to take the settings' files and masks away. Packages stay, and what was masked is disabled.
    type: str
    choices: [inspected, present, absent]
    required: true
  modules:
    description: Kernel modules.
    type: list
    elements: str
    default: []
  sysctls:
    description: Kernel parameters.
    type: dict
    default: {}
  minimum_sysctls:
    description: Kernel parameters that are raised where they are lower and left alone where they are higher.
    type: dict
    default: {}
  swap:
    description: V(off) turns swap off and comments its lines in C(/etc/fstab); V(keep) leaves it.
    type: str
    choices: ["off", keep]
    default: "off"
  unwanted_services:
    description: By package, units that are masked before it is installed, because they would start with it; disabled once they are unmasked.
    type: dict
    default: {}
  packages:
    description: Packages that the host must have, installed with apt or dnf.
    type: list
    elements: str
    default: []
  needed_by:
    description: Which of O(modules) a setting needs, variable and value to names. It is said where the kernel lacks them.
    type: dict
    default: {}
  resolver:
    description: The file from which pods take their servers of names; one that names loopback alone makes a host unfit.
    type: str
    default: ""
  minimum_kernels:
    description: Settings that want a kernel of some version.
    type: list
    elements: dict
    default: []
    suboptions:
      version:
        description: Version below which the host is unfit, two numbers with a dot between.
        type: str
        required: true
      setting:
        description: Variable and value that want it.
        type: str
        required: true
      otherwise:
        description: Variable and value with which an older one is fit.
        type: str
        required: true
  minimum_memory_mb:
    description: Memory below which the host is unfit, in MiB.
    type: int
    default: 0
  minimum_disk_mb:
    description: Free space below C(/var/lib) below which the host is unfit, in MiB. Not asked of a host that runs already.
    type: int
    default: 0
  maximum_clock_skew:
    description: Seconds by which the host's clock may differ from the controller's. Without it the clock is not judged.
    type: int
  address:
    description: The address that the inventory gives this host; it must be one of its own.
    type: str
  address_v6:
    description: The IPv6 address that the inventory gives this host beside O(address); empty where it needs none.
    type: str
    default: ""
  virtual_address:
    description: An address that moves between this host and others; it must be in a network of this host.
    type: dict
    suboptions:
      address:
        description: The address.
        type: str
        required: true
      variable:
        description: The variable that it comes from, for the finding.
        type: str
        required: true
      interface:
        description: The interface that gets it; by default the one that has O(address).
        type: str
        default: ""
  endpoint:
    description: The address of somebody else's balancer, at which this host is to ask for the API. While something behind it is
      ready the API must answer there, before that a host at least.
    type: dict
    suboptions:
      address:
        description: The balancer's host:port.
        type: str
        required: true
      kind:
        description: The kind of balancer, for the finding.
        type: str
        required: true
      behind:
        description: Addresses that it hands connections to, C(https://host:port).
        type: list
        elements: str
        required: true
      ca:
        description: CA certificate of the API on this host.
        type: path
        required: true
      answers_when_empty:
        description: Whether it takes or refuses connections while nothing behind it is ready.
        type: bool
        default: true
"""

EXAMPLES = r"""
- name: Look at the host
  hardway.kubernetes.host_settings:
    state: inspected
    modules: [overlay, br_netfilter]
    minimum_memory_mb: 1024
"""

RETURN = r"""
findings:
  description: What makes the host unfit, each a sentence with the mend.
  returned: always
  type: list
  elements: str
missing_packages:
  description: Packages that are not installed.
  returned: always
  type: list
  elements: str
package_manager:
  description: The host's package manager, V(apt), V(dnf) or empty.
  returned: always
  type: str
machine_id:
  description: The host's machine id.
  returned: always
  type: str
node_name:
  description: The host's own name.
  returned: always
  type: str
differs:
  description: Whether V(present) would change something.
  returned: with V(inspected)
  type: bool
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_settings import SETTINGS_SPEC, Host


def main():
    module = AnsibleModule(
        argument_spec=SETTINGS_SPEC,
        supports_check_mode=True,
    )
    host = Host(module, module.params)
    result = {}
    if module.params["state"] == "inspected":
        result = dict(host.inspect(), clock=time.time())
    elif module.params["state"] == "present":
        host.install()
        host.apply()
    else:
        host.remove()
    module.exit_json(**dict(host.state.result(), **result))


if __name__ == "__main__":
    main()
