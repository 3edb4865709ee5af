#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_members
short_description: Make a host a member of etcd
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
description:
  - With O(state=inspected) it only looks, at the host's disk and at what the members say. No member is special, and one that is
    dead is passed over.
  - With O(state=present) a host without data begins a new cluster together with all others, or joins the one that runs. It is
    announced as a learner, started, and promoted once it has read what the others have; one host after the other.
  - With O(state=absent) hosts' members are taken out through the others, one after the other, and each time most of those that
    are left must serve. Nothing is stopped on any host.
  - Where it would not be safe nothing is done and the reason is told, such as a cluster that is not healthy, a member that was
    removed by hand, or a member whose disk was emptied.
extends_documentation_fragment: [hardway.kubernetes.turn]
attributes:
  check_mode:
    description: Says whether the host would begin a cluster, join it, be promoted or leave.
    support: full
  diff_mode:
    description: Names the step.
    support: full
options:
  name:
    description: The member's name, etcd's own flag C(name).
    type: str
    required: true
  peer_url:
    description: The host's address for other members.
    type: str
    required: true
  servers:
    description: Addresses of all members for clients, this host's own first.
    type: list
    elements: str
    required: true
  wal_dir:
    description: Where etcd keeps its log. It counts as data when it holds a file of it.
    type: path
    required: true
  bootstrap:
    description: The file of settings that etcd reads when it starts without data. The unit takes it away once etcd serves.
    type: path
    required: true
  pki_dir:
    description: Folder of the controller with the authorities. The action plugin signs an hour's access to etcd with them.
    type: path
  passphrase:
    description: Passphrase of the authorities' keys. Used by the action plugin, never sent to a host.
    type: str
  state:
    description: Whether only to look, to make this host a member, or to take the members in O(leaving) out.
    type: str
    choices: [inspected, present, absent]
    default: inspected
  data_dir:
    description: Where etcd keeps everything else, to name it where old data is in the way.
    type: path
  health:
    description: Ask every member for its health, also where the host has data.
    type: bool
    default: false
  leaving:
    description: By host that is to leave, its address for other members. For O(state=absent).
    type: dict
    default: {}
  names:
    description: By host that is to leave, its member's name. For O(state=absent).
    type: dict
    default: {}
  seen:
    description: By host, the results of O(state=inspected); those that did not answer are missing. For O(state=present).
    type: dict
    default: {}
  peers:
    description: By host of the group, its address for other members; those that stay with O(state=absent), which need it
      as O(state=present) does.
    type: dict
    default: {}
  token:
    description: A word that tells new clusters of one network apart. For O(state=present).
    type: str
    default: etcd
  component:
    description: Options of P(hardway.kubernetes.component#module) that run etcd. For O(state=present).
    type: dict
    default: {}
  within:
    description: Seconds for each of three waits - until it may join or leave, until it serves or the others do, until it may vote.
    type: int
    default: 600
  step:
    description: Which part the host does. Set by the action plugin.
    type: str
    choices: [look, announce, promote, remove]
    default: look
  member_id:
    description: Id of the member that leaves. Set by the action plugin.
    type: str
  ca:
    description: etcd's authority as PEM text. Set by the action plugin.
    type: str
  client_certificate:
    description: PEM text. Set by the action plugin.
    type: str
  client_key:
    description: PEM text. Set by the action plugin.
    type: str
  lease:
    description: Where runs of several controllers agree on turns, as in P(hardway.kubernetes.component#module). For
      O(state=absent); the action plugin keeps it to itself.
    type: dict
  turn_key:
    description: The key of O(turn.client_certificate) as PEM text. Set by the action plugin.
    type: str
"""

EXAMPLES = r"""
- name: See who is a member
  hardway.kubernetes.etcd_members:
    name: cp1
    peer_url: https://192.168.60.11:2380
    servers: [https://127.0.0.1:2379, https://192.168.60.12:2379, https://192.168.60.13:2379]
    wal_dir: /var/lib/etcd/member/wal
    bootstrap: /etc/etcd/bootstrap.env
    pki_dir: ~/.config/hardway.kubernetes/example/pki
  register: seen
"""

RETURN = r"""
seen:
  description: What the host knows - whether it has data, the cluster's id and members, or the reason why none answered.
  returned: with O(state=inspected)
  type: dict
plan:
  description: What the host had to do. V(none), V(begin), V(join) or V(promote).
  returned: with O(state=present)
  type: str
initial_cluster:
  description: The members with which etcd starts.
  returned: when the host was announced
  type: str
left:
  description: Hosts whose members were taken out, in that order.
  returned: with O(state=absent)
  type: list
  elements: str
promoted:
  description: Whether the member had to be promoted.
  returned: when it was to vote
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.etcd import (
    ETCD_SPEC,
    Etcd,
    EtcdError,
    announced,
    look,
    removed,
    voting,
)
from ansible_collections.hardway.kubernetes.plugins.module_utils.lease import TURN_SPEC, TURN_TAKES, TURN_WAITS, agreed

LEAVES_WITHIN = 60  # seconds that a member needs for it at the most where nothing is wrong


def main():
    """The host's half. All but looking is decided by the action plugin on the controller."""
    module = AnsibleModule(
        argument_spec=dict(
            ETCD_SPEC,
            pki_dir={"type": "path"},
            passphrase={"type": "str", "no_log": True},
            state={"type": "str", "choices": ["inspected", "present", "absent"], "default": "inspected"},
            leaving={"type": "dict", "default": {}},
            names={"type": "dict", "default": {}},
            seen={"type": "dict", "default": {}},
            peers={"type": "dict", "default": {}},
            token={"type": "str", "default": "etcd", "no_log": False},
            component={"type": "dict", "default": {}},
            within={"type": "int", "default": 600},
            step={"type": "str", "choices": ["look", "announce", "promote", "remove"], "default": "look"},
            member_id={"type": "str"},
            client_key={"type": "str", "no_log": True},
            lease={"type": "dict"},
            turn=TURN_SPEC,
            turn_key={"type": "str", "no_log": True},
        ),
        supports_check_mode=True,
    )
    wish = module.params
    if wish["step"] == "look":
        module.exit_json(changed=False, seen=look(wish, wish["client_key"]))
    etcd = Etcd(wish["servers"], wish["ca"], wish["client_certificate"], wish["client_key"])
    try:
        if wish["step"] == "announce":
            module.exit_json(changed=True, initial_cluster=announced(etcd, wish, wish["within"]))
        if wish["step"] == "remove":
            with agreed(wish["turn"], wish["turn_key"], LEAVES_WITHIN + TURN_TAKES) as other:
                if other:
                    module.fail_json(
                        msg="a member of etcd is to leave, and %s has had the turn for %d s (Lease %s in kube-system). Wait for "
                        "that run, and run again." % (other, TURN_WAITS, wish["turn"]["name"])
                    )
                removed(etcd, wish["member_id"], wish["within"])
            module.exit_json(changed=True)
        promoted = voting(etcd, wish["peer_url"], wish["within"])
    except EtcdError as error:
        what = {
            "announce": "did not take this host as a new member",
            "promote": "does not let this member vote",
            "remove": "did not let a member go and serve without it",
        }
        module.fail_json(
            msg="etcd %s within %d s: %s. Look at: journalctl -u etcd on all members; then run again, it goes on from here."
            % (what[wish["step"]], wish["within"], error)
        )
    module.exit_json(changed=promoted, promoted=promoted)


if __name__ == "__main__":
    main()
