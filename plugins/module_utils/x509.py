# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a certificate says, read on hosts that have no library for it. A process of openssl for each costs a slow host seconds."""

from __future__ import annotations

import calendar
import ssl
import time

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# Tags of DER, and of RFC 5280 (4.1): a version is there from version 2 on, and years have four digits from 2050 on.
VERSION, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x17, 0x18


def not_after(text):
    """When the first certificate in a PEM text ends.

    :arg text: str with a certificate or a chain.
    :returns: seconds since the epoch, int.
    :raises ValueError: when it holds none that can be read.
    """
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError("no certificate in PEM")
    der = ssl.PEM_cert_to_DER_cert(text[begin : end + len(END)])
    try:
        dummy, inside, dummy = _element(der, 0)  # the certificate
        dummy, at, dummy = _element(der, inside)  # what is signed
        # Before the validity are the serial number, the algorithm and the issuer; in it, when the certificate begins.
        at = _after(der, at, 4 if der[at] == VERSION else 3)
        dummy, at, dummy = _element(der, at)
        tag, start, end = _element(der, _after(der, at, 1))
    except IndexError:
        raise ValueError("the certificate ends too early") from None
    written = der[start:end].decode("ascii")
    if tag == UTC_TIME:
        written = ("20" if written[:2] < "50" else "19") + written
    elif tag != GENERALIZED_TIME:
        raise ValueError("no time where the certificate's end should be")
    return calendar.timegm(time.strptime(written, "%Y%m%d%H%M%SZ"))


def _after(der, at, count):
    """Where the element behind some others begins."""
    return _after(der, _element(der, at)[2], count - 1) if count else at


def _element(der, at):
    """Tag, and where the content of an element begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    return der[at], start, start + length
