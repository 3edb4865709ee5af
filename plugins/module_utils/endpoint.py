# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The address that stands for all API servers: whether somebody answers there, and which servers do.

Every API server has a certificate of its own, and balancers pass TLS through, so the certificate says who answered.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time

ANSWERS_WITHIN = 5.0  # seconds; a host that is not there takes the kernel 3 to notice
TRIES = 3
STRANGER = "an API server that the inventory does not name"


def host_and_port(address):
    """An address or URL, host:port with brackets around IPv6, as (host, port)."""
    host, dummy, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)


class Asked:
    """One new connection over which /readyz was asked.

    wrong is None where the answer was 200, else a sentence; certificate is the SHA-256 of the server's, None where there was no
    TLS with one of the authority's.
    """

    def __init__(self, address, ca, any_name=False):
        context = ssl.create_default_context(cafile=ca)
        context.check_hostname = not any_name
        host, port = host_and_port(address)
        self.wrong = self.certificate = None
        self.connection = http.client.HTTPSConnection(host, port, timeout=ANSWERS_WITHIN, context=context)
        try:
            self.connection.connect()
            self.certificate = hashlib.sha256(self.connection.sock.getpeercert(binary_form=True)).hexdigest()
            self.connection.request("GET", "/readyz")
            answer = self.connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.wrong = "HTTP %d" % answer.status
        except ssl.SSLCertVerificationError as error:
            self.wrong = "its certificate is refused: %s; a balancer must pass TLS through, in TCP mode" % (
                error.verify_message.rstrip(".")
            )
        except (OSError, http.client.HTTPException) as error:
            self.wrong = str(error) or error.__class__.__name__

    def close(self):
        """End the connection."""
        self.connection.close()


def why_not_ready(address, ca, any_name=False, tries=1):
    """Ask for /readyz until it is 200, so many times at the most, a second apart.

    :arg any_name: take a certificate of the authority whatever its names.
    :returns: None, or what the last try saw.
    """
    for number in range(tries):
        if number:
            time.sleep(1)
        asked = Asked(address, ca, any_name)
        asked.close()
        if not asked.wrong:
            return None
    return asked.wrong


def why_not_there(address):
    """Why nobody is at an address, or None. A refused connection is an answer too: there is a host."""
    try:
        with socket.create_connection(host_and_port(address), ANSWERS_WITHIN):
            return None
    except ConnectionRefusedError:
        return None
    except OSError as error:
        return str(error)


def finding(wish):
    """Why a balancer that is not ours can't be used from this host, as a sentence with the mend, or None.

    :arg wish: dict of address (host:port), kind, behind (addresses that it hands connections to), ca (a path) and
        answers_when_empty, as in ENDPOINT_SPEC.
    """
    serves = next((one for one in wish["behind"] if not _unready_behind(one, wish["ca"])), None)
    if serves:
        wrong = why_not_ready(wish["address"], wish["ca"], any_name=True, tries=TRIES)
        words = (
            "gets no answer of the API at cluster_api_endpoint %s (%s), while %s behind it is ready. See that your balancer "
            "(load_balancer__kind %s) runs and has it in its pool, in TCP mode with the health check HTTPS GET /readyz "
            "(docs/load-balancers.md), or mend cluster_api_endpoint."
        )
        return words % (wish["address"], wrong, serves, wish["kind"]) if wrong else None
    wrong = why_not_there(wish["address"]) if wish["answers_when_empty"] else None
    words = (
        "reaches nobody at cluster_api_endpoint %s (%s). With load_balancer__kind %s a balancer of yours must be there before "
        "the API servers are (docs/load-balancers.md): start it, or mend cluster_api_endpoint. For one that answers nothing "
        "while its pool is empty set load_balancer__answers_when_empty: false."
    )
    return words % (wish["address"], wrong, wish["kind"]) if wrong else None


def _unready_behind(address, ca):
    """As why_not_ready(); a host without the authority has never been in a cluster."""
    try:
        return why_not_ready(address, ca, any_name=True)
    except FileNotFoundError:
        return "no authority"


def answers(address, ca, count, servers):
    """Open so many connections, ask over each, and close them only then: a balancer may count open ones.

    :arg servers: API servers by name, https://host:port; each is asked for its certificate.
    :returns: dict of name to the connections that it answered, and a dict of what was wrong to how often. A server without a name is
        told by the beginning of its certificate's SHA-256, as STRANGER where it is none of these.
    """
    known = {}
    for name, server in servers.items():
        asked = Asked(server, ca, any_name=True)
        asked.close()
        known[asked.certificate] = name
    known.pop(None, None)
    # Who it is can't be told where one of them did not give its certificate, such as behind a firewall.
    who = STRANGER if servers and len(known) == len(servers) else "an API server"
    told, wrong = {}, {}
    opened = [Asked(address, ca) for _number in range(count)]
    for asked in opened:
        name = known.get(asked.certificate, "%s (%s)" % (who, asked.certificate[:8]) if asked.certificate else None)
        if name and not asked.wrong:
            told[name] = told.get(name, 0) + 1
        if asked.wrong:
            sentence = "%s: %s" % (name, asked.wrong) if name else asked.wrong
            wrong[sentence] = wrong.get(sentence, 0) + 1
    for asked in opened:
        asked.close()
    return told, wrong


ENDPOINT_SPEC = {
    "address": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True},
    "behind": {"type": "list", "elements": "str", "required": True},
    "ca": {"type": "path", "required": True},
    "answers_when_empty": {"type": "bool", "default": True},
}
