# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster's certificate authorities and what they sign. Runs on the controller only; keys never leave its folder."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import secrets
import shutil
import tempfile

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

AUTHORITIES = ("kubernetes", "etcd", "front-proxy")
COMMON_NAME = 64  # characters of a certificate's at the most (RFC 5280, appendix A, ub-common-name)
RENEW_WHEN_LEFT = 1 / 3  # of a leaf's life
KEY_TYPES = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096")


class PkiError(Exception):
    """Something about the folder of authorities that a person has to look at."""


def make_key(key_type):
    """A new private key of one of KEY_TYPES."""
    kind, size = key_type.split("-")
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    return ec.generate_private_key(ec.SECP256R1() if size == "p256" else ec.SECP384R1())


def key_pem(key, passphrase=None):
    """A private key as PKCS#8 PEM bytes, encrypted where a passphrase is given."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def public_pem(key):
    """A public key as PEM text."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def public_half(private_pem):
    """The public half of a private key given as PEM text, as PEM text; None where it is no key."""
    try:
        return public_pem(serialization.load_pem_private_key(private_pem.encode(), None).public_key())
    except (ValueError, TypeError, AttributeError):
        return None


def why_no_authority(text):
    """Why PEM text is no authority to trust, in words, or None."""
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return "holds no certificate"
    return _why_ended(certificates[0])


