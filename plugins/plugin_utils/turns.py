# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts of one component, one host after the other: whoever comes next goes on only where the last one went well.

Touches on the controller: one lock file for each component in the cluster's folder. Where a component names a Lease, runs of
other controllers wait for their turn as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os

from ansible.plugins.action import ActionBase
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.api_access import access
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.secrets import apart

LEASE = "hardway-restarts"  # one for all that has a gate, so that etcd and API servers never take turns at once


def this_run():
    """What tells this run of ansible-playbook from all others: its process, and when that began.

    Process numbers alone come again; in a container each run may be process 1. Where there is no /proc they are all there is.
    """
    process = os.getppid()
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as stream:
            boot = stream.read().strip()
        with open("/proc/%d/stat" % process, encoding="utf-8") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return str(process)
    # Of what follows the process's name the 20th is when it began, in ticks since the boot (proc_pid_stat(5)).
    return "%d %s %s" % (process, boot, fields[19])


class Turn:
    """A host's turn at one component, and what is known of the last one.

    :arg stream: the component's lock file, locked.
    """

    def __init__(self, stream, name, host):
        self.stream, self.host = stream, host
        stream.seek(0)
        run, dummy, reason = stream.read().partition("\n")
        self.refused = None  # why this host is left as it is, as a module's result
        if run == this_run():
            self.refused = {
                "failed": True,
                "changed": False,
                "msg": "%s was left as it is here: its new settings failed on another host. %s" % (name, reason),
            }

    def ended(self, result):
        """Remember for the next host of this run whether it went well."""
        if self.refused:
            return
        self.stream.truncate(0)
        if result.get("failed") or result.get("unreachable"):
            self.stream.write("%s\n%s: see that host's message." % (this_run(), self.host))


class TurnsAction(ActionBase):
    """An action that may have to restart processes which others stand in for."""

    COMPONENT = "hardway.kubernetes.component"

    def _take_turn(self, wish, task_vars):
        """Restart one component on this host, once it is this host's turn."""
        with self._turn(wish["name"], task_vars) as turn:
            if turn.refused:
                return turn.refused
            try:
                wish = self._with_lease(wish, task_vars)
            except PkiError as error:
                return {"failed": True, "changed": False, "msg": str(error)}
            result = self._run(dict(wish, restart="now"), task_vars)
            turn.ended(result)
        return result

    @contextlib.contextmanager
    def _turn(self, name, task_vars):
        """Wait for this host's turn at a component, and have it while the context lasts."""
        with open(self._turn_path(name, task_vars), "a+", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            turn = Turn(stream, name, task_vars["inventory_hostname"])
            try:
                yield turn
            except BaseException:  # such as the connection to a host that its new settings cut off
                turn.ended({"unreachable": True})
                raise

    def _with_lease(self, wish, task_vars):
        """The wish with access to the Lease that runs of other controllers look at too."""
        lease = wish.get("lease")
        if not lease or not lease.get("servers"):
            return wish
        holder = "%s on %s, run %s" % (getpass.getuser(), os.uname().nodename, this_run())
        turn = access(Pki(lease["pki_dir"], lease.get("passphrase")))
        turn.update(name=LEASE, servers=lease["servers"], holder="%s, %s" % (holder, task_vars["inventory_hostname"]))
        return dict(wish, client_key=turn.pop("client_key"), turn=turn)

    def _run(self, wish, task_vars):
        """The component module."""
        args, secrets = apart(wish)
        return self._execute_module(
            module_name=self.COMPONENT, module_args=dict(args, secrets=secrets), task_vars=task_vars
        )

    def _turn_path(self, name, task_vars):
        """One file for each cluster and component; all workers of a run, and other runs here, wait in it for their turn."""
        folder = os.path.join(os.path.expanduser(self._templar.template(task_vars["cluster_controller_dir"])), "turns")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return os.path.join(folder, name)
