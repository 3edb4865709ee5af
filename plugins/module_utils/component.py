# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One component of Kubernetes on a host: what is wished, what is there, and the way from here to there."""

from __future__ import annotations

import glob
import hashlib
import os
import time

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hardway.kubernetes.plugins.module_utils import probe as probing
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, identity, read_bytes
from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import in_words, wait_for
from ansible_collections.hardway.kubernetes.plugins.module_utils.lease import TURN_SPEC, TURN_TAKES, TURN_WAITS, agreed
from ansible_collections.hardway.kubernetes.plugins.module_utils.systemd import (
    HEADER,
    INPUTS_VARIABLE,
    RELOADED_VARIABLE,
    Unit,
)


def unit_text(text, inputs_path):
    """The unit, its process told what it was started with; the file is optional so that the unit starts without it too."""
    return text.replace("[Service]\n", "[Service]\nEnvironmentFile=-%s\n" % inputs_path, 1)


def contents(files):
    """Paths and contents of wished files, as a digest takes them."""
    return "".join("%s\0%s\0" % (file["path"], file["content"]) for file in files).encode()


def alive(pid):
    """Whether a process (0: none) is there and is no zombie."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def began_at(pid):
    """When a process began, in seconds since the epoch by the present clock; None where that can't be told."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as stat, open("/proc/uptime", encoding="utf-8") as uptime:
            ticks = int(stat.read().rpartition(")")[2].split()[19])
            return time.time() - float(uptime.read().split()[0]) + ticks / os.sysconf("SC_CLK_TCK")
    except OSError:
        return None


def changed_after(path, moment):
    """Whether a file or link was surely put there later than that; one that is gone may have gone before."""
    try:
        return os.lstat(path).st_ctime > moment + CLOCKS_DIFFER
    except OSError:
        return False


def leads_to(path, target):
    """Whether a link is there and leads to this very place."""
    return os.path.islink(path) and os.readlink(path) == target


AILS_AFTER = 10  # seconds
CLOCKS_DIFFER = 0.05  # seconds, of what the kernel tells of processes and of files


def valid(module, what, spec, wish):
    """The wish with its defaults, as the module of its own would have it."""
    if not isinstance(wish, dict):
        module.fail_json(msg="%s: the options of a module were expected, not %r" % (what, wish))
    checked = ArgumentSpecValidator(spec).validate(wish)
    if checked.error_messages:
        module.fail_json(msg="%s: %s" % (what, "; ".join(checked.error_messages)))
    return checked.validated_parameters


def announce(module, components):
    """Tell systemd once of all units that changed: each time it reads every unit of the host anew."""
    due = [component for component in components if component.due]
    disabled = [component.unit.name for component in due if not component.unit.enabled]
    reload = any(component.reload for component in due)
    if disabled:  # which makes it read all units too, unless told not to
        module.run_command(["systemctl", "enable"] + ["--no-reload"] * reload + disabled, check_rc=True)
    if reload:
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)


