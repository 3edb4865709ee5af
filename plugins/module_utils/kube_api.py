# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small client of the Kubernetes API with nothing but Python's standard library: objects, and commands in pods.

It takes several servers and goes on with the next where one does not answer, so that no server is special.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
import time
from urllib.parse import quote, urlencode, urlsplit

# What doc_fragments/api.py documents; the action plugin takes pki_dir and passphrase out before a host sees them.
API_SPEC = {
    "pki_dir": {"type": "path"},
    "passphrase": {"type": "str", "no_log": True},
    "servers": {"type": "list", "elements": "str", "required": True},
    "ca": {"type": "str"},
    "client_certificate": {"type": "str"},
    "client_key": {"type": "str", "no_log": True},
}
FIELD_MANAGER = "hardway.kubernetes"
# https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown
# Only the key counts for kube-controller-manager; the value tells ours from one that somebody else has set.
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "hardway.kubernetes", "effect": "NoExecute"}


def family_of(address):
    """The family of an address, as EndpointSlices and Services call it."""
    return "IPv6" if ":" in address else "IPv4"


def why_unavailable(found):
    """Why a Deployment or DaemonSet does not serve yet, or None."""
    status = found.get("status", {})
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return "not seen by its controller yet"
    if found["kind"] == "DaemonSet":
        wished = status.get("desiredNumberScheduled", 0)
        there = min(status.get("numberAvailable", 0), status.get("updatedNumberScheduled", 0))
        return None if there >= wished else "%d of %d available" % (there, wished)
    wished, updated = found["spec"]["replicas"], status.get("updatedReplicas", 0)
    if updated < wished or status.get("replicas", 0) > updated:
        return "%d of %d of the new version" % (updated, wished)
    # Available in Kubernetes' own sense: as many as its strategy demands, so that one lost host does not fail a run.
    for condition in status.get("conditions") or []:
        if condition["type"] == "Available" and condition["status"] == "True":
            return None
    return "%d of %d available" % (status.get("availableReplicas", 0), wished)


