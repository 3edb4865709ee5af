# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as people read them: each sentence once, with the hosts that it is true of."""

from __future__ import annotations


def by_sentence(findings):
    """Lines to show.

    :arg findings: dict of host to list of sentences; the empty name stands for what is no one host's.
    :returns: list of str in the order of the hosts' names, such as "cp1, cp2: has no openssl."
    """
    hosts_of = {}
    for host, sentences in sorted(findings.items()):
        for sentence in sentences:
            hosts_of.setdefault((bool(host), sentence), []).append(host)
    return [
        "%s: %s" % (", ".join(dict.fromkeys(hosts)), sentence) if named else sentence
        for (named, sentence), hosts in hosts_of.items()
    ]
