# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is a member of etcd: what a host's own disk says, and what the members say and do.

They are asked through etcd's gRPC gateway, JSON over HTTPS at the port for clients; etcd-io/etcd, api/etcdserverpb/rpc.proto
has the fields. Any voting member answers, so the next one is asked where one does not.
"""

from __future__ import annotations

import glob
import http.client
import json
import os
from urllib.parse import urlsplit

from ansible_collections.hardway.kubernetes.plugins.module_utils.kube_api import client_context, wait_for

ANSWERS_WITHIN = 5.0  # seconds for one question to one member; without a quorum a member answers later or never
# What passes by itself: another new member is on its way, etcd wants its members connected for 5 s before it takes another,
# the new one has not read everything yet, another run has just announced it, or a leader is being elected (HTTP 5xx).
PASSES = (
    "too many learner members",
    "unhealthy cluster",
    "in sync with leader",
    "not enough started members",
    "already exist",
)

ETCD_SPEC = {
    "name": {"type": "str", "required": True},
    "peer_url": {"type": "str", "required": True},
    "servers": {"type": "list", "elements": "str", "required": True},
    "wal_dir": {"type": "path", "required": True},
    "bootstrap": {"type": "path", "required": True},
    "data_dir": {"type": "path"},
    "health": {"type": "bool", "default": False},
    "ca": {"type": "str"},
    "client_certificate": {"type": "str"},
}


class EtcdError(Exception):
    """No member did what it was asked; status is the HTTP status of the answer, or 0 where none came."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status

    @property
    def passes(self):
        """Whether the same question may be answered well a little later."""
        return self.status == 0 or self.status >= 500 or any(words in str(self) for words in PASSES)


