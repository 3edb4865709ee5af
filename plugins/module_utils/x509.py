# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a certificate says, read on hosts that have no library for it. A process of openssl for each costs a slow host seconds."""

from __future__ import annotations

import base64
import calendar
import ssl
import textwrap
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
    der = _der(text)
    dummy, at, dummy = _field(der, 3)  # when it begins, and when it ends
    tag, start, end = _element(der, _after(der, at, 1))
    written = der[start:end].decode("ascii")
    if tag == UTC_TIME:
        written = ("20" if written[:2] < "50" else "19") + written
    elif tag != GENERALIZED_TIME:
        raise ValueError("no time where the certificate's end should be")
    return calendar.timegm(time.strptime(written, "%Y%m%d%H%M%SZ"))


def public_key(text):
    """The public key in the first certificate of a PEM text, as PEM text: what 'openssl x509 -pubkey' writes.

    :arg text: str with a certificate or a chain.
    :raises ValueError: when it holds none that can be read.
    """
    der = _der(text)
    begin, dummy, end = _field(der, 5)
    lines = textwrap.wrap(base64.b64encode(der[begin:end]).decode("ascii"), 64)
    return "\n".join(["-----BEGIN PUBLIC KEY-----"] + lines + ["-----END PUBLIC KEY-----", ""])


def fits(certificate, key):
    """Whether two files hold a certificate and its private key, both readable.

    :arg certificate: path of a certificate or a chain in PEM.
    :arg key: path of a private key in PEM; one with a passphrase does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Only whether they belong together is asked: a policy of the host's that wants longer keys has no say in that.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        return False
    return True


def _der(text):
    """The first certificate in a PEM text, as bytes of DER."""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError("no certificate in PEM")
    return ssl.PEM_cert_to_DER_cert(text[begin : end + len(END)])


def _field(der, number):
    """Where a field of what is signed begins, and where its content begins and ends.

    They are, from 0: serial number, algorithm, issuer, validity, subject, public key.
    """
    dummy, inside, dummy = _element(der, 0)  # the certificate
    dummy, at, dummy = _element(der, inside)  # what is signed
    begin = _after(der, at, number + (_element(der, at)[0] == VERSION))
    dummy, start, end = _element(der, begin)
    return begin, start, end


def _after(der, at, count):
    """Where the element behind some others begins."""
    return _after(der, _element(der, at)[2], count - 1) if count else at


def _element(der, at):
    """Tag, and where the content of an element begins and ends."""
    try:
        tag, length, start = der[at], der[at + 1], at + 2
    except IndexError:
        raise ValueError("the certificate ends too early") from None
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der):
        raise ValueError("the certificate ends too early")
    return tag, start, start + length
