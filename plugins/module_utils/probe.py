# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a service on this host or another whether it is healthy: over HTTP, HTTPS with client certificates, or a socket."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from urllib.parse import urlsplit

PROBE_SPEC = {
    "url": {"type": "str"},
    "tcp": {"type": "str"},
    "socket": {"type": "path"},
    "ca": {"type": "path"},
    "cert": {"type": "path"},
    "key": {"type": "path", "no_log": False},  # a path, not a secret
    "expect": {"type": "str"},
    "behind": {"type": "list", "elements": "str", "default": []},
    "within": {"type": "int", "default": 60},
}
ANSWERS_WITHIN = 3.0  # seconds for one question
LOOKS_EVERY = 1.0  # seconds between two questions whether to go on; each is a process on a host that has enough to do


def describe(probe):
    """The probe's target in words."""
    return probe.get("url") or probe.get("tcp") or probe.get("socket") or "nothing"


def ask(probe, timeout=ANSWERS_WITHIN):
    """Probe once.

    :arg probe: dict with one of url, tcp (host:port) or socket (a path); ca, cert and key are paths; expect is a text
        that the answer must hold; behind are URLs of what answers through the url, if any: while none of them is healthy by itself
        it is enough that the url takes connections.
    :arg timeout: seconds for each question.
    :returns: None when healthy, otherwise a sentence that says what is wrong.
    """
    wrong = _ask(probe, timeout)
    behind = probe.get("behind")
    if wrong and behind and all(_ask(dict(probe, url=url), timeout) for url in behind):
        return _ask({"tcp": urlsplit(probe["url"]).netloc}, timeout)
    return wrong


def _ask(probe, timeout):
    try:
        if probe.get("socket"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(probe["socket"])
            return None
        if probe.get("tcp"):
            host, port = probe["tcp"].rsplit(":", 1)
            with socket.create_connection((host.strip("[]"), int(port)), timeout):
                return None
        return _ask_http(probe, timeout)
    except ssl.SSLCertVerificationError as error:
        return "its certificate is refused: %s" % error.verify_message
    except FileNotFoundError as error:
        files = [probe[name] for name in ("socket", "ca", "cert", "key") if probe.get(name)]
        return "%s: one of %s" % (error.strerror, ", ".join(files))
    except (OSError, http.client.HTTPException) as error:
        return str(error) or error.__class__.__name__


def _ask_http(probe, timeout):
    url = urlsplit(probe["url"])
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=probe.get("ca"))
        if probe.get("cert"):
            context.load_cert_chain(probe["cert"], probe.get("key"))
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
    try:
        connection.request("GET", (url.path or "/") + ("?" + url.query if url.query else ""))
        answer = connection.getresponse()
        body = answer.read(65536).decode("utf-8", "replace")
    finally:
        connection.close()
    if answer.status != 200:
        return "HTTP %d: %s" % (answer.status, body.strip()[-400:])
    if probe.get("expect") and probe["expect"] not in body:
        return "the answer lacks %r: %s" % (probe["expect"], body.strip()[:400])
    return None


def wait(probe, gave_up=None, first=None, timeout=ANSWERS_WITHIN):
    """Probe until healthy, for probe['within'] seconds at the most.

    :arg first: callable that returns why an answer would prove nothing yet, or None once it does.
    :arg gave_up: callable that returns a reason to stop waiting early, or None to go on.
    :arg timeout: seconds for each question.
    :returns: None when healthy, otherwise the last sentence that ask() gave.
    """
    within = probe.get("within")
    end = time.monotonic() + (60 if within is None else within)
    pause, look_again = 0.05, 0.0
    while True:
        wrong = (first() if first else None) or ask(probe, timeout)
        if wrong is None:
            return None
        now = time.monotonic()
        if gave_up and now >= look_again:
            reason = gave_up()
            if reason:
                return reason
            look_again = now + LOOKS_EVERY
        if now > end:
            return wrong
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
