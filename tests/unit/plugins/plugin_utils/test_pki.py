"""The folder of authorities: made whole or not at all, never replaced, and what it signs."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import pki as pki_module
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki, PkiError, key_pem, make_key, public_pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

WISH = {
    "path": "/etc/kubernetes/pki/server",
    "ca": "kubernetes",
    "common_name": "kube-apiserver",
    "organizations": ["example"],
    "sans": ["cp1", "127.0.0.1", "fd00::1"],
    "usages": ["server"],
}


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def request(key: ec.EllipticCurvePrivateKey, name: str = "request") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


# ---- the folder ----


def test_create_makes_a_whole_folder_that_only_its_owner_reads(tmp_path: Path) -> None:
    pki = Pki(str(tmp_path / "deep" / "pki"))
    assert pki.state() == "absent"
    pki.create("example", 100, "ecdsa-p256")
    assert pki.state() == "whole"
    assert mode(pki.folder) == 0o700
    assert sorted(os.listdir(pki.folder)) == sorted(pki.files())
    secrets = [name for name in pki.files() if name.endswith(".key")]
    assert {mode(Path(pki.folder) / name) for name in secrets} == {0o600}
    assert len(secrets) == 5
    assert os.listdir(tmp_path / "deep") == ["pki"]


def test_a_permissive_umask_opens_no_key(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        Pki(str(tmp_path / "pki")).create("example", 100, "ecdsa-p256")
    finally:
        os.umask(umask)
    assert mode(tmp_path / "pki") == 0o700
    assert mode(tmp_path / "pki" / "etcd-ca.key") == 0o600


def test_a_name_too_long_for_an_authority_is_told_before_anything_is_made(tmp_path: Path) -> None:
    pki = Pki(str(tmp_path / "pki"))
    with pytest.raises(
        PkiError, match="has 50 characters, and 49 fit into the names of its authorities. Set a shorter one"
    ):
        pki.create("n" * 50, 1, "ecdsa-p256")
    assert os.listdir(tmp_path) == []
    pki.create("n" * 49, 1, "ecdsa-p256")
    assert pki.state() == "whole"


def test_a_create_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_size: int) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pki_module.secrets, "token_bytes", full)
    pki = Pki(str(tmp_path / "pki"))
    with pytest.raises(OSError, match="No space"):
        pki.create("example", 100, "ecdsa-p256")
    assert os.listdir(tmp_path) == []
    assert pki.state() == "absent"


def test_create_fills_an_empty_folder_and_never_one_with_content(tmp_path: Path) -> None:
    pki = Pki(str(tmp_path))
    assert pki.state() == "absent"
    pki.create("example", 100, "ecdsa-p256")
    before = pki.read("etcd-ca.key")
    with pytest.raises(OSError, match="not empty"):
        pki.create("example", 100, "ecdsa-p256")
    assert pki.read("etcd-ca.key") == before


def test_authorities_are_what_a_host_will_trust(pki: Pki) -> None:
    names = set()
    for name in ("kubernetes", "etcd", "front-proxy"):
        authority = pki.authority(name)
        names.add(authority.subject.rfc4514_string())
        assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert authority.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        life = authority.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        assert 3648 < life.days <= 3650
        assert public_pem(pki.authority_key(name).public_key()) == public_pem(authority.public_key())
    assert names == {"CN=example kubernetes CA", "CN=example etcd CA", "CN=example front-proxy CA"}


def test_the_encryption_key_is_32_random_bytes(pki: Pki, tmp_path: Path) -> None:
    assert len(base64.b64decode(pki.read("encryption.key"))) == 32
    other = Pki(str(tmp_path / "other"))
    other.create("example", 100, "ecdsa-p256")
    assert other.read("encryption.key") != pki.read("encryption.key")


@pytest.mark.parametrize(
    ("key_type", "kind", "size"),
    [
        ("ecdsa-p256", ec.EllipticCurvePrivateKey, 256),
        ("ecdsa-p384", ec.EllipticCurvePrivateKey, 384),
        ("rsa-2048", rsa.RSAPrivateKey, 2048),
    ],
)
def test_key_types(key_type: str, kind: type, size: int) -> None:
    key = make_key(key_type)
    assert isinstance(key, kind)
    assert key.key_size == size


@pytest.mark.parametrize("name", ["kubernetes-ca.key", "etcd-ca.crt", "service-account.key", "encryption.key"])
def test_a_folder_that_lost_a_file_is_an_error_that_names_it(pki: Pki, name: str) -> None:
    os.unlink(os.path.join(pki.folder, name))
    with pytest.raises(PkiError, match=name) as caught:
        pki.state()
    assert pki.folder in str(caught.value)
    assert "backup" in str(caught.value)


def test_a_folder_with_nothing_but_foreign_files_is_not_absent(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PkiError, match="not whole"):
        Pki(str(tmp_path)).state()


def test_an_empty_file_is_named(pki: Pki) -> None:
    Path(pki.folder, "encryption.key").write_text("")
    with pytest.raises(PkiError, match="encryption.key is empty"):
        pki.state()


@pytest.mark.parametrize("name", ["kubernetes-ca.crt", "kubernetes-ca.key"])
def test_a_garbled_authority_is_an_error_that_names_it(pki: Pki, name: str) -> None:
    path = Path(pki.folder, name)
    path.write_text(path.read_text()[:80] + "\n")
    with pytest.raises(PkiError, match=name):
        pki.state()


def test_a_key_from_another_backup_is_an_error_that_names_it(pki: Pki) -> None:
    shutil.copy(os.path.join(pki.folder, "etcd-ca.key"), os.path.join(pki.folder, "kubernetes-ca.key"))
    with pytest.raises(PkiError, match="kubernetes-ca"):
        pki.state()


def test_a_folder_that_may_not_be_read_is_a_clear_stop() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        os.chmod(parent, 0o755)
        folder = os.path.join(parent, "pki")
        os.mkdir(folder, 0o000)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(PkiError, match="can't be read"):
                Pki(folder).state()
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o700)


# ---- the passphrase ----


def test_a_passphrase_encrypts_the_authorities_keys(tmp_path: Path) -> None:
    pki = Pki(str(tmp_path / "pki"), "correct horse")
    pki.create("example", 100, "ecdsa-p256")
    assert pki.state() == "whole"
    assert all("BEGIN ENCRYPTED" in pki.read(name + "-ca.key") for name in ("kubernetes", "etcd", "front-proxy"))
    for wrong in ("wrong", None, ""):
        with pytest.raises(PkiError, match="Check cluster_ca_passphrase") as caught:
            Pki(pki.folder, wrong).state()
        assert "kubernetes-ca.key" in str(caught.value)
        assert "correct horse" not in str(caught.value)


def test_a_passphrase_that_yaml_made_a_number_of(tmp_path: Path) -> None:
    """0123 is 83 by then."""
    for number in (83, 0, True):
        with pytest.raises(PkiError, match="cluster_ca_passphrase is no text") as caught:
            Pki(str(tmp_path / "pki"), number)
        assert "83" not in str(caught.value)


def test_a_passphrase_for_keys_without_one_is_an_error(pki: Pki) -> None:
    with pytest.raises(PkiError, match="Check cluster_ca_passphrase"):
        Pki(pki.folder, "surplus").state()


# ---- leaves ----


def signed(pki: Pki, days: float = 365, **more: object) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = make_key("ecdsa-p256")
    pem = pki.sign_request({**WISH, **more}, request(key), days)
    return x509.load_pem_x509_certificate(pem.encode()), key


def test_a_leaf_holds_what_was_wished_and_nothing_of_the_request(pki: Pki) -> None:
    certificate, key = signed(pki)
    assert certificate.subject.rfc4514_string() == "CN=kube-apiserver,O=example"
    assert public_pem(certificate.public_key()) == public_pem(key.public_key())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cp1"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("fd00::1"),
    ]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign


def test_openssl_accepts_a_leaf_for_its_use_and_its_names(pki: Pki, tmp_path: Path) -> None:
    certificate, _key = signed(pki, usages=["server", "client"])
    leaf = tmp_path / "leaf.crt"
    leaf.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", f"{pki.folder}/kubernetes-ca.crt"]
    for more in (
        ["-purpose", "sslserver", "-verify_ip", "127.0.0.1"],
        ["-purpose", "sslclient", "-verify_hostname", "cp1"],
    ):
        subprocess.run([*verify, *more, str(leaf)], check=True, capture_output=True)
    other = subprocess.run([*verify, "-verify_hostname", "cp2", str(leaf)], capture_output=True, check=False)
    assert other.returncode != 0


def test_a_leaf_of_an_rsa_key_may_encipher_keys(pki: Pki) -> None:
    key = make_key("rsa-2048")
    certificate = x509.load_pem_x509_certificate(pki.sign(WISH, key.public_key(), 10).encode())
    assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment


def test_a_leaf_never_outlives_its_authority(pki: Pki) -> None:
    certificate, _key = signed(pki, days=99999)
    assert certificate.not_valid_after_utc == pki.authority("kubernetes").not_valid_after_utc


def test_a_name_given_twice_stands_once(pki: Pki) -> None:
    certificate, _key = signed(pki, sans=["cp1", "cp1", "127.0.0.1", "127.0.0.1"])
    assert len(list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)) == 2


def test_a_request_that_its_key_did_not_sign_is_refused(pki: Pki) -> None:
    key, other = make_key("ecdsa-p256"), make_key("ecdsa-p256")
    honest = x509.load_pem_x509_csr(request(key).encode()).public_bytes(serialization.Encoding.DER)
    forged = x509.load_pem_x509_csr(request(other).encode()).public_bytes(serialization.Encoding.DER)
    # The public key of one request with the signature of another.
    points = [key.public_key(), other.public_key()]
    first, second = (
        point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        for point in points
    )
    mixed = x509.load_der_x509_csr(honest.replace(first, second))
    assert len(forged) > 0
    with pytest.raises(PkiError, match="/etc/kubernetes/pki/server is not signed by its own key"):
        pki.sign_request(WISH, mixed.public_bytes(serialization.Encoding.PEM).decode(), 10)


def test_an_expired_authority_is_a_clear_stop(tmp_path: Path) -> None:
    pki = Pki(str(tmp_path / "pki"))
    pki.create("example", -0.01, "ecdsa-p256")
    with pytest.raises(PkiError):
        signed(pki)


def test_a_client_gets_certificate_and_key_of_the_kubernetes_authority(pki: Pki) -> None:
    certificate_pem, key = pki.client("kim", ["admins"], 1)
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    certificate.verify_directly_issued_by(pki.authority("kubernetes"))
    assert certificate.subject.rfc4514_string() == "CN=kim,O=admins"
    loaded = serialization.load_pem_private_key(key.encode(), None)
    assert public_pem(loaded.public_key()) == public_pem(certificate.public_key())


# ---- when to renew ----


def why(pki: Pki, certificate: x509.Certificate | str | None, key: object, **more: object) -> str | None:
    text = certificate if isinstance(certificate, str | None) else pem_of(certificate)
    return pki.why_renew({**WISH, **more}, text, public_pem(key.public_key()) if key else None)


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_a_leaf_that_serves_is_kept(pki: Pki) -> None:
    assert why(pki, *signed(pki)) is None
    certificate, key = signed(pki)
    assert why(pki, certificate, key, sans=["fd00::1", "127.0.0.1", "cp1"]) is None


def test_reasons_to_renew(pki: Pki) -> None:
    certificate, key = signed(pki)
    assert why(pki, None, None) == "there is none yet"
    assert why(pki, certificate, None) == "there is none yet"
    assert why(pki, None, key) == "there is none yet"
    assert why(pki, "garbage", key) == "it is unreadable"
    assert why(pki, certificate, make_key("ecdsa-p256")) == "it does not belong to the key beside it"
    assert why(pki, certificate, key, ca="etcd") == "it was not signed by the etcd authority"
    assert why(pki, certificate, key, common_name="other") == "its subject is CN=kube-apiserver,O=example"
    assert why(pki, certificate, key, organizations=[]) == "its subject is CN=kube-apiserver,O=example"
    more = why(pki, certificate, key, sans=["cp1", "127.0.0.1", "192.168.60.9"])
    assert more == "its names differ: with fd00::1, without 192.168.60.9"
    assert why(pki, certificate, key, usages=["server", "client"]) == "its usages differ"
    assert why(pki, certificate, key, usages=["client"]) == "its usages differ"


def test_a_leaf_may_keep_names_that_are_wished_no_more(pki: Pki) -> None:
    certificate, key = signed(pki)
    assert why(pki, certificate, key, sans=["cp1"], keep_names=True) is None
    assert why(pki, certificate, key, sans=["cp1"]) == "its names differ: with 127.0.0.1, with fd00::1"
    more = why(pki, certificate, key, sans=["cp1", "new"], keep_names=True)
    assert more == "its names differ: without new"


def test_a_leaf_that_is_issued_anew_keeps_its_names(pki: Pki, tmp_path: Path) -> None:
    certificate, _key = signed(pki)
    wish = {**WISH, "sans": ["cp1", "new"], "keep_names": True}
    assert pki.keeping_names(wish, pem_of(certificate))["sans"] == ["cp1", "new", "127.0.0.1", "fd00::1"]
    assert wish["sans"] == ["cp1", "new"]
    for kept in (
        pki.keeping_names({**wish, "keep_names": False}, pem_of(certificate)),
        pki.keeping_names({**wish, "common_name": "etcd"}, pem_of(certificate)),  # somebody else's names
        pki.keeping_names(wish, "garbage"),
        pki.keeping_names(wish, None),
    ):
        assert kept["sans"] == ["cp1", "new"]
    other = Pki(str(tmp_path / "other"))
    other.create("example", 3650, "ecdsa-p256")
    strange, _key = signed(other)
    assert pki.keeping_names(wish, pem_of(strange))["sans"] == ["cp1", "new"]


def test_the_regular_renewal_drops_names_that_are_wished_no_more(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = signed(pki, days=365)
    later(monkeypatch, 300)
    wish = {**WISH, "sans": ["cp1"], "keep_names": True}
    assert "days are left" in why(pki, certificate, key, sans=["cp1"], keep_names=True)
    assert pki.keeping_names(wish, pem_of(certificate))["sans"] == ["cp1"]
    # A new name at the same time: its clients are still to be turned.
    turning = pki.keeping_names({**wish, "sans": ["cp1", "new"]}, pem_of(certificate))
    assert turning["sans"] == ["cp1", "new", "127.0.0.1", "fd00::1"]


def test_an_authority_with_the_same_name_and_another_key_is_another(pki: Pki, tmp_path: Path) -> None:
    other = Pki(str(tmp_path / "other"))
    other.create("example", 3650, "ecdsa-p256")
    certificate, key = signed(other)
    assert why(pki, certificate, key) == "it was not signed by the kubernetes authority"


def test_a_leaf_without_usages_is_renewed(pki: Pki) -> None:
    key, authority = make_key("ecdsa-p256"), pki.authority("kubernetes")
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(pki_module._subject(WISH))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName(pki_module._names(WISH["sans"])), critical=False)
        .sign(pki.authority_key("kubernetes"), hashes.SHA256())
    )
    assert why(pki, certificate, key) == "its usages differ"


def later(monkeypatch: pytest.MonkeyPatch, passed: int) -> None:
    """So many days from now."""

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime.now(tz) + datetime.timedelta(days=passed)

    clock = SimpleNamespace(datetime=Later, timezone=datetime.timezone, UTC=datetime.UTC, timedelta=datetime.timedelta)
    monkeypatch.setattr(pki_module, "datetime", clock)


@pytest.mark.parametrize(("passed", "kept"), [(0, True), (200, True), (242, True), (245, False), (366, False)])
def test_a_leaf_is_renewed_under_a_third_of_its_life(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, passed: int, kept: bool
) -> None:
    certificate, key = signed(pki, days=365)
    later(monkeypatch, passed)
    reason = why(pki, certificate, key)
    assert (reason is None) == kept
    if not kept:
        assert reason.endswith("of its 365 days are left")


def test_keys_are_written_without_a_passphrase_only_where_none_is_given() -> None:
    key = make_key("ecdsa-p256")
    assert b"BEGIN PRIVATE KEY" in key_pem(key)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in key_pem(key, "x")
