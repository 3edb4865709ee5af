"""When a certificate ends, against certificates that a library made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils.x509 import not_after
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

KEYS: dict[str, Any] = {
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def pem(end: datetime, key: str = "ec", name: str = "etcd", serial: int = 7) -> str:
    """A certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, KEYS[key].public_key(), serial)
    made = builder.not_valid_before(end - timedelta(days=9)).not_valid_after(end).sign(KEYS[key], hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "end",
    [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 2, 28, 1, 2, 3, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(2127, 7, 4, 12, tzinfo=UTC),
    ],
)
def test_any_year(end: datetime, key: str) -> None:
    """Two digits of it until 2049, four from 2050 on."""
    assert not_after(pem(end, key)) == end.timestamp()


def test_names_and_numbers_of_any_length() -> None:
    end = datetime(2030, 1, 1, tzinfo=UTC)
    assert not_after(pem(end, name="x" * 64, serial=2**158)) == end.timestamp()


def test_the_first_of_a_chain_counts() -> None:
    first, second = datetime(2030, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    assert not_after("words before\n" + pem(first) + pem(second)) == first.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n",
        pem(datetime(2030, 1, 1, tzinfo=UTC))[:200] + "\n-----END CERTIFICATE-----\n",
    ],
    ids=["empty", "words", "end before begin", "no base64", "nothing", "no certificate", "cut off"],
)
def test_what_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        not_after(text)
