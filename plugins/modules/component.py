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
        description: The whole content.
        type: str
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
        default: "0644"
      secret:
        description: Keep the content out of diffs.
        type: bool
        default: false
      restart:
        description: Whether the process must be newer than this file.
        type: bool
        default: true
  links:
    description: Symbolic links, path to target; the process must be newer than their targets.
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
      within:
        description: Seconds to wait for health.
        type: int
        default: 60
  wait_first_start:
    description: Whether a first start waits for health. Members that need one another to come up do not.
    type: bool
    default: true
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
  restart:
    description: V(defer) writes nothing where a running process would need a restart, and says so in RV(restart_pending).
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
  description: The running process differs from what is wished and O(restart=defer) left it alone.
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
log:
  description: The unit's last log lines.
  returned: when the component is not healthy
  type: list
  elements: str
"""

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils import probe as probing
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, identity, read_bytes
from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import INPUTS_VARIABLE, Unit


def unit_text(text, inputs_path):
    """The unit, its process told what it was started with; the file is optional so that the unit starts without it too."""
    return text.replace("[Service]\n", "[Service]\nEnvironmentFile=-%s\n" % inputs_path, 1)


class Component:
    """One component on one host: what is wished, what is there, and the way from here to there."""

    def __init__(self, module):
        self.module = module
        self.wish = module.params
        self.state = HostState(module)
        self.unit = Unit(module, self.wish["name"])
        self.unit_text = unit_text(self.wish["unit"], self.unit.inputs_path) if self.wish["unit"] else None
        self.result = {"restart_pending": False, "started": False, "restarted": False}

    def digest(self):
        """A digest of everything the process reads at its start, as it will be once the wish is fulfilled."""
        whole = hashlib.sha256(self.unit_text.encode())
        for wished in self.wish["files"]:
            if wished["restart"]:
                whole.update(("%s\0%s\0" % (wished["path"], wished["content"])).encode())
        for path, target in sorted(self.wish["links"].items()):
            whole.update(("%s\0%s\0" % (path, identity(target))).encode())
        for path in self.wish["inputs"]:
            whole.update(("%s\0%s\0" % (path, identity(path))).encode())
        return whole.hexdigest()[:32]

    def start(self):
        """Make the wish true."""
        if not self.unit_text:
            self._write()
            return
        digest = self.digest()
        fresh = self._running_inputs() == digest
        # Where it does not serve anyway, a restart costs nothing and needs no turn of its own.
        ailing = self.unit.running and not fresh and self._unhealthy()
        if self.unit.running and not fresh and not ailing:
            if self.wish["restart"] == "defer" and not self.module.check_mode:
                self.result["restart_pending"] = True
                return
            if not self.module.check_mode:
                self._gate()
        unit_changed = self._write()
        if not self.unit.enabled:
            self.state.note(self.unit.name, "not enabled\n", "enabled\n")
        if not self.unit.running:
            self.state.note(self.unit.name, self.unit.state + "\n", "running\n")
            self.result["started"] = True
        elif not fresh:
            self.state.note(self.unit.name, "running with older inputs\n", "restarted\n")
            self.result["restarted"] = True
        if self.module.check_mode:
            return
        self._apply(digest, unit_changed)
        if self.wish["healthy"] and (fresh or self.result["restarted"] or self.wish["wait_first_start"]):
            self.wait_healthy()

    def _running_inputs(self):
        if self.unit.running and not self.unit.pid:
            return (read_bytes(self.unit.inputs_path) or b"").decode().strip().split("=", 1)[-1]
        return self.unit.process_inputs()

    def _unhealthy(self):
        return bool(self.wish["healthy"]) and probing.ask(self.wish["healthy"]) is not None

    def _gate(self):
        gate = self.wish["restart_gate"]
        if not gate or not gate["at_least"]:
            return
        wrong = []
        for other in gate["others"]:
            reason = probing.ask(other)
            if reason:
                wrong.append("%s: %s" % (probing.describe(other), reason))
        healthy = len(gate["others"]) - len(wrong)
        if healthy < gate["at_least"]:
            self.module.fail_json(
                msg="%s needs a restart for its new settings, and it was refused: only %d of the other %d members are "
                "healthy and %d must be. Nothing was changed on this host. Mend the others first: %s"
                % (self.wish["name"], healthy, len(gate["others"]), gate["at_least"], "; ".join(wrong)),
                **self.result,
            )

    def _write(self):
        """Users, directories, files, links and the unit; returns whether the unit's text changed."""
        if self.wish["user"]:
            self.state.system_user(self.wish["user"], groups=self.wish["user_groups"])
        for wished in self.wish["directories"]:
            self.state.directory(wished["path"], wished["owner"], wished["group"], wished["mode"])
        for wished in self.wish["files"]:
            self.state.file(
                wished["path"], wished["content"], wished["owner"], wished["group"], wished["mode"], wished["secret"]
            )
        for path, target in sorted(self.wish["links"].items()):
            self.state.link(path, target)
        return bool(self.unit_text) and self.state.file(self.unit.path, self.unit_text)

    def _apply(self, digest, unit_changed):
        # The digest is written last but one, the process started last: a run killed before leaves a process without it.
        oneshot = "Type=oneshot" in self.unit_text
        inputs = "%s=%s\n" % (INPUTS_VARIABLE, digest)
        silent = HostState(self.module)
        if unit_changed or self.unit.properties.get("NeedDaemonReload") == "yes":
            self.unit.systemctl("daemon-reload")
        if not oneshot:
            silent.file(self.unit.inputs_path, inputs)
        if not self.unit.enabled:
            self.unit.systemctl("enable", self.unit.name)
        if self.result["started"] or self.result["restarted"]:
            if self.unit.properties.get("ActiveState") == "failed":
                self.unit.systemctl("reset-failed", self.unit.name)
            block = [] if oneshot else ["--no-block"]
            self.unit.systemctl("restart", *(block + [self.unit.name]))
        if oneshot:
            silent.file(self.unit.inputs_path, inputs)

    def wait_healthy(self):
        """Wait for health; fails with the unit's last log lines."""
        self.unit.refresh()
        wrong = probing.wait(self.wish["healthy"], self.unit.crashed)
        if wrong is None:
            return
        log = self.unit.last_lines()
        self.module.fail_json(
            msg="%s is not healthy on this host after %d s. Probed: %s. Seen: %s. Unit %s is %s. Its last log lines:\n%s\n"
            "Look further with: systemctl status %s; journalctl -u %s. Mend the setting and run the playbook again."
            % (
                self.wish["name"],
                self.wish["healthy"]["within"],
                probing.describe(self.wish["healthy"]),
                wrong,
                self.unit.name,
                self.unit.state,
                "\n".join(log),
                self.wish["name"],
                self.wish["name"],
            ),
            log=log,
            **dict(self.state.result(), **self.result),
        )

    def remove(self):
        """Take away what start() would have installed."""
        if self.unit.running or self.unit.enabled:
            self.state.note(self.unit.name, self.unit.state + "\n", "stopped, not enabled\n")
            if not self.module.check_mode:
                self.unit.systemctl("disable", "--now", self.unit.name)
        if self.state.absent(self.unit.path) and not self.module.check_mode:
            self.unit.systemctl("daemon-reload")
        self.state.absent(self.unit.inputs_path)
        for wished in self.wish["files"]:
            self.state.absent(wished["path"])
        for path in self.wish["links"]:
            if os.path.islink(path):
                self.state.absent(path)
        keeps = [
            wished["path"] for wished in self.wish["directories"] if wished["data"] and not self.wish["remove_data"]
        ]
        for wished in reversed(self.wish["directories"]):
            holds_data = any((path + "/").startswith(wished["path"].rstrip("/") + "/") for path in keeps)
            if not holds_data:
                self.state.absent(wished["path"], only_if_empty=wished["shared"])
        if self.wish["user"] and not keeps:  # data that stays keeps its owner
            self.state.system_user_absent(self.wish["user"])


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "healthy", "absent"], "default": "started"},
            "user": {"type": "str"},
            "user_groups": {"type": "list", "elements": "str", "default": []},
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str"},
                    "mode": {"type": "str", "default": "0755"},
                    "data": {"type": "bool", "default": False},
                    "shared": {"type": "bool", "default": False},
                },
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "secret": {"type": "bool", "default": False, "no_log": False},  # says that content is one
                    "restart": {"type": "bool", "default": True},
                },
            },
            "links": {"type": "dict", "default": {}},
            "inputs": {"type": "list", "elements": "path", "default": []},
            "unit": {"type": "str"},
            "healthy": {"type": "dict", "options": probing.PROBE_SPEC},
            "wait_first_start": {"type": "bool", "default": True},
            "restart_gate": {
                "type": "dict",
                "options": {
                    "others": {
                        "type": "list",
                        "elements": "dict",
                        "default": [],
                        "options": probing.PROBE_SPEC,
                    },
                    "at_least": {"type": "int", "default": 0},
                },
            },
            "restart": {"type": "str", "choices": ["now", "defer"], "default": "now"},
            "remove_data": {"type": "bool", "default": False},
        },
        required_if=[("state", "healthy", ["healthy"])],
        supports_check_mode=True,
    )
    component = Component(module)
    if module.params["state"] == "started":
        component.start()
    elif module.params["state"] == "healthy":
        component.wait_healthy()
    else:
        component.remove()
    module.exit_json(**dict(component.state.result(), **component.result))


if __name__ == "__main__":
    main()