class Component:
    """One component on one host: what is wished, what is there, and the way from here to there."""

    def __init__(self, module, wish, secrets, state=None):
        self.module = module
        self.wish = wish
        for wished in wish["files"]:
            wished["content"] = secrets.get(wished["path"], wished["content"])
            if wished["content"] is None:
                module.fail_json(msg="%s: file %s has no content" % (wish["name"], wished["path"]))
        self.state = state or HostState(module)
        self.awaited = False
        self.due = None  # the digest of a process that is to run
        self.reload = False
        self.ending = 0  # the process that a restart replaces
        self.unit = Unit(module, self.wish["name"])
        self.unit_text = unit_text(self.wish["unit"], self.unit.inputs_path) if self.wish["unit"] else None
        self.result = {"restart_pending": False, "started": False, "restarted": False, "reloaded": False}

    def digest(self):
        """A digest of everything that only a start makes known to the process, as it will be once the wish is fulfilled."""
        whole = hashlib.sha256(self.unit_text.encode())
        whole.update(contents(self._read(reload=False)))
        for path, target in sorted(self.wish["links"].items()):
            whole.update(("%s\0%s\0" % (path, identity(target))).encode())
        for path in self.wish["inputs"]:
            whole.update(("%s\0%s\0" % (path, identity(path))).encode())
        return whole.hexdigest()[:32]

    def reload_digest(self):
        """A digest of the files that the process reads again where it is told to; empty where there are none."""
        whole = contents(self._read(reload=True))
        return hashlib.sha256(whole).hexdigest()[:32] if whole else ""

    def _read(self, reload):
        """The files that the process reads again where it is told to, or those that it reads at its start alone."""
        return [
            file
            for file in self.wish["files"]
            if (file["reload"] if reload else file["restart"] and not file["reload"])
        ]

    def _differ(self, reload):
        """Which of these files are not on the disk as wished."""
        return [file["path"] for file in self._read(reload) if read_bytes(file["path"]) != file["content"].encode()]

    def _edited(self):
        """Whether the process may have read something else at its start than what is wished.

        That is on the disk then, and was before the process began. Who edits a file may restart the unit, which inherits the digest
        all the same.
        """
        differ = self._differ(reload=False)
        differ += [path for path, target in self.wish["links"].items() if not leads_to(path, target)]
        if read_bytes(self.unit.path) != self.unit_text.encode():
            differ.append(self.unit.path)
        began = began_at(self.unit.pid) if differ else None
        return any(began is None or not changed_after(path, began) for path in differ)

    def refuse_stranger(self):
        """Fail where somebody else's service of this name would be replaced; a whole run has looked at that before."""
        if self.unit_text and self.unit.stranger:
            self.module.fail_json(msg="This host %s Nothing was changed." % self.unit.stranger, **self.result)

    def start(self):
        """Make the wish true."""
        self.prepare()
        announce(self.module, [self])
        self.launch()

    def _lacking(self):
        """Fail where a link would lead to nothing: such as to a version that a run with tags did not bring."""
        for path, target in sorted(self.wish["links"].items()):
            if target and not os.path.exists(target) and not self.module.check_mode:
                self.module.fail_json(
                    msg="%s is to lead to %s, which is not on this host. Nothing was changed on it. Run site.yml without tags, or with "
                    "the tag release first." % (path, target),
                    **self.result,
                )

    def prepare(self):
        """Everything on disk; what is left to do then is due."""
        self._lacking()
        if not self.unit_text:
            self._write()
            return
        digest = self.digest()
        fresh = self._running_inputs() == digest and not self._edited()
        # Both lines of the file are written at once: where the one is not the process's, neither is the other.
        rereads = self.reload_digest()
        noted = (self._noted(INPUTS_VARIABLE), self._noted(RELOADED_VARIABLE))
        up_to_date = fresh and (not rereads or (noted == (digest, rereads) and not self._differ(reload=True)))
        if self.unit.running and not up_to_date and not self.module.check_mode:
            if self.wish["restart"] == "defer":
                self.result["restart_pending"] = True
                return
            # Where it does not serve anyway a restart costs nothing; one probe that failed is no proof of that.
            if not fresh and not self.unhealthy(for_seconds=AILS_AFTER):
                self._gate()
        unit_changed = self._write()
        if not self.unit.enabled:
            self.state.note(self.unit.name, "not enabled\n", "enabled\n")
        if not self.unit.running:
            self.state.note(self.unit.name, self.unit.state + "\n", "running\n")
            self.result["started"] = True
        elif not fresh:
            self.state.note(self.unit.name, "running with other inputs\n", "restarted\n")
            self.result["restarted"] = True
        elif not up_to_date:
            self.state.note(self.unit.name, "running with other settings\n", "reloaded\n")
            self.result["reloaded"] = True
        if self.module.check_mode:
            return
        self.due = digest
        self.reload = unit_changed or self.unit.properties.get("NeedDaemonReload") == "yes"
        self.awaited = bool(self.wish["healthy"]) and (
            fresh or self.result["restarted"] or self.wish["wait_first_start"]
        )

    def take_turn(self):
        """start() and finish() while no other run, of this controller or another, restarts what has a gate too."""
        seconds = 2 * self._patience() + TURN_TAKES  # at the gate, and for health
        with agreed(self.wish["turn"], self.wish["client_key"], seconds) as other:
            if other:
                self.module.fail_json(
                    msg="%s needs a restart, and %s has had the turn for %d s (Lease %s in kube-system). Nothing was changed on "
                    "this host. Wait for that run, and run again."
                    % (self.wish["name"], other, TURN_WAITS, self.wish["turn"]["name"]),
                    **self.result,
                )
            if self.wish["turn"]:
                self.unit.refresh()  # whoever had it before may have restarted the unit
            self.start()
            self.finish()

    def finish(self):
        """Wait for the health of what start() left running."""
        if self.awaited:
            self.wait_healthy()

    def _running_inputs(self):
        if self.unit.running and not self.unit.pid:
            return self._noted(INPUTS_VARIABLE)
        return self.unit.process_inputs()

    def _noted(self, variable):
        """What stands in the file beside the unit; of files that are read again only this file tells."""
        lines = (read_bytes(self.unit.inputs_path) or b"").decode().splitlines()
        return "".join(line.split("=", 1)[1] for line in lines if line.startswith(variable + "="))

    def unhealthy(self, for_seconds=0):
        """Whether it does not do its work, now or all of the time for so many seconds."""
        healthy = self.wish["healthy"]
        return bool(healthy) and probing.wait(dict(healthy, within=for_seconds)) is not None

    def _gate(self):
        gate = self.wish["restart_gate"]
        if not gate or not gate["at_least"]:
            return

        def closed():
            found = {probing.describe(other): probing.ask(other) for other in gate["others"]}
            wrong = {name: reason for name, reason in found.items() if reason}
            return None if len(found) - len(wrong) >= gate["at_least"] else wrong

        # Others may be in their first start, which the same run began beside this. Where all are well and too few, none helps.
        wrong = wait_for(closed, self._patience(), 1)
        if wrong is not None:
            self.module.fail_json(
                msg="%s needs a restart for its new settings, and it was refused: only %d of the other %d members are "
                "healthy and %d must be. It was left as it is on this host. Mend the others first: %s"
                % (
                    self.wish["name"],
                    len(gate["others"]) - len(wrong),
                    len(gate["others"]),
                    gate["at_least"],
                    in_words(wrong),
                ),
                **self.result,
            )

    def _patience(self):
        """Seconds that a start of it may take."""
        return (self.wish["healthy"] or {}).get("within", 0)

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
        self._sweep()
        for path, target in sorted(self.wish["links"].items()):
            self.state.link(path, target)
        return bool(self.unit_text) and self.state.file(self.unit.path, self.unit_text)

    def _sweep(self):
        """Files that an earlier wish put there; what does not begin as ours is somebody else's and stays."""
        wished = {file["path"] for file in self.wish["files"]}
        for pattern in self.wish["sweep"]:
            for path in sorted(glob.glob(pattern)):
                if path not in wished and (read_bytes(path) or b"").startswith(HEADER.encode()):
                    self.state.absent(path)
                    self.state.absent(os.path.dirname(path), only_if_empty=True)

    def launch(self):
        """Start or restart what prepare() left due, once announce() has told systemd of it."""
        if not self.due:
            return
        # The digest is written last but one, the process started last: a run killed before leaves a process without it.
        oneshot = "Type=oneshot" in self.unit_text
        inputs = "%s=%s\n" % (INPUTS_VARIABLE, self.due)
        rereads = self.reload_digest()
        if rereads:
            inputs += "%s=%s\n" % (RELOADED_VARIABLE, rereads)
        silent = HostState(self.module)
        if self.result["reloaded"]:  # before it is written down: a run that is killed in between reloads once more
            self.unit.systemctl("reload", self.unit.name)
        if self.result["started"] and self.wish["start_when"]:
            # Where it does not come to hold, the start fails as it would have, and tells of it in its own words.
            probing.wait(self.wish["start_when"])
        if not oneshot:
            silent.file(self.unit.inputs_path, inputs)
        if self.result["started"] or self.result["restarted"]:
            if self.unit.failed:
                self.unit.systemctl("reset-failed", self.unit.name)
            block = [] if oneshot else ["--no-block"]
            self.unit.refresh()  # it may have ended and come back since
            self.ending = self.unit.pid
            self.unit.systemctl("restart", *(block + [self.unit.name]))
        if oneshot:
            silent.file(self.unit.inputs_path, inputs)
        silent.settle()

    def wait_healthy(self):
        """Wait for health; fails with the unit's last log lines."""
        self.unit.refresh()
        before = self.unit.restarts
        began = time.monotonic()

        def crashed():
            return self.unit.crashed(before, time.monotonic() - began)

        wrong = probing.wait(self.wish["healthy"], crashed, self._still_the_old_one)
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

    def _still_the_old_one(self):
        """While a process ends it goes on answering, and its health says nothing of the new one's."""
        return "the old process (%d) has not ended yet" % self.ending if alive(self.ending) else None

    def remove(self):
        """Take away what start() would have installed; somebody else's unit of this name, and what it may use, stays."""
        if self.unit.theirs:
            self.module.warn("%s was left alone: %s is somebody else's." % (self.wish["name"], self.unit.theirs))
            return
        stops = self.unit.running or self.unit.enabled
        if stops or self.unit.failed:
            self.state.note(self.unit.name, self.unit.state + "\n", "stopped, not enabled\n")
            if not self.module.check_mode:
                if stops:
                    self.unit.systemctl("disable", "--now", self.unit.name)
                    self.unit.refresh()  # one that is stopped while it starts has failed
                if self.unit.failed:
                    self.unit.systemctl("reset-failed", self.unit.name)
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
                self.state.absent(wished["path"], only_if_empty=wished["shared"], place=wished["data"])
        if self.wish["user"] and not keeps:  # data that stays keeps its owner
            self.state.system_user_absent(self.wish["user"])