class Etcd:
    """The members of one cluster.

    :arg servers: https:// addresses for clients, asked in this order.
    :arg ca, certificate, key: PEM text; the key stays in memory.
    :arg timeout: seconds for one question to one member.
    """

    def __init__(self, servers, ca, certificate, key, timeout=ANSWERS_WITHIN):
        self.servers = list(servers)
        self.context = client_context(ca, certificate, key)
        self.timeout = timeout

    def _ask(self, server, method, path, body=None):
        """One question to one member: its JSON answer. Raises EtcdError."""
        url = urlsplit(server)
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=self.timeout, context=self.context)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise EtcdError(0, "%s: %s" % (server, str(error) or error.__class__.__name__)) from error
        finally:
            connection.close()
        try:
            told = json.loads(text)
        except ValueError:
            told = {"message": text.strip()[:400]}
        if answer.status != 200:
            reason = told.get("message") or told.get("reason") or text.strip()[:400]
            raise EtcdError(answer.status, "%s: %s" % (server, reason))
        return told

    def _ask_any(self, path, body):
        """The first good answer. A refusal that any member would give ends the search; a learner can't answer at all."""
        wrong = []
        for server in self.servers:
            try:
                return self._ask(server, "POST", path, body)
            except EtcdError as error:
                wrong.append(error)
                if 0 < error.status < 500 and "not supported for learner" not in str(error):
                    raise
        status = max([error.status for error in wrong if error.status >= 500] or [0])
        what = "can do it now" if status else "answers"
        raise EtcdError(status, "no member of etcd %s: %s" % (what, "; ".join(str(error) for error in wrong)))

    def members(self):
        """The cluster's id and its members, as a majority of them knows it.

        :returns: dict with cluster, and members, each a dict with id, name, peer_urls, client_urls (none: it has never
            served) and learner.
        """
        told = self._ask_any("/v3/cluster/member/list", {"linearizable": True})
        return {"cluster": told["header"]["cluster_id"], "members": [_member(entry) for entry in told["members"]]}

    def empty(self):
        """Whether not one key is stored, in any revision that counts. A zero byte for key and end means all keys."""
        told = self._ask_any("/v3/kv/range", {"key": "AA==", "range_end": "AA==", "count_only": True, "limit": 1})
        return int(told.get("count") or 0) == 0

    def status(self):
        """What the first server knows of itself: its leader's id, None where there is none, and the alarms that are raised."""
        told = self._ask(self.servers[0], "POST", "/v3/maintenance/status", {})
        leader = str(told.get("leader") or "0")
        return {"leader": None if leader == "0" else leader, "errors": told.get("errors") or []}

    def add_learner(self, peer_url):
        """Announce a member that does not vote yet."""
        self._ask_any("/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})

    def promote(self, member_id):
        """Let a learner vote; refused while it has not read nearly everything that the leader has."""
        try:
            self._ask_any("/v3/cluster/member/promote", {"ID": member_id})
        except EtcdError as error:
            if not str(error).endswith("can only promote a learner member"):  # another run was quicker
                raise

    def remove(self, member_id):
        """Take a member out; one that is out already is fine."""
        try:
            self._ask_any("/v3/cluster/member/remove", {"ID": member_id})
        except EtcdError as error:
            if error.status != 404:
                raise

    def unhealthy(self, members):
        """Which voting members do not serve: name or address to reason."""
        found = {}
        for member in members:
            if member["learner"]:
                continue
            name = known_as(member)
            if not member["client_urls"]:
                found[name] = "it has never served"
                continue
            try:
                self._ask(member["client_urls"][0], "GET", "/health")
            except EtcdError as error:
                found[name] = str(error)
        return found


def _member(entry):
    return {
        "id": entry["ID"],
        "name": entry.get("name") or "",
        "peer_urls": entry.get("peerURLs") or [],
        "client_urls": entry.get("clientURLs") or [],
        "learner": bool(entry.get("isLearner")),
    }


def known_as(member):
    """A member's name, or its addresses where it has never served."""
    return member["name"] or ", ".join(member["peer_urls"])


def by_url(members, peer_url):
    """The member with this address for other members, or None."""
    return next((member for member in members if peer_url in member["peer_urls"]), None)


def has_data(wal_dir):
    """Whether a member lives here: what counts for etcd itself is its log."""
    return bool(glob.glob(os.path.join(glob.escape(wal_dir), "*.wal")))


def folders(wish):
    """Where a member's data lies: its log, and what else it keeps, which are one folder unless its log has one of its own."""
    if wish["wal_dir"].endswith("/member/wal"):
        return [wish["wal_dir"][: -len("/wal")]]
    return [wish["wal_dir"]] + ([wish["data_dir"] + "/member"] if wish.get("data_dir") else [])


def begun_with(bootstrap):
    """The members of the new cluster that this host was told to begin and that has never served; None where there is none.

    The unit takes the file away as soon as the member serves.
    """
    try:
        with open(bootstrap, encoding="utf-8") as stream:
            settings = dict(line.strip().split("=", 1) for line in stream if "=" in line)
    except OSError:
        return None
    if settings.get("ETCD_INITIAL_CLUSTER_STATE") != "new":
        return None
    return sorted(entry.split("=", 1)[-1] for entry in settings.get("ETCD_INITIAL_CLUSTER", "").split(","))


def look(wish, client_key=None):
    """What one host knows of the members; changes nothing.

    :arg wish: as in ETCD_SPEC; without ca only the disk is looked at.
    :returns: dict with data, folders, begun, and, where a member answered, cluster, members and empty (whether no key is
        stored, None where that was not answered); otherwise reason. A host without data, and one that is told to look at
        health, adds which voting members are unhealthy.
    """
    seen = {
        "data": has_data(wish["wal_dir"]),
        "folders": folders(wish),
        "begun": begun_with(wish["bootstrap"]),
        "cluster": None,
        "members": None,
        "empty": None,
        "unhealthy": {},
        "reason": "it was not asked",
    }
    if not wish.get("ca"):
        return seen
    etcd = Etcd(wish["servers"], wish["ca"], wish["client_certificate"], client_key)
    try:
        seen.update(etcd.members(), reason=None)
        seen["empty"] = etcd.empty()
    except EtcdError as error:
        if seen["members"] is None:
            return dict(seen, reason=str(error))
    if wish.get("health") or not seen["data"] and not by_url(seen["members"], wish["peer_url"]):
        seen["unhealthy"] = etcd.unhealthy(seen["members"])
    return seen


def announced(etcd, wish, within):
    """Make this host a member that may start, as a learner where it is none yet.

    :arg within: seconds for which what passes by itself is waited for.
    :returns: its initial cluster, as etcd's flag of that name wants it: exactly the members that are listed.
    """

    def attempt():
        members = etcd.members()["members"]
        if not by_url(members, wish["peer_url"]):
            etcd.add_learner(wish["peer_url"])
            members = etcd.members()["members"]
        return initial_cluster(members, wish)

    return _in_time(attempt, within, 1)


def initial_cluster(members, wish):
    """Name and address of every member. Only this host's own name counts; those that have not started have none."""
    entries = []
    for member in members:
        ours = wish["peer_url"] in member["peer_urls"]
        name = wish["name"] if ours else "member-" + member["id"]
        entries += ["%s=%s" % (name, url) for url in member["peer_urls"]]
    return ",".join(entries)


def voting(etcd, peer_url, within):
    """Wait until this host's member has read what the others have, and let it vote.

    :returns: whether it had to be promoted.
    """

    def attempt():
        member = by_url(etcd.members()["members"], peer_url)
        if member is None:
            raise EtcdError(404, "no member has the address %s any more: somebody removed it" % peer_url)
        if member["learner"]:
            etcd.promote(member["id"])
        return member["learner"]

    return _in_time(attempt, within, 0.5)


def removed(etcd, member_id, within):
    """Take a member out, and wait until most of those that are left serve: without their leader they elect another one.

    Before that most of them must serve too, anew since this was decided: a run elsewhere may have restarted one of them.

    :arg within: seconds for each of the three.
    """

    def settled():
        members = etcd.members()["members"]
        voters = [member for member in members if not member["learner"] and member["id"] != member_id]
        wrong = etcd.unhealthy(voters)
        if len(voters) - len(wrong) < len(voters) // 2 + 1:
            reasons = "; ".join("%s: %s" % entry for entry in sorted(wrong.items()))
            raise EtcdError(0, "too few of the members that are left serve: %s" % reasons)

    _in_time(settled, within, 0.5)
    _in_time(lambda: etcd.remove(member_id), within, 1)
    _in_time(settled, within, 0.5)


def _in_time(attempt, within, pause):
    """What attempt() gives; while it fails with what passes by itself it is tried again, for so many seconds."""
    done = []

    def failed():
        try:
            done.append(attempt())
        except EtcdError as error:
            if not error.passes:
                raise
            return error
        return None

    error = wait_for(failed, within, pause)
    if error:
        raise error
    return done[0]
