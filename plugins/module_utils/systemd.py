# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What systemd knows of a unit, and the few things to ask of it."""

from __future__ import annotations

import json
import os

from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import read_bytes

LIVES_FOR = 30  # seconds; what ends sooner, again and again, waits for nobody
UNIT_DIRECTORY = "/etc/systemd/system"
INPUTS_VARIABLE = "HARDWAY_INPUTS"
HEADER = "# Written by hardway.kubernetes"  # how units begin that filter to_unit makes
RELOADED_VARIABLE = "HARDWAY_RELOADED"  # stands beside the other in the file, and there alone is true after a reload


def units(module, names):
    """Several units of this host, asked of systemd at once; names without C(.service)."""
    shown = _show(module, [name + ".service" for name in names]) if names else []
    return [Unit(module, names[number], properties) for number, properties in enumerate(shown)]


def text_of(name):
    """The text of a unit in the administrator's folder, where the roles write theirs; empty where there is none."""
    return (read_bytes("%s/%s.service" % (UNIT_DIRECTORY, name)) or b"").decode("utf-8", "replace")


def written(name):
    """Whether this host has such a unit and a role of this collection wrote it."""
    return text_of(name).startswith(HEADER)


def _show(module, names):
    """The properties of each unit, in this order."""
    properties = "--property=ActiveState,SubState,MainPID,UnitFileState,NRestarts,Result,NeedDaemonReload,FragmentPath"
    dummy, out, dummy = module.run_command(["systemctl", "show", properties] + names)
    blocks = out.strip().split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


class Unit:
    """One service unit of this host."""

    def __init__(self, module, name, properties=None):
        self.module = module
        self.service = name
        self.name = name + ".service"
        self.path = "%s/%s" % (UNIT_DIRECTORY, self.name)
        self.inputs_path = "/var/lib/hardway/%s.inputs" % name
        self.properties = properties
        if properties is None:
            self.refresh()

    def refresh(self):
        """Read the unit's state anew."""
        (self.properties,) = _show(self.module, [self.name])

    @property
    def pid(self):
        """The main process, or 0."""
        return int(self.properties.get("MainPID") or 0)

    @property
    def running(self):
        """Whether its main process lives, or a oneshot has done its work."""
        return self.pid > 0 or (self.properties.get("ActiveState"), self.properties.get("SubState")) == (
            "active",
            "exited",
        )

    @property
    def failed(self):
        """Whether it ended in a failure that systemd remembers, which outlives the unit's file."""
        return self.properties.get("ActiveState") == "failed"

    @property
    def enabled(self):
        """Whether it starts at boot."""
        return self.properties.get("UnitFileState") == "enabled"

    @property
    def state(self):
        """The unit's state in words, as systemctl status says it."""
        return "%s (%s)" % (self.properties.get("ActiveState"), self.properties.get("SubState"))

    @property
    def theirs(self):
        """Where the unit is, if neither a role of this collection wrote it nor module component started it; else empty."""
        path = self.properties.get("FragmentPath") or ""
        ours = (read_bytes(path) or HEADER.encode()).startswith(HEADER.encode()) or os.path.exists(self.inputs_path)
        return "" if not path or ours else path

    @property
    def stranger(self):
        """Why a component can't have this name on this host, as a sentence with the mend; empty where it can."""
        if not self.theirs or not (self.running or self.enabled):
            return ""
        return (
            "runs the service %s of somebody else's (%s), which would be replaced. If it is not needed, stop it and keep it from "
            "starting (systemctl disable --now %s), and move away what it keeps; otherwise give that part to another host."
            % (self.service, self.theirs, self.service)
        )

    def process_inputs(self):
        """The digest of all that the running process was started with, or None.

        It stands in the process's own environment, so it is true after crashes, reboots and clock changes alike.
        """
        if not self.pid:
            return None
        try:
            with open("/proc/%d/environ" % self.pid, "rb") as stream:
                for entry in stream.read().split(b"\0"):
                    if entry.startswith(INPUTS_VARIABLE.encode() + b"="):
                        return entry.split(b"=", 1)[1].decode()
        except OSError:
            pass
        return None

    def systemctl(self, *arguments):
        """Run systemctl and fail with its words where it fails."""
        self.module.run_command(["systemctl"] + list(arguments), check_rc=True)

    @property
    def restarts(self):
        """How often systemd has started it again by itself; the count outlives a restart that was asked for."""
        return int(self.properties.get("NRestarts") or 0)

    def crashed(self, before=0, seconds=0):
        """A reason to stop waiting: the process keeps ending. None while it may still come up.

        :arg before: what restarts was when the wait began.
        :arg seconds: for how long it has been waited. A process that lives for a while each time waits for something itself,
            such as for the answer of an API server on a slow host.
        """
        self.refresh()
        times = self.restarts - before
        if self.failed or (times >= 3 and seconds < times * LIVES_FOR):
            return "its process ends again and again (%s, result %s)" % (self.state, self.properties.get("Result"))
        return None

    def last_lines(self, count=15):
        """The unit's last log lines from the journal; of a process that said more, its first ones too.

        Some say what is wrong first and then how they are used, at length.
        """
        entries = self._journal()
        texts = [text for text, dummy in entries]
        runs = {}
        for number, (_text, run) in enumerate(entries):
            if run:
                runs.setdefault(run, []).append(number)
        # Of a process that ends again and again the last one may not have said all yet.
        said = max(list(runs.values())[-2:], key=len, default=[])
        if said and said != list(runs.values())[-1]:
            texts = texts[: said[-1] + 1]
        if not said or said[0] >= len(texts) - count or count < 6:
            return texts[-count:]
        first = count // 3
        return [texts[number] for number in said[:first]] + ["..."] + texts[first + 1 - count :]

    def _journal(self, lines=1000):
        """The newest lines, each with the invocation of the process that wrote it, or None where systemd itself did."""
        fields = "MESSAGE,_SYSTEMD_UNIT,_SYSTEMD_INVOCATION_ID"
        command = ["journalctl", "--no-pager", "--output", "json", "--output-fields", fields]
        dummy, out, dummy = self.module.run_command(command + ["--unit", self.name, "--lines", str(lines)])
        found = []
        for line in out.splitlines():
            entry = json.loads(line)
            text = entry.get("MESSAGE") or ""
            if isinstance(text, list):  # journalctl's way with what is no UTF-8
                text = bytes(text).decode("utf-8", "replace")
            ours = entry.get("_SYSTEMD_UNIT") == self.name
            found.append((text, entry.get("_SYSTEMD_INVOCATION_ID") if ours else None))
        return found