COMPONENT_SPEC = {
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
            "content": {"type": "str"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str"},
            "mode": {"type": "str", "default": "0644"},
            "secret": {"type": "bool", "default": False, "no_log": False},  # says that content is one
            "restart": {"type": "bool", "default": True},
            "reload": {"type": "bool", "default": False},
        },
    },
    "sweep": {"type": "list", "elements": "path", "default": []},
    "links": {"type": "dict", "default": {}},
    "inputs": {"type": "list", "elements": "path", "default": []},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "unit": {"type": "str"},
    "healthy": {"type": "dict", "options": probing.PROBE_SPEC},
    "wait_first_start": {"type": "bool", "default": True},
    "start_when": {"type": "dict", "options": probing.PROBE_SPEC},
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
    "turn": TURN_SPEC,
    # Not a part of turn: of what stands in a dict, the log would show a key whose lines are escaped.
    "client_key": {"type": "str", "no_log": True},
    "lease": {
        "type": "dict",
        "options": {
            "servers": {"type": "list", "elements": "str", "required": True},
            "pki_dir": {"type": "path", "required": True},
            "passphrase": {"type": "str", "no_log": True},
        },
    },
    "restart": {"type": "str", "choices": ["now", "defer"], "default": "now"},
    "remove_data": {"type": "bool", "default": False},
}
