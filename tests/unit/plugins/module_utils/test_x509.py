"""What certificates say, against certificates that a library made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils.x509 import fits, not_after, public_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

KEYS: dict[str, Any] = {
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "short": rsa.generate_private_key(public_exponent=65537, key_size=1024),
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
    for read in (not_after, public_key):
        with pytest.raises(ValueError, match=r"."):
            read(text)


def public_pem(key: str) -> str:
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return KEYS[key].public_key().public_bytes(*form).decode()


@pytest.mark.parametrize("key", KEYS)
def test_public_keys(key: str) -> None:
    """Of the first in a chain."""
    end = datetime(2030, 1, 1, tzinfo=UTC)
    assert public_key(pem(end, key) + pem(end)) == public_pem(key)


def test_a_key_fits_its_certificate_alone(tmp_path: Path) -> None:
    """However short it is; one that is unreadable, or has a passphrase that nobody is asked for, does not."""
    end, certificate, held = datetime(2030, 1, 1, tzinfo=UTC), tmp_path / "crt", tmp_path / "key"

    def holds(key: str, passphrase: bytes | None = None) -> None:
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        held.write_bytes(KEYS[key].private_bytes(*form, secret))

    for key in KEYS:
        certificate.write_text(pem(end, key))
        for other in KEYS:
            holds(other)
            assert fits(certificate, held) == (key == other)
    certificate.write_text(pem(end, "rsa"))
    holds("rsa", b"secret")
    assert not fits(certificate, held)
    holds("rsa")
    assert fits(certificate, held)
    for path in (held, certificate):
        path.write_text("garbage")
        assert not fits(certificate, held)