def why_no_client(certificate_text, key_text):
    """Why a certificate and a key, given as PEM text, are no client's, in words, or None. The words hold nothing of the key."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_text.encode())
    except ValueError:
        return "the certificate is none"
    try:
        key = serialization.load_pem_private_key(key_text.encode(), None)
    except TypeError:
        return "the key has a passphrase; take it away and keep the variable in a vault"
    except ValueError:
        return "the key is none"
    if public_pem(key.public_key()) != public_pem(certificate.public_key()):
        return "the key does not belong to the certificate"
    ended = _why_ended(certificate)
    return ended and "the certificate " + ended


def _why_ended(certificate):
    end = certificate.not_valid_after_utc
    return "has ended on %s" % end.date() if end < datetime.datetime.now(datetime.UTC) else None


class Pki:
    """The folder with the three authorities, the ServiceAccount key pair and the key that encrypts secrets at rest.

    :arg folder: path on the controller; 0700, its keys 0600.
    :arg passphrase: str that the authorities' keys are encrypted with, or None.
    """

    def __init__(self, folder, passphrase=None):
        if not HAS_CRYPTOGRAPHY:
            raise PkiError("the controller's Python has no package cryptography. Install it: pip install cryptography")
        self.folder = os.path.expanduser(folder)
        if passphrase is not None and not isinstance(passphrase, str):
            # A number may have lost its leading zeros.
            raise PkiError("cluster_ca_passphrase is no text: YAML makes something else of it. Put it into quotes.")
        self.passphrase = passphrase or None

    def files(self):
        """All files that a whole folder holds, by name."""
        names = ["%s-ca.%s" % (name, kind) for name in AUTHORITIES for kind in ("crt", "key")]
        return names + ["service-account.key", "service-account.pub", "encryption.key"]

    def state(self):
        """'whole', 'absent', or a PkiError that names what is missing or unreadable."""
        try:
            there = os.listdir(self.folder)
        except FileNotFoundError:
            return "absent"
        except OSError as error:
            raise PkiError(
                "the folder of the cluster's authorities, %s, can't be read: %s. Run as the person who owns it; nothing is "
                "made anew beside it." % (self.folder, error.strerror)
            ) from error
        wrong = []
        for name in self.files():
            try:
                with open(os.path.join(self.folder, name), "rb") as stream:
                    if not stream.read():
                        wrong.append("%s is empty" % name)
            except OSError as error:
                wrong.append("%s: %s" % (name, error.strerror))
        if not there:
            return "absent"
        if wrong:
            raise PkiError(
                "the folder of the cluster's authorities, %s, is not whole: %s. Restore it from your backup; nothing is made "
                "anew beside what is left of it." % (self.folder, "; ".join(wrong))
            )
        for name in AUTHORITIES:
            if public_pem(self.authority_key(name).public_key()) != public_pem(self.authority(name).public_key()):
                raise PkiError(
                    "%s/%s-ca.key does not belong to %s-ca.crt beside it. Restore both from one backup."
                    % (self.folder, name, name)
                )
        return "whole"

    def create(self, cluster_name, days, key_type):
        """Make the whole folder; it appears at once or not at all."""
        room = COMMON_NAME - max(len(" %s CA" % name) for name in AUTHORITIES)
        if len(cluster_name) > room:
            raise PkiError(
                "cluster_name %r has %d characters, and %d fit into the names of its authorities. Set a shorter one. Nothing was "
                "changed." % (cluster_name, len(cluster_name), room)
            )
        parent = os.path.dirname(os.path.abspath(self.folder))
        os.makedirs(parent, mode=0o700, exist_ok=True)
        staging = tempfile.mkdtemp(dir=parent, prefix=".pki-")
        try:
            for name in AUTHORITIES:
                key = make_key(key_type)
                certificate = _self_signed("%s %s CA" % (cluster_name, name), key, days)
                self._write(staging, "%s-ca.key" % name, key_pem(key, self.passphrase))
                self._write(staging, "%s-ca.crt" % name, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
            key = make_key(key_type)
            self._write(staging, "service-account.key", key_pem(key))
            self._write(staging, "service-account.pub", public_pem(key.public_key()).encode(), 0o644)
            self._write(staging, "encryption.key", base64.b64encode(secrets.token_bytes(32)))
            if os.path.isdir(self.folder):
                os.rmdir(self.folder)  # only ever an empty one: state() said so
            os.rename(staging, self.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _write(self, folder, name, content, mode=0o600):
        handle = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fsync(stream.fileno())

    def read(self, name):
        """One file of the folder as text."""
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8") as stream:
                return stream.read()
        except OSError as error:
            raise PkiError("%s can't be read: %s" % (os.path.join(self.folder, name), error.strerror)) from error

    def authority(self, name):
        """The certificate of an authority."""
        try:
            return x509.load_pem_x509_certificate(self.read(name + "-ca.crt").encode())
        except ValueError as error:
            raise PkiError(
                "%s/%s-ca.crt is no certificate: %s. Restore it from your backup." % (self.folder, name, error)
            ) from error

    def authority_key(self, name):
        """The private key of an authority."""
        try:
            return serialization.load_pem_private_key(
                self.read(name + "-ca.key").encode(), self.passphrase.encode() if self.passphrase else None
            )
        except (ValueError, TypeError) as error:
            raise PkiError(
                "%s/%s-ca.key can't be opened: %s. Check cluster_ca_passphrase." % (self.folder, name, error)
            ) from error

    def sign(self, wish, public_key, days):
        """A leaf certificate as PEM text.

        :arg wish: dict with ca, common_name, organizations, sans (DNS names and addresses), usages (server, client).
        :arg public_key: the leaf's public key.
        :arg days: its life in days, cut to the authority's own.
        """
        authority = self.authority(wish["ca"])
        now = datetime.datetime.now(datetime.UTC)
        if authority.not_valid_after_utc <= now:
            raise PkiError(
                "the %s authority in %s ended on %s and can sign nothing any more."
                % (wish["ca"], self.folder, authority.not_valid_after_utc.date())
            )
        end = min(now + datetime.timedelta(days=days), authority.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(wish))
            .issuer_name(authority.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(public_key), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_usages(wish)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if wish.get("sans"):
            builder = builder.add_extension(x509.SubjectAlternativeName(_names(wish["sans"])), critical=False)
        certificate = builder.sign(self.authority_key(wish["ca"]), hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign_request(self, wish, request_pem, days):
        """Like sign, for the key that a certificate signing request proves to hold; all else comes from the wish."""
        request = x509.load_pem_x509_csr(request_pem.encode())
        if not request.is_signature_valid:
            raise PkiError("the signing request for %s is not signed by its own key" % wish["path"])
        return self.sign(wish, request.public_key(), days)

    def client(self, common_name, organizations, days, key_type="ecdsa-p256", authority="kubernetes"):
        """A new client key and certificate of an authority: (certificate PEM, key PEM) as text."""
        key = make_key(key_type)
        wish = {
            "ca": authority,
            "common_name": common_name,
            "organizations": organizations,
            "sans": [],
            "usages": ["client"],
        }
        return self.sign(wish, key.public_key(), days), key_pem(key).decode()

    def with_content(self, authorities):
        """Wished authorities, each with its certificate's text."""
        return [dict(wish, content=self.read(wish["ca"] + "-ca.crt")) for wish in authorities or []]

    def renewals(self, wishes, found):
        """Which of the wished leaves must be issued (again): path to reason.

        :arg found: by path, the certificate and the public key that a host has, as text or None.
        """
        reasons = {
            wish["path"]: self.why_renew(wish, found[wish["path"]]["certificate"], found[wish["path"]]["public_key"])
            for wish in wishes or []
        }
        return {path: reason for path, reason in reasons.items() if reason}

    def why_renew(self, wish, certificate_pem, public_key_pem):
        """Why a leaf must be issued (again), in words, or None while it serves.

        :arg certificate_pem: text of the present certificate, or None.
        :arg public_key_pem: text of the present private key's public half, or None.
        """
        if not certificate_pem or not public_key_pem:
            return "there is none yet"
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        except ValueError:
            return "it is unreadable"
        if public_pem(certificate.public_key()).strip() != public_key_pem.strip():
            return "it does not belong to the key beside it"
        try:
            certificate.verify_directly_issued_by(self.authority(wish["ca"]))
        except (ValueError, TypeError, InvalidSignature):
            return "it was not signed by the %s authority" % wish["ca"]
        if certificate.subject != _subject(wish):
            return "its subject is %s" % certificate.subject.rfc4514_string()
        present, wished = set(_present_names(certificate)), set(_names(wish.get("sans") or []))
        if wish.get("keep_names"):
            present &= wished
        if present != wished:
            return "its names differ: %s" % ", ".join(
                sorted(
                    ["without " + str(name.value) for name in wished - present]
                    + ["with " + str(name.value) for name in present - wished]
                )
            )
        try:
            usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            usages = []
        if set(usages) != set(_usages(wish)):
            return "its usages differ"
        life, left = _life(certificate)
        if left < life * RENEW_WHEN_LEFT:
            return "%d of its %d days are left" % (left.days, life.days)
        return None

    def keeping_names(self, wish, certificate_pem):
        """The wish, with the names that a leaf has besides where it is to keep them; the regular renewal drops them.

        Only a leaf that was signed here for this very subject says which names were ever wished.

        :arg certificate_pem: text of the present certificate, or None.
        """
        if not wish.get("keep_names") or not certificate_pem:
            return wish
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
            certificate.verify_directly_issued_by(self.authority(wish["ca"]))
        except (ValueError, TypeError, InvalidSignature):
            return wish
        present, wished = _present_names(certificate), set(_names(wish.get("sans") or []))
        life, left = _life(certificate)
        if certificate.subject != _subject(wish) or (left < life * RENEW_WHEN_LEFT and wished <= set(present)):
            return wish
        more = [str(name.value) for name in present if name not in wished]
        return dict(wish, sans=list(wish.get("sans") or []) + more)


def _life(certificate):
    """How long a certificate lives in all, and from now on."""
    end = certificate.not_valid_after_utc
    return end - certificate.not_valid_before_utc, end - datetime.datetime.now(datetime.UTC)


def _subject(wish):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in wish.get("organizations") or []]
    return x509.Name(parts + [x509.NameAttribute(NameOID.COMMON_NAME, wish["common_name"])])


def _usages(wish):
    known = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
    return [known[usage] for usage in wish["usages"]]


def _names(names):
    found = []
    for name in dict.fromkeys(str(name) for name in names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _present_names(certificate):
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []


def _key_usage(public_key):
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=isinstance(public_key, rsa.RSAPublicKey),
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _self_signed(common_name, key, days):
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
