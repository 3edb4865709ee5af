# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: survey
short_description: Compare a whole host with what is wished of it, in one look
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - Reads everything that the modules P(hardway.kubernetes.host_settings#module), P(hardway.kubernetes.release_files#module),
    P(hardway.kubernetes.certificates#module), P(hardway.kubernetes.component#module) and
    P(hardway.kubernetes.image_archives#module) would read, and says which of their tasks have something to do.
  - A play then leaves out what is as wished, so that a run with nothing to change costs one look at each host.
  - Changes nothing, ever.
options:
  settings:
    description: Options of P(hardway.kubernetes.host_settings#module).
    type: dict
    default: {}
  release:
    description: Options of P(hardway.kubernetes.release_files#module).
    type: dict
    default: {}
  certificates:
    description: Options of P(hardway.kubernetes.certificates#module), O(pki_dir) and O(passphrase) apart.
    type: dict
    default: {}
  trusted_paths:
    description: Where hosts keep certificates of authorities.
    type: list
    elements: path
    default: []
  components:
    description: Options of P(hardway.kubernetes.component#module), by the name of the role that runs it.
    type: dict
    default: {}
  roles:
    description: All roles that run something on the host, which have to do something on a host of a new cluster. Those of
      O(components) by default. Used on the controller only.
    type: list
    elements: str
  units:
    description: Units that the host is to run. One of somebody else's that runs under such a name makes the host unfit. Set by the
      action plugin.
    type: list
    elements: str
    default: []
  unwanted:
    description: Names of components that this host ran under other settings and is not to run any more.
    type: list
    elements: str
    default: []
  kubeconfigs:
    description: Paths of kubeconfigs of components that ask through a balancer, there or not.
    type: list
    elements: path
    default: []
  images:
    description: The archives of P(hardway.kubernetes.image_archives#module), by the name of the role that loads them.
    type: dict
    default: {}
  port:
    description: Where the balancers that hold the virtual address take connections.
    type: int
    default: 6443
  etcd:
    description: On hosts that run etcd, the options of P(hardway.kubernetes.etcd_members#module) that say where to look - name,
      peer_url, servers, wal_dir and bootstrap.
    type: dict
    default: {}
  client_key:
    description: Key of an hour's access to etcd as PEM text. Set by the action plugin.
    type: str
  secrets:
    description: Contents of files that are marked secret, by path. Set by the action plugin, so that no log holds them.
    type: dict
    default: {}
  pki_dir:
    description: Folder of the controller that holds the cluster's authorities; a task must give it. Read on the controller only.
    type: path
  passphrase:
    description: Passphrase of the authorities' keys. Used on the controller only.
    type: str
"""

EXAMPLES = r"""
- name: Look at the host
  hardway.kubernetes.survey:
    settings: {state: inspected, packages: [conntrack]}
    components:
      kube_scheduler: "{{ __kube_scheduler__component }}"
  register: survey
"""

RETURN = r"""
host:
  description: What P(hardway.kubernetes.host_settings#module) tells of the host.
  returned: always
  type: dict
todo:
  description: What differs from the wish. V(host), V(release), V(certificates), or a role's name.
  returned: always
  type: list
  elements: str
restarts:
  description: Roles of components whose process is not there, is older than what is wished, or has to read its files again.
  returned: always
  type: list
  elements: str
etcd:
  description: What P(hardway.kubernetes.etcd_members#module) sees here, RV(hardway.kubernetes.etcd_members#module:seen).
  returned: when O(etcd) is given
  type: dict
trusted:
  description: Those of O(trusted_paths) that are there. A host that trusts authorities belongs to a cluster.
  returned: always
  type: list
  elements: str
unwanted:
  description: Those of O(unwanted) that are there.
  returned: always
  type: list
  elements: str
balances:
  description: Where a balancer of this host listens by its present configuration, C(127.0.0.1:port) for the host alone and
    C(*:port) for others too; empty where there is none.
  returned: always
  type: str
asks:
  description: The servers that O(kubeconfigs) lead to now.
  returned: always
  type: list
  elements: str
stores:
  description: The members of etcd that an API server of this host asks by its present unit; empty where none has ever served.
  returned: always
  type: list
  elements: str
settled:
  description: What an API server of this host has served a cluster with, by the variable C(cluster_api_port), C(cluster_service_cidr)
    or C(cluster_version); empty where none has ever served.
  returned: always
  type: dict
node:
  description: The name that this host's kubelet has in the API, by its present unit; empty where there is none.
  returned: always
  type: str
holds:
  description: The virtual address that this host's keepalived may hold by its present configuration; empty where there is none.
  returned: always
  type: str
has:
  description: Those of RV(holds) and the wished virtual address that are on an interface of this host now.
  returned: always
  type: list
  elements: str
taken:
  description: Whether somebody has the wished virtual address, which this host's keepalived does not hold yet.
  returned: always
  type: bool
found:
  description: The certificates that are there; the controller judges them.
  returned: when O(certificates) are given
  type: dict
"""

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils import api_server, balancer, systemd
from ansible_collections.hardway.kubernetes.plugins.module_utils.component import COMPONENT_SPEC, Component, valid
from ansible_collections.hardway.kubernetes.plugins.module_utils.etcd import ETCD_SPEC, by_url, look
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_certificates import (
    CERTIFICATES_SPEC,
    HostCertificates,
)
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_settings import SETTINGS_SPEC, Host
from ansible_collections.hardway.kubernetes.plugins.module_utils.images import IMAGES_SPEC, lacking_images
from ansible_collections.hardway.kubernetes.plugins.module_utils.release import RELEASE_SPEC, lacking_files


def registered():
    """The name that this host's kubelet has in the API, by its present unit; empty where there is none."""
    found = re.search(r"--hostname-override=([^\s\"']+)", systemd.text_of("kubelet"))
    return found.group(1) if found and systemd.written("kubelet") else ""


def main():
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "release": {"type": "dict", "default": {}},
            "certificates": {"type": "dict", "default": {}},
            "trusted_paths": {"type": "list", "elements": "path", "default": []},
            "components": {"type": "dict", "default": {}},
            "roles": {"type": "list", "elements": "str"},
            "units": {"type": "list", "elements": "str", "default": []},
            "unwanted": {"type": "list", "elements": "str", "default": []},
            "kubeconfigs": {"type": "list", "elements": "path", "default": []},
            "images": {"type": "dict", "default": {}},
            "port": {"type": "int", "default": 6443},
            "etcd": {"type": "dict", "default": {}},
            "client_key": {"type": "str", "no_log": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "pki_dir": {"type": "path"},
            "passphrase": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    module.check_mode = True  # all that follows only looks
    wish = module.params
    result = {"changed": False, "host": {}, "todo": [], "restarts": []}
    result.update(balances=balancer.listens(), asks=balancer.asked(wish["kubeconfigs"]), stores=api_server.stores())
    result.update(node=registered(), holds=balancer.holds(), settled=api_server.settled())
    virtual = (wish["settings"].get("virtual_address") or {}).get("address")
    result["taken"] = bool(virtual) and virtual != result["holds"] and balancer.taken(virtual, wish["port"])
    result["has"] = [
        address for address in sorted({virtual or "", result["holds"]} - {""}) if balancer.has(module, address)
    ]
    unit = systemd.UNIT_DIRECTORY + "/%s.service"
    result["unwanted"] = [name for name in wish["unwanted"] if os.path.isfile(unit % name)]
    if wish["settings"]:
        result["host"] = Host(module, valid(module, "settings", SETTINGS_SPEC, wish["settings"])).inspect()
        result["clock"] = time.time()
        result["host"]["findings"] += [one.stranger for one in systemd.units(module, wish["units"]) if one.stranger]
        if result["host"]["differs"] or result["host"]["missing_packages"]:
            result["todo"].append("host")
    if wish["release"] and lacking_files(module, valid(module, "release", RELEASE_SPEC, wish["release"])):
        result["todo"].append("release")
    if wish["certificates"]:
        wished = valid(module, "certificates", CERTIFICATES_SPEC, wish["certificates"])
        host = HostCertificates(module, wished)
        host.trust()
        result["found"] = host.inspect(wished["certificates"])
        if host.state.changed:
            result["todo"].append("certificates")
    result["trusted"] = [path for path in wish["trusted_paths"] if os.path.exists(path)]
    for role, options in wish["components"].items():
        component = Component(module, valid(module, role, COMPONENT_SPEC, options), wish["secrets"])
        component.start()
        archives = valid(module, role, IMAGES_SPEC, {"archives": wish["images"].get(role, [])})["archives"]
        if component.state.changed or component.unhealthy() or lacking_images(module, archives):
            result["todo"].append(role)
        if any(component.result[key] for key in ("started", "restarted", "reloaded")):
            result["restarts"].append(role)
    if wish["etcd"]:
        wished = valid(module, "etcd", ETCD_SPEC, wish["etcd"])
        result["etcd"] = look(wished, wish["client_key"])
        member = by_url(result["etcd"]["members"] or [], wished["peer_url"])
        if member and member["learner"] and "etcd" not in result["todo"]:
            result["todo"].append("etcd")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