def wait_for(look, seconds, pause=0.2):
    """Look again and again, for so many seconds at the most, until nothing is missing.

    An API that fails meanwhile, such as for a change of etcd's leader, may answer the next look; what it refuses ends the wait.

    :arg look: callable that returns what is missing, such as a dict by name of the reason; nothing ends the wait.
    :returns: what the last look found missing. Raises the ApiError of the last look.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            missing = look()
            if not missing or time.monotonic() > end:
                return missing
        except ApiError as error:
            if error.refused or time.monotonic() > end:
                raise
        time.sleep(pause)


def in_words(missing):
    """What wait_for() gives, in one line."""
    return "; ".join("%s: %s" % entry for entry in sorted(missing.items()))


def client_context(ca, certificate, key):
    """An SSL context that trusts one authority and shows a client certificate; all PEM text, and the key is in memory only."""
    context = ssl.create_default_context(cadata=ca)
    handle = os.memfd_create("client")
    try:
        os.write(handle, (certificate.strip() + "\n" + key).encode())
        context.load_cert_chain("/proc/self/fd/%d" % handle)
    finally:
        os.close(handle)
    return context


class ApiError(Exception):
    """The API refused a request.

    status is the HTTP status, or 0 where no server answered, and absent that none even listens; causes are the sentences that
    the API gives beside its message, such as which disruption budget keeps a pod.
    """

    def __init__(self, status, message, absent=False, causes=()):
        super().__init__(message)
        self.status = status
        self.absent = absent
        self.causes = list(causes)

    @property
    def refused(self):
        """Whether the API answered and did not want to, rather than could not."""
        return 0 < self.status < 500


def give_up(module, error, **result):
    """End a module whose request failed.

    Hosts that a reset or a broken first run left bare have no cluster to ask yet: in check mode that no API server even listens is
    a change that is to come, and no failure.

    :arg module: the AnsibleModule.
    :arg error: the ApiError.
    :arg result: what the module has to tell beside the message.
    """
    if module.check_mode and error.absent:
        module.exit_json(**dict(result, changed=True, msg="there is no cluster yet: %s" % error))
    module.fail_json(msg=str(error), **result)


class Api:
    """The API of one cluster.

    :arg servers: list of https:// addresses, tried in turn.
    :arg ca, certificate, key: PEM text; the key stays in memory.
    :arg timeout: seconds for one request.
    """

    def __init__(self, servers, ca, certificate, key, timeout=15):
        self.servers = list(servers)
        self.timeout = timeout
        self.context = client_context(ca, certificate, key)
        self.connection = None

    @classmethod
    def from_params(cls, params, timeout=15):
        """From a module's parameters as in API_SPEC."""
        return cls(params["servers"], params["ca"], params["client_certificate"], params["client_key"], timeout)

    def request(self, method, path, body=None, content_type="application/json", timeout=None):
        """One request; returns the decoded JSON answer, or text where it is none. Raises ApiError."""
        wrong, absent = [], True
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Accept": "application/json", "Content-Type": content_type}
        # A server that closed a connection it had kept open is asked once more, on a new one.
        for _attempt in range(len(self.servers) + (1 if self.connection else 0)):
            server, kept = urlsplit(self.servers[0]), self.connection is not None
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPSConnection(
                        server.hostname, server.port or 443, timeout=timeout or self.timeout, context=self.context
                    )
                self.connection.request(method, path, data, headers)
                answer = self.connection.getresponse()
                text = answer.read().decode("utf-8", "replace")
                break
            except (OSError, http.client.HTTPException) as error:
                self.connection = None
                if not kept:
                    wrong.append("%s: %s" % (self.servers[0], error))
                    absent = absent and isinstance(error, ConnectionRefusedError)
                    self.servers.append(self.servers.pop(0))
        else:
            raise ApiError(0, "no API server answered: " + "; ".join(wrong), absent)
        if answer.status >= 400:
            message, causes = text, []
            with contextlib.suppress(ValueError):
                told = json.loads(text)
                message = told.get("message", text)
                causes = [cause.get("message", "") for cause in (told.get("details") or {}).get("causes") or []]
            raise ApiError(answer.status, "%s %s: %s" % (method, path, message.strip()), causes=causes)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, path):
        """GET, or None where there is no such object."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def forget(self, group):
        """Look up the kinds of an API group again when they are next needed."""
        for version in [name for name in getattr(self, "kinds", {}) if name.split("/")[0] == group]:
            del self.kinds[version]

    def object_path(self, wish):
        """The path of an object given as dict with apiVersion, kind and metadata. Kinds are looked up once a version."""
        group_version = wish["apiVersion"]
        root = ("/api/" if "/" not in group_version else "/apis/") + group_version
        if not hasattr(self, "kinds"):
            self.kinds = {}
        if group_version not in self.kinds:
            listing = self.request("GET", root)
            self.kinds[group_version] = {
                entry["kind"]: entry for entry in listing["resources"] if "/" not in entry["name"]
            }
        kind = self.kinds[group_version].get(wish["kind"])
        if not kind:
            raise ApiError(404, "the API knows no %s in %s" % (wish["kind"], group_version))
        middle = "/namespaces/" + wish["metadata"].get("namespace", "default") if kind["namespaced"] else ""
        return "%s%s/%s/%s" % (root, middle, kind["name"], quote(wish["metadata"]["name"]))

    def unavailable(self, workloads):
        """Which of these Deployments and DaemonSets do not serve yet: name to reason."""
        reasons = {}
        for wish in workloads:
            found = self.get(self.object_path(wish))
            reason = why_unavailable(found) if found else "absent"
            if reason:
                reasons[wish["metadata"]["name"]] = reason
        return reasons

    def apply(self, wish, dry_run=False):
        """Server-side apply; returns (before or None, after)."""
        path = self.object_path(wish)
        before = self.get(path)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        try:
            after = self.request("PATCH", path + "?" + urlencode(query), wish, "application/apply-patch+yaml")
        except ApiError as error:
            if dry_run and before is None and error.status == 404:  # its namespace would be made first
                return None, wish
            raise
        return before, after

    def execute(self, namespace, pod, command, container=None, timeout=30):
        """Run a command in a pod over WebSocket, as kubectl exec does. Returns (exit code, standard output, standard error)."""
        query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
        if container:
            query.append(("container", container))
        path = "/api/v1/namespaces/%s/pods/%s/exec?%s" % (namespace, pod, urlencode(query))
        wrong = []
        for address in self.servers:
            server = urlsplit(address)
            try:
                with socket.create_connection((server.hostname, server.port or 443), timeout) as plain:
                    with self.context.wrap_socket(plain, server_hostname=server.hostname) as stream:
                        return _exec_over(stream, server.netloc, path)
            except OSError as error:
                wrong.append("%s: %s" % (address, error))
        raise ApiError(0, "exec: no API server answered: " + "; ".join(wrong))


def _exec_over(stream, host, path):
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET %s HTTP/1.1" % path,
        "Host: " + host,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + key,
        "Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io",
    ]
    stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    reader = stream.makefile("rb")
    status = reader.readline().decode()
    length = 0
    while True:
        line = reader.readline().strip()
        if not line:
            break
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    if " 101 " not in status:
        raise ApiError(
            int(status.split()[1]) if status else 0, "exec: %s %s" % (status.strip(), reader.read(length).decode())
        )
    channels = {1: b"", 2: b"", 3: b""}
    while True:
        head = reader.read(2)
        if len(head) < 2:
            break
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", reader.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", reader.read(8))[0]
        payload = reader.read(size)
        if head[0] & 0x0F == 8:
            break
        if payload and payload[0] in channels:
            channels[payload[0]] += payload[1:]
    try:
        outcome = json.loads(channels[3].decode() or "{}")
    except ValueError:
        outcome = {}
    code = 0 if outcome.get("status") == "Success" else 1
    for cause in (outcome.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            code = int(cause["message"])
    errors = channels[2].decode("utf-8", "replace")
    if code and not errors:
        errors = outcome.get("message", "")
    return code, channels[1].decode("utf-8", "replace"), errors
