# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shapes of clusters that have a playbook of their own, as sentences about what an inventory has otherwise.

site.yml runs any mix; a topology's playbook only sees to it that the inventory says what its user means.
"""

from __future__ import annotations

SINGLE, STACKED, EXTERNAL_ETCD, FULLY_MANUAL = "single", "stacked", "external_etcd", "fully_manual"
MANAGERS = ("kube_controller_manager", "kube_scheduler")
ELSE = "or use site.yml, which runs any mix."


class Groups:
    """The hosts of each part, and the words for what is wrong with them.

    :arg groups: the inventory's groups, name to list of hosts.
    :arg names: dict of part to the group's name.
    """

    def __init__(self, groups, names):
        self.groups, self.names = groups, names

    def hosts(self, part):
        """Hosts of a part."""
        return self.groups.get(self.names[part]) or []

    def alike(self, part, other, means):
        """A sentence where two parts have different hosts."""
        differ = sorted(set(self.hosts(part)) ^ set(self.hosts(other)))
        if not differ:
            return []
        return [
            "the groups %s and %s hold different hosts (%s). %s: put the same hosts into both, %s"
            % (self.names[part], self.names[other], ", ".join(differ), means, ELSE)
        ]

    def apart(self, part, other, means):
        """A sentence where two parts share hosts."""
        both = sorted(set(self.hosts(part)) & set(self.hosts(other)))
        if not both:
            return []
        return [
            "the groups %s and %s both hold %s. %s: take the hosts out of one of the two, %s"
            % (self.names[part], self.names[other], ", ".join(both), means, ELSE)
        ]

    def at_least(self, part, count, means):
        """A sentence where a part has too few hosts."""
        there = len(self.hosts(part))
        if there >= count:
            return []
        return ["the group %s has only %d of the hosts. %s: add some, %s" % (self.names[part], there, means, ELSE)]


def shape_findings(shape, groups, names, etcd_is_given=False):
    """Why an inventory is not of a shape.

    :arg shape: SINGLE, STACKED, EXTERNAL_ETCD or FULLY_MANUAL.
    :arg etcd_is_given: whether someone else runs etcd.
    :returns: list of sentences.
    """
    return RULES[shape](Groups(groups, names), etcd_is_given)


def _single(groups, etcd_is_given):
    found = []
    hosts = groups.hosts("kube_apiserver")
    if len(hosts) != 1:
        found.append(
            "the group %s has %d hosts (%s). Single means one host for the whole control plane: leave one, or use "
            "playbooks/stacked.yml for three or more, or site.yml for any mix."
            % (groups.names["kube_apiserver"], len(hosts), ", ".join(hosts) or "none")
        )
    for part in ("etcd", *MANAGERS):
        found += groups.alike(part, "kube_apiserver", "Single means that one host runs all of the control plane")
    return found


def _stacked(groups, etcd_is_given):
    found = groups.alike("etcd", "kube_apiserver", "Stacked means etcd beside each API server")
    found += groups.at_least(
        "kube_apiserver", 3, "Stacked needs three or more, an odd number; for one there is playbooks/single.yml"
    )
    for part in MANAGERS:
        found += groups.alike(
            part, "kube_apiserver", "Stacked means that each of these hosts runs the whole control plane"
        )
    return found


def _external_etcd(groups, etcd_is_given):
    found = [] if etcd_is_given else groups.at_least("etcd", 3, "External etcd needs three or five hosts of its own")
    for part in ("kube_apiserver", *MANAGERS, "kube_node", "load_balancer"):
        found += groups.apart("etcd", part, "External etcd means hosts that run etcd and nothing else of the cluster")
    for part in MANAGERS:
        found += groups.alike(part, "kube_apiserver", "With external etcd these stand beside each API server")
    return found


def _fully_manual(groups, etcd_is_given):
    found = []
    for part in ("kube_apiserver", *MANAGERS):
        found += groups.apart("etcd", part, "Fully manual means etcd on hosts of its own")
    for part in ("etcd", "kube_apiserver", *MANAGERS):
        found += groups.apart(part, "kube_node", "Fully manual means that no host of the control plane is a node")
    return found


RULES = {SINGLE: _single, STACKED: _stacked, EXTERNAL_ETCD: _external_etcd, FULLY_MANUAL: _fully_manual}
