# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs nginx, and keeps its pool: only API servers that say they are ready get new connections.

nginx itself notices no more than a connection that fails. This asks every server for /readyz over TLS again and again, writes the
pool's file and has nginx read it. Connections that are open stay with their server, which ends them itself when it goes; only
where a server says nothing at all any more are they cut, and as nginx can't tell them apart, those to the other servers too.

Touches nothing but the pool's file. Ends when nginx does, and with it.
"""

from __future__ import annotations

import argparse
import errno
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

EVERY = 0.5  # between two looks, as a part of the time for an answer
AGAIN = 0.25  # after a look that a server in the pool did not pass
LEAVES_AFTER = 2  # looks that were not passed, one after the other
WORKERS_WITHIN = 5.0  # seconds for new workers of nginx
UNREACHED = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)


class Server:
    """One API server: whether it is in the pool, and why not.

    :arg address: host:port, as nginx takes it.
    :arg within: seconds for an answer.
    """

    def __init__(self, address, within):
        self.address = address
        self.within = within
        self.ready = False
        self.missed = 0
        self.reason = "not asked yet"
        self.silent = False
        self.silences = 0
        self.open = False  # nginx may hold connections to it
        self.cut = False

    def look(self, context):
        """Ask for /readyz once; sets reason (empty where it is ready) and silent (not even its host answered).

        A host that refuses has ended the connections to a server that is gone.
        """
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=self.within, context=context)
        try:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            self.reason, self.silent = "" if status == 200 else "HTTP %d" % status, False
        except (OSError, http.client.HTTPException) as error:
            self.reason = str(error) or error.__class__.__name__
            # Before Python 3.10 the one was not the other.
            late = isinstance(error, (TimeoutError, socket.timeout))  # noqa: UP041
            self.silent = late or getattr(error, "errno", None) in UNREACHED
            self.open = self.open and not isinstance(error, ConnectionRefusedError)
        finally:
            connection.close()

    def judge(self):
        """Let the last look count; sets cut: its connections are to end now, as its host says nothing.

        It may fall silent long after it left the pool.

        :returns: whether the server came, went or is to be cut.
        """
        before = self.ready
        self.missed = self.missed + 1 if self.reason else 0
        self.silences = self.silences + 1 if self.reason and self.silent else 0
        if not self.missed:
            self.ready = self.open = True
        elif self.missed >= LEAVES_AFTER:
            self.ready = False
        self.cut = self.open and self.silences >= LEAVES_AFTER
        self.open = self.open and not self.cut
        return self.ready != before or self.cut


def pool_text(servers):
    """The pool's file: every server, those that are not ready marked so. nginx refuses a pool without servers."""
    return "".join(
        "server %s max_fails=1 fail_timeout=%ds%s;\n" % (server.address, server.within, "" if server.ready else " down")
        for server in servers
    )


def write(path, text):
    """Replace a file in one piece."""
    with open(path + ".new", "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(path + ".new", path)


def notify(state):
    """Tell systemd, where it asks for that (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.connect("\0" + address[1:] if address.startswith("@") else address)
            systemd.send(state.encode())


class Nginx:
    """The nginx process, its workers and the file of its pool."""

    def __init__(self, command, pool_file):
        self.command = command
        self.pool_file = pool_file
        self.process = None

    def start(self):
        """Start it; it stays in the foreground."""
        self.process = subprocess.Popen(self.command)

    def workers(self):
        """Its workers, those that only finish their connections too; none where it has ended."""
        try:
            with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid), encoding="utf-8") as stream:
                return {int(pid) for pid in stream.read().split()}
        except OSError:
            return set()

    def read_pool(self, cut):
        """Have it read the pool's file.

        :arg cut: end the old workers, and so all connections, as soon as there are new ones.
        """
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + WORKERS_WITHIN
        while cut and not self.workers() - old and time.monotonic() < end:
            time.sleep(0.02)
        for pid in old if cut and self.workers() - old else ():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass  # it had no connection left

    def stop(self):
        """End it and its connections; does not wait."""
        if self.process:
            self.process.terminate()


def look(servers, context, pool):
    """Ask all servers side by side; returns those that came, went or are to be cut."""
    list(pool.map(lambda server: server.look(context), servers))
    return [server for server in servers if server.judge()]


def run(nginx, servers, context, ended):
    """Keep the pool until nginx ends or ended is set.

    :returns: exit code.
    """
    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        look(servers, context, pool)
        for server in servers:
            print("%s is %s" % (server.address, server.reason or "ready"), flush=True)
        write(nginx.pool_file, pool_text(servers))
        nginx.start()
        notify("READY=1")
        within = servers[0].within
        while not ended.wait(within * (AGAIN if any(server.ready and server.missed for server in servers) else EVERY)):
            if nginx.process.poll() is not None:
                print("nginx ended with %d" % nginx.process.returncode, file=sys.stderr, flush=True)
                return 1
            notify("WATCHDOG=1")
            changed = look(servers, context, pool)
            for server in changed:
                words = "is cut: " if server.cut else "leaves: "
                print("%s %s" % (server.address, "joins" if server.ready else words + server.reason), flush=True)
            if changed:
                write(nginx.pool_file, pool_text(servers))
                nginx.read_pool(cut=any(server.cut for server in changed))
    nginx.stop()
    nginx.process.wait()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ca", required=True, help="the authority of the API servers' certificates")
    parser.add_argument("--pool", required=True, help="the file that nginx includes")
    parser.add_argument("--within", type=float, required=True, help="seconds for an answer")
    parser.add_argument("--server", action="append", required=True, help="host:port of an API server; repeated")
    parser.add_argument("command", nargs="+", help="nginx and its arguments")
    options = parser.parse_args()
    nginx, ended = Nginx(options.command, options.pool), threading.Event()

    def end(*_):
        ended.set()
        nginx.stop()

    signal.signal(signal.SIGTERM, end)
    context = ssl.create_default_context(cafile=options.ca)
    sys.exit(run(nginx, [Server(address, options.within) for address in options.server], context, ended))


if __name__ == "__main__":
    main()
