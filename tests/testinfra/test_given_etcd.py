"""An etcd that someone else runs: API servers use it with what they are given, and nothing is touched there."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lab_cluster import HOSTVARS, SERVERS, changed, changes_nothing, green, group, processes, restarted_by_a_run

MEMBERS = group("etcd")
pytestmark = pytest.mark.skipif(bool(set(MEMBERS) & set(SERVERS)), reason="etcd stands beside the API servers here")
PKI = Path(next(iter(HOSTVARS.values()))["cluster_controller_dir"]) / "pki"
GIVEN = "/etc/kubernetes/kube-apiserver/pki/etcd-given"


def client() -> tuple[str, str]:
    """A client certificate of etcd's authority and its key, made outside of the collection."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate((PKI / "etcd-ca.crt").read_bytes()).subject
    signer = serialization.load_pem_private_key((PKI / "etcd-ca.key").read_bytes(), None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = datetime.datetime.now(datetime.UTC)
    span = (now - datetime.timedelta(hours=1), now + datetime.timedelta(days=30))
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), *span)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(kinds[0]).decode(), key.private_bytes(*kinds).decode()


@pytest.mark.usefixtures("healed")
def test_the_same_etcd_as_if_it_were_someone_elses(on, playbook, kubectl, tmp_path):
    """Its hosts are in no play, what is in it is there as before, and neither output nor diff shows the key."""
    certificate, key = client()
    endpoints = [f"https://{HOSTVARS[name]['ansible_host']}:2379" for name in MEMBERS]
    (tmp_path / "given.json").write_text(
        json.dumps(
            {
                "cluster_etcd_group": "nobody",
                "kube_apiserver__etcd_endpoints": endpoints,
                "kube_apiserver__etcd_ca": (PKI / "etcd-ca.crt").read_text(),
                "kube_apiserver__etcd_certificate": certificate,
                "kube_apiserver__etcd_key": key,
            }
        )
    )
    extra = ["-e", f"@{tmp_path / 'given.json'}"]
    kubectl("create", "configmap", "before-it-was-given")
    before = processes(on, MEMBERS + SERVERS)
    result = playbook("site.yml", "--diff", "-vvv", *extra)
    assert result.returncode == 0, result.stdout[-4000:]
    assert not set(changed(result.stdout)) & set(MEMBERS)
    assert f"{GIVEN}.key" in result.stdout
    for line in key.splitlines()[1:-1]:
        assert line not in result.stdout + result.stderr
    assert restarted_by_a_run(before, processes(on, MEMBERS + SERVERS)) == {
        (name, "kube-apiserver") for name in SERVERS
    }
    assert kubectl("delete", "configmap", "before-it-was-given")
    for name in SERVERS:
        assert (on(name).file(f"{GIVEN}.key").user, on(name).file(f"{GIVEN}.key").mode) == ("kube-apiserver", 0o600)
        command = on(name).check_output("tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID kube-apiserver)/cmdline")
        wished = {f"--etcd-keyfile={GIVEN}.key", f"--etcd-servers={','.join(endpoints)}"}
        assert wished <= set(command.splitlines())
    changes_nothing(green(playbook, "site.yml", *extra))
    green(playbook, "playbooks/verify.yml", *extra)
