#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Run one component as a systemd service
description:
  - Holds the whole wished state of one component in one task. That is its system user, directories, files, links,
    systemd unit, the running process and its health.
  - The running process carries a digest of everything it was started with in its environment. Where that digest and what
    is on disk differ, the process is restarted; where they agree, nothing is, whatever an earlier run left half done.
  - Runs as an action plugin too, which lets hosts restart one after the other while first starts happen side by side.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
extends_documentation_fragment: [hardway.kubernetes.turn]
attributes:
  check_mode:
    description: Says what would change and touches nothing.
    support: full
  diff_mode:
    description: Shows files, links, the unit and a restart; content marked secret is never shown.
    support: full
options:
  name:
    description: The component's name and its unit's name without C(.service).
    type: str
    required: true
  state:
    description: V(started) makes it run; V(healthy) only waits until O(healthy) holds; V(absent) takes away what this task
      would have installed.
    type: str
    choices: [started, healthy, absent]
    default: started
  user:
    description: System user that the component runs as; made where missing. Empty means root.
    type: str
  user_groups:
    description: Further groups of that user.
    type: list
    elements: str
    default: []
  directories:
    description: Directories that must exist before the process starts.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group; the owner's own group by default.
        type: str
      mode:
        description: Octal mode.
        type: str
        default: "0755"
      data:
        description: Holds data that O(state=absent) leaves alone unless O(remove_data) is set.
        type: bool
        default: false
      shared:
        description: Is used by other components too, so that O(state=absent) removes it only when it is empty.
        type: bool
        default: false
  files:
    description: Configuration files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The whole content; the action plugin brings that of a secret file in O(secrets).
        type: str
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group; the owner's own group by default.
        type: str
      mode:
        description: Octal mode.
        type: str
        default: "0644"
      secret:
        description: Keep the content out of diffs.
        type: bool
        default: false
      restart:
        description: Whether the process must be newer than this file.
        type: bool
        default: true
      reload:
        description: The process reads this file again when it is told to, by the unit's C(ExecReload), instead of being
          replaced. That takes its turn too, and no gate. O(files[].restart) is not looked at then.
        type: bool
        default: false
  sweep:
    description: Patterns of the shell for paths. What begins as a file that this collection writes, and is none of O(files) any
      more, goes, and its folder where nothing else is in it. Somebody else's files stay.
    type: list
    elements: path
    default: []
  links:
    description: Symbolic links, path to target; the process must be newer than their targets.
    type: dict
    default: {}
  secrets:
    description: Contents of files that are marked secret, by path. Set by the action plugin, so that no log holds them.
    type: dict
    default: {}
  inputs:
    description: Paths of further files that the process must be newer than, such as its certificates.
    type: list
    elements: path
    default: []
  unit:
    description: The systemd unit's text. Without one the component is only its files and links.
    type: str
  healthy:
    description: How to tell that the process does its work; O(healthy.within) is in seconds.
    type: dict
    suboptions: &probe
      url:
        description: Asked with GET; 200 is healthy.
        type: str
      tcp:
        description: host:port that must accept a connection.
        type: str
      socket:
        description: Unix socket that must accept a connection.
        type: path
      ca:
        description: CA certificate that the server's must chain to.
        type: path
      cert:
        description: Client certificate.
        type: path
      key:
        description: The client certificate's key.
        type: path
      expect:
        description: Text that the answer must hold.
        type: str
      behind:
        description: URLs of what answers through the url. While none of them is healthy by itself, the url need only take connections.
        type: list
        elements: str
        default: []
      within:
        description: Seconds to wait for health.
        type: int
        default: 60
  wait_first_start:
    description: Whether a first start waits for health. Members that need one another to come up do not.
    type: bool
    default: true
  start_when:
    description: What must hold before a process that does not run is started, which would end again without it, as in
      O(healthy); it is started all the same once O(start_when.within) is over.
    type: dict
    suboptions: *probe
  restart_gate:
    description: A restart of a healthy process is refused unless enough of the others are healthy.
    type: dict
    suboptions:
      others:
        description: Probes of the other members, as in O(healthy).
        type: list
        elements: dict
        default: []
        suboptions: *probe
      at_least:
        description: How many of the others must be healthy.
        type: int
        default: 0
  lease:
    description: Where runs of several controllers agree on turns, beside the lock of one controller; a Lease in the
      cluster's own API. The action plugin keeps it to itself.
    type: dict
    suboptions:
      servers:
        description: Addresses of the API servers.
        type: list
        elements: str
        required: true
      pki_dir:
        description: Folder of the controller with the authorities.
        type: path
        required: true
      passphrase:
        description: Passphrase of the authorities' keys.
        type: str
  client_key:
    description: The key of O(turn.client_certificate) as PEM text. Set by the action plugin.
    type: str
  restart:
    description: V(defer) writes nothing where a running process would need a restart or a reload, and says so in
      RV(restart_pending).
    type: str
    choices: [now, defer]
    default: now
  remove_data:
    description: With O(state=absent), remove directories marked as data too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Run kube-scheduler
  hardway.kubernetes.component:
    name: kube-scheduler
    user: kube-scheduler
    files:
      - path: /etc/kubernetes/kube-scheduler/config.yaml
        content: "{{ kube_scheduler__config | to_nice_yaml }}"
    links:
      /usr/local/bin/kube-scheduler: /opt/hardway/kubernetes/v1.36.3/kube-scheduler
    unit: "{{ lookup('ansible.builtin.template', 'kube-scheduler.service.j2') }}"
    healthy:
      url: https://127.0.0.1:10259/readyz
      ca: /etc/kubernetes/pki/ca.crt
"""

RETURN = r"""
restart_pending:
  description: The running process differs from what is wished, and O(restart=defer) left it alone.
  returned: always
  type: bool
started:
  description: The process was started in this run.
  returned: always
  type: bool
restarted:
  description: The running process was replaced in this run.
  returned: always
  type: bool
reloaded:
  description: The running process was told to read its files again in this run.
  returned: always
  type: bool
log:
  description: The unit's last log lines.
  returned: when the component is not healthy
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.component import COMPONENT_SPEC, Component


def main():
    module = AnsibleModule(
        argument_spec=COMPONENT_SPEC,
        required_if=[("state", "healthy", ["healthy"])],
        supports_check_mode=True,
    )
    component = Component(module, module.params, module.params["secrets"])
    if module.params["state"] == "started":
        component.refuse_stranger()
        component.take_turn()
    elif module.params["state"] == "healthy":
        component.wait_healthy()
    else:
        component.remove()
    module.exit_json(**dict(component.state.result(), **component.result))


if __name__ == "__main__":
    main()
