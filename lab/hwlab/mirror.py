"""Serve a folder of release files over HTTP, as the hosts' mirror.

Efficient rather than able: whole files go from the page cache to the socket by sendfile, over connections that stay.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO


class Handler(SimpleHTTPRequestHandler):
    """Answer GET and HEAD for files."""

    protocol_version = "HTTP/1.1"  # hosts fetch many files over one connection
    server_version = "hardway-mirror"
    timeout = 120  # of a silent client
    disable_nagle_algorithm = True  # small checksum files must not wait for an ACK

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        """Send a file; the kernel copies it."""
        self.connection.sendfile(source)

    def list_directory(self, path: Any) -> None:
        """Refuse folders: upstream lists none either."""
        self.send_error(HTTPStatus.NOT_FOUND, "File not found")

    def guess_type(self, path: Any) -> str:
        """Call everything bytes."""
        return "application/octet-stream"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet about what went well."""


class Mirror(ThreadingHTTPServer):
    """A server whose many clients come all at once."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, address: tuple[str, int], directory: Path) -> None:
        """Listen on the address and serve the folder."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, partial(Handler, directory=str(directory)))

    def server_bind(self) -> None:
        """Bind without asking a name server for this host's name, which may be out of reach."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of errors, but not of clients that went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="hwlab.mirror", description="Serve release files over HTTP.")
    parser.add_argument("--bind", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="default: %(default)s")
    parser.add_argument("--directory", type=Path, required=True)
    options = parser.parse_args(argv)
    if not options.directory.is_dir():
        print(f"error: {options.directory} is no folder", file=sys.stderr)
        return 1
    with Mirror((options.bind, options.port), options.directory) as server:

        def stop(*_: object) -> None:
            # shutdown() waits for serve_forever(), which runs in this very thread.
            threading.Thread(target=server.shutdown, daemon=True).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        server.serve_forever(poll_interval=0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
