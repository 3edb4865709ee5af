# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A turn that only one run may have at a time, whichever controller it comes from: a Lease of the cluster's own API."""

from __future__ import annotations

import contextlib
import datetime
import time

from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import Api, ApiError, wait_for

NAMESPACE = "kube-system"
API_ANSWERS_WITHIN = 5  # seconds, where it is only asked whose turn it is
TURN_TAKES = 60  # seconds beside a wait for health; a killed run blocks others no longer than this
TURN_WAITS = 600  # seconds for other runs
TURN_SPEC = {
    "type": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "holder": {"type": "str", "required": True},
        "servers": {"type": "list", "elements": "str", "required": True},
        "ca": {"type": "str", "required": True},
        "client_certificate": {"type": "str", "required": True},
    },
}
GIVES_BACK_WITHIN = 15  # seconds for which a write may fail right after a restart of etcd
# Seconds without an answer after which there is nothing to agree in: where nobody listens, and where somebody does who is slow or
# whose etcd is being restarted, a question to three servers that say nothing taking 15 s.
ABSENT_FOR, FAILS_FOR = 15, 60
SKEW = 10  # seconds by which hosts' clocks may differ


def _path(name=""):
    return "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s" % (NAMESPACE, "/" + name if name else "")


def _now():
    return datetime.datetime.now(datetime.timezone.utc)


def free(found, now):
    """Whether nobody has the Lease: it was given back, or its holder was killed and its time is over."""
    spec = found.get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return True
    renewed = datetime.datetime.strptime(spec["renewTime"][:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=now.tzinfo)
    return now > renewed + datetime.timedelta(seconds=(spec.get("leaseDurationSeconds") or 0) + SKEW)


class Lease:
    """One Lease, taken by name for a number of seconds."""

    def __init__(self, api, name, holder, seconds):
        self.api, self.name, self.holder, self.seconds = api, name, holder, seconds
        self.taken = None

    def _wish(self, found, holder):
        metadata = {"name": self.name, "namespace": NAMESPACE}
        if found:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": self.seconds,
                "renewTime": _now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }

    def take(self):
        """Try once.

        :returns: None once it is ours, otherwise who has it.
        """
        found = self.api.get(_path(self.name))
        other = found and not free(found, _now()) and found["spec"]["holderIdentity"]
        if other and other != self.holder:  # it is ours where a write went well that was answered with a failure
            return other
        wish = self._wish(found, self.holder)
        try:
            if found:
                self.taken = self.api.request("PUT", _path(self.name), wish)
            else:
                self.taken = self.api.request("POST", _path(), wish)
        except ApiError as error:
            if error.status != 409:
                raise
            return "another run, just now"
        return None

    def give_back(self):
        """Let others have it; where the API does not answer for so long its time ends by itself."""
        if self.taken:
            wait_for(self._kept, GIVES_BACK_WITHIN, pause=0.5)
            self.taken = None

    def _kept(self):
        """Try once; why it is still ours. Right after a restart of etcd a write may fail that goes well a second later."""
        try:
            self.api.request("PUT", _path(self.name), self._wish(self.taken, ""))
        except ApiError as error:
            return None if error.refused else str(error)
        return None


@contextlib.contextmanager
def held(lease, within):
    """Have the Lease for a while.

    Where the API fails for longer than a restart beside it explains, there is nothing to agree in, and nothing that a second
    restart could take away from its clients: the caller's own gate decides alone.

    :arg within: seconds to wait for it.
    :returns: context manager that gives None, or who still has it after that time.
    """

    answered = time.monotonic()

    def whose():
        nonlocal answered
        try:
            other = lease.take()
            answered = time.monotonic()
            return other
        except ApiError as error:
            if error.refused:
                raise
            patience = ABSENT_FOR if error.absent else FAILS_FOR
            return str(error) if time.monotonic() - answered < patience else None

    try:
        yield wait_for(whose, within, pause=0.5)
    finally:
        lease.give_back()


def agreed(turn, key, seconds):
    """A context in which other runs wait, as held() gives it; without a Lease to ask there are none.

    :arg turn: as in TURN_SPEC, or None.
    :arg key: the key of its certificate as PEM text.
    :arg seconds: for which a run that is killed meanwhile keeps it.
    """
    if not turn:
        return contextlib.nullcontext()
    api = Api.from_params(dict(turn, client_key=key), API_ANSWERS_WITHIN)
    return held(Lease(api, turn["name"], turn["holder"], seconds), TURN_WAITS)
