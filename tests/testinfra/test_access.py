"""Who may ask what, tried from outside with real and with wrong credentials."""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import os
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lab_cluster import BALANCED_API, ETCDCTL, HOSTVARS, UNITS, WORKERS, group

PKI = Path(next(iter(HOSTVARS.values()))["cluster_controller_dir"]) / "pki"
NODES = "/api/v1/nodes"
REFUSED = "refused"  # by TLS, before any request was heard
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
# What is wrong with a certificate, beside nothing: whose signature, days from now, usage.
WRONGS = {
    "of another authority with the same name": ("stranger", (-1, 1), CLIENT),
    "of another of the cluster's authorities": ("front-proxy", (-1, 1), CLIENT),
    "expired": ("own", (-3, -1), CLIENT),
    "not valid yet": ("own", (1, 3), CLIENT),
    "meant for servers": ("own", (-1, 1), SERVER),
    "signed by itself": ("itself", (-1, 1), CLIENT),
}


def curl(host, url, *options):
    """The HTTP status of a request, 000 where TLS or the connection was refused."""
    return host.run(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 5 {' '.join(options)} {url}").stdout


@pytest.mark.parametrize("name", group("kube_apiserver"))
def test_anonymous_may_only_ask_for_health(on, name):
    """/readyz answers without credentials; the API does not."""
    host, ca = on(name), "--cacert /etc/kubernetes/pki/ca.crt"
    assert curl(host, "https://127.0.0.1:6443/readyz", ca) == "200"
    assert curl(host, "https://127.0.0.1:6443/api/v1/namespaces", ca) == "401"
    assert curl(host, "https://127.0.0.1:6443/version", ca) == "401"


@pytest.mark.parametrize("name", group("etcd"))
def test_etcd_refuses_strangers(on, name):
    """No client certificate, or one of another authority: no connection."""
    host = on(name)
    url = f"https://{HOSTVARS[name]['ansible_host']}:2379/health"
    own = "--cert /etc/etcd/pki/server.crt --key /etc/etcd/pki/server.key"
    other = "--cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key"
    assert curl(host, url, "--cacert /etc/etcd/pki/ca.crt", own) == "200"
    assert curl(host, url, "--cacert /etc/etcd/pki/ca.crt") == "000"
    if name in group("kube_node"):
        assert curl(host, url, "--cacert /etc/etcd/pki/ca.crt", other) == "000"


@pytest.mark.parametrize("name", group("kube_node"))
def test_kubelet_asks_for_credentials(on, name):
    """Anonymous is refused; a node's own certificate may not run commands on a kubelet."""
    host, url = on(name), f"https://{HOSTVARS[name]['ansible_host']}:10250"
    ca = "--cacert /etc/kubernetes/pki/ca.crt"
    own = "--cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key"
    assert curl(host, f"{url}/pods", ca) == "401"
    assert curl(host, f"{url}/exec/default/x/x", ca, own, "-X POST") == "403"


@pytest.mark.parametrize(
    ("port", "name"),
    [(10257, name) for name in UNITS["kube-controller-manager"]] + [(10259, name) for name in UNITS["kube-scheduler"]],
)
def test_metrics_ask_for_credentials(on, port, name):
    """The controller manager's and the scheduler's metrics are authenticated."""
    ca = "--cacert /etc/kubernetes/pki/ca.crt"
    assert curl(on(name), f"https://127.0.0.1:{port}/metrics", ca) in ("401", "403")


def test_secrets_are_encrypted_at_rest(on, kubectl, namespace):
    """What etcd holds of a Secret is not its text."""
    kubectl("create", "secret", "generic", "probe", f"--namespace={namespace}", "--from-literal=word=open-sesame")
    stored = on(group("etcd")[0]).check_output(f"{ETCDCTL} get /registry/secrets/{namespace}/probe -w json")
    value = base64.b64decode(json.loads(stored)["kvs"][0]["value"])
    assert value.startswith(b"k8s:enc:secretbox:v1:")
    assert b"open-sesame" not in value


def test_audit_log_tells_who_and_never_a_secret(on, kubectl, namespace):
    """The change is there with its user; the content is not."""
    kubectl("create", "secret", "generic", "audited", f"--namespace={namespace}", "--from-literal=word=shibboleth")
    found = ""
    for name in group("kube_apiserver"):
        host = on(name)
        log = "/var/log/kubernetes/kube-apiserver/audit.log"
        assert (host.file(log).user, host.file(log).mode) == ("kube-apiserver", 0o600)
        found += host.run(f"grep '\"{namespace}\"' {log}").stdout
    assert '"verb":"create"' in found
    assert "shibboleth" not in found
    assert base64.b64encode(b"shibboleth").decode() not in found


def test_a_node_cannot_read_secrets_of_others(on, kubectl, namespace):
    """A node's credentials give it nothing that no pod of its own uses."""
    kubectl("create", "secret", "generic", "other", f"--namespace={namespace}", "--from-literal=word=x")
    host = on(WORKERS[0])
    options = "--cacert /etc/kubernetes/pki/ca.crt --cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key"
    assert curl(host, f"{BALANCED_API}/api/v1/namespaces/{namespace}/secrets/other", options) == "403"


def test_administrators_kubeconfig_is_private():
    """0600, and its user is in the administrators' group, not in system:masters."""
    path = Path(os.environ["KUBECONFIG"])
    assert path.stat().st_mode & 0o777 == 0o600
    who = subprocess.run(["kubectl", "auth", "whoami", "-o", "json"], capture_output=True, text=True, check=True)
    groups = json.loads(who.stdout)["status"]["userInfo"]["groups"]
    assert "hardway:cluster-admins" in groups
    assert "system:masters" not in groups


@pytest.fixture(scope="session")
def forge(tmp_path_factory):
    """Makes certificates of anyone, right or wrong: the tests run where the authorities' keys are."""
    folder = tmp_path_factory.mktemp("forged")
    made = {}

    def _forge(authority, name, *groups, wrong=None):
        wanted = (authority, name, groups, wrong)
        if wanted not in made:
            signer, days, usage = WRONGS[wrong] if wrong else ("own", (-1, 1), CLIENT)
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name(
                [*(x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups)]
                + [x509.NameAttribute(NameOID.COMMON_NAME, name)]
            )
            signed_by = {"own": authority, "stranger": authority}.get(signer, signer)
            issuer, signing = subject, key
            if signer != "itself":
                issuer = x509.load_pem_x509_certificate((PKI / f"{signed_by}-ca.crt").read_bytes()).subject
                signing = serialization.load_pem_private_key((PKI / f"{signed_by}-ca.key").read_bytes(), None)
            if signer == "stranger":
                signing = ec.generate_private_key(ec.SECP256R1())
            now = datetime.datetime.now(datetime.UTC)
            start, end = (now + datetime.timedelta(days=count) for count in days)
            certificate = (
                x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), start, end)
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                .sign(signing, hashes.SHA256())
            )
            path = folder / f"{len(made)}.pem"
            path.write_bytes(
                certificate.public_bytes(serialization.Encoding.PEM)
                + key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            made[wanted] = path
        return made[wanted]

    return _forge


def ask(name, port, path, pair=None, ca="kubernetes", method="GET", body=None, **headers):
    """The status of a request from outside to a port of a host, REFUSED where TLS did not come about."""
    context = ssl.create_default_context(cafile=PKI / f"{ca}-ca.crt")
    if pair:
        context.load_cert_chain(pair)
    connection = http.client.HTTPSConnection(HOSTVARS[name]["ansible_host"], port, timeout=10, context=context)
    try:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, body=body, headers={"Content-Type": kind, **headers})
        return connection.getresponse().status
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
        return REFUSED
    finally:
        connection.close()


class TestWrongCertificates:
    """A right certificate is taken, and the same one with one thing wrong is not: each server checks it all."""

    @pytest.mark.parametrize("wrong", WRONGS)
    @pytest.mark.parametrize("name", group("kube_apiserver"))
    def test_api_server(self, forge, name, wrong):
        """An administrator's certificate, and the wrong ones."""
        admin = ("kubernetes", "probe", "system:masters")
        assert ask(name, 6443, NODES, forge(*admin)) == 200
        assert ask(name, 6443, NODES, forge(*admin, wrong=wrong)) == 401
        assert ask(name, 6443, NODES) == 401

    @pytest.mark.parametrize("wrong", WRONGS)
    @pytest.mark.parametrize("name", group("kube_node"))
    def test_kubelet(self, forge, name, wrong):
        """The same at a kubelet."""
        admin = ("kubernetes", "probe", "system:masters")
        assert ask(name, 10250, "/pods", forge(*admin)) == 200
        assert ask(name, 10250, "/pods", forge(*admin, wrong=wrong)) == 401
        assert ask(name, 10250, "/pods") == 401

    @pytest.mark.parametrize("wrong", [*WRONGS, "of a node"])
    @pytest.mark.parametrize(("port", "path"), [(2379, "/health"), (2380, "/version")])
    @pytest.mark.parametrize("name", group("etcd"))
    def test_etcd(self, forge, name, port, path, wrong):
        """For clients and for members; none at all and a node's are refused too."""
        node = forge("kubernetes", f"system:node:{group('kube_node')[-1]}", "system:nodes")
        pair = node if wrong == "of a node" else forge("etcd", "probe", wrong=wrong)
        assert ask(name, port, path, forge("etcd", "probe"), ca="etcd") == 200
        assert ask(name, port, path, pair, ca="etcd") == REFUSED
        assert ask(name, port, path, ca="etcd") == REFUSED


@pytest.mark.parametrize("name", group("kube_node"))
def test_a_node_is_nobody_to_another_kubelet(forge, name):
    """What another node's certificate may ask of a kubelet: nothing."""
    other = next((host for host in group("kube_node") if host != name), "elsewhere")
    pair = forge("kubernetes", f"system:node:{other}", "system:nodes")
    for path in ("/pods", "/metrics", "/stats/summary", "/configz", "/logs/"):
        assert ask(name, 10250, path, pair) == 403, path
    assert ask(name, 10250, "/run/kube-system/x/x?cmd=id", pair, method="POST") == 403


@pytest.mark.parametrize("name", group("kube_apiserver"))
def test_only_the_front_proxy_may_speak_for_others(forge, name):
    """Headers with a user's name count for one certificate of one authority."""
    headers = {"X-Remote-User": "probe", "X-Remote-Group": "system:masters"}
    assert ask(name, 6443, NODES, forge("front-proxy", "front-proxy-client"), **headers) == 200
    assert ask(name, 6443, NODES, forge("front-proxy", "intruder"), **headers) == 401
    assert ask(name, 6443, NODES, forge("kubernetes", "front-proxy-client"), **headers) == 403
    assert ask(name, 6443, NODES, **headers) == 401


@pytest.mark.parametrize("name", group("kube_apiserver"))
def test_the_api_servers_own_user_may_only_ask_kubelets(forge, name):
    """The certificate that it shows to kubelets reads no secret and no node."""
    pair = forge("kubernetes", "kube-apiserver-kubelet-client")
    assert ask(name, 6443, "/api/v1/secrets", pair) == 403
    assert ask(name, 6443, NODES, pair) == 403


POD = """
apiVersion: v1
kind: Pod
metadata: {name: owner}
spec:
  nodeName: %s
  volumes: [{name: word, secret: {secretName: used}}]
  containers: [{name: pause, image: registry.k8s.io/pause:3.10.1, volumeMounts: [{name: word, mountPath: /word}]}]
"""


@pytest.mark.skipif(len(group("kube_node")) < 2, reason="there is no other node")
def test_a_node_reads_the_secrets_of_its_own_pods_only(on, kubectl, forge, namespace):
    """The node that runs the pod gets its Secret, which the audit log tells; another node gets neither that nor anything else."""
    owner, other = group("kube_node")[-2:]
    mine, others = (forge("kubernetes", f"system:node:{name}", "system:nodes") for name in (owner, other))
    kubectl("create", "secret", "generic", "used", f"--namespace={namespace}", "--from-literal=word=x")
    kubectl("create", f"--namespace={namespace}", "-f", "-", stdin=POD % owner)
    kubectl("wait", f"--namespace={namespace}", "--for=condition=Ready", "pod/owner", "--timeout=60s")
    api, secret = group("kube_apiserver")[0], f"/api/v1/namespaces/{namespace}/secrets/used"
    assert ask(api, 6443, secret, mine) == 200
    assert ask(api, 6443, secret, others) == 403
    told = on(api).check_output(f"grep '{secret}' /var/log/kubernetes/kube-apiserver/audit.log")
    users = [json.loads(line)["user"]["username"] for line in told.splitlines()]
    assert {f"system:node:{owner}", f"system:node:{other}"} <= set(users)

    token = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    assert ask(api, 6443, f"{NODES}/{other}", others) == 200
    for method, path, body in (
        ("GET", "/api/v1/secrets", None),
        ("GET", f"/api/v1/namespaces/{namespace}/secrets", None),
        ("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", token),
        ("DELETE", f"/api/v1/namespaces/{namespace}/pods/owner", None),
        ("PATCH", f"{NODES}/{owner}", '{"metadata": {"labels": {"probe": "x"}}}'),
        ("PATCH", f"{NODES}/{other}", '{"metadata": {"labels": {"node-restriction.kubernetes.io/probe": "x"}}}'),
        ("PATCH", f"{NODES}/{other}", '{"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}'),
        (
            "PATCH",
            f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{owner}",
            '{"metadata": {"labels": {"probe": "x"}}}',
        ),
    ):
        assert ask(api, 6443, path, others, method=method, body=body) == 403, (method, path)
    assert ask(api, 6443, NODES, others, **{"Impersonate-User": "system:admin"}) == 403


def test_the_controllers_folder_is_private():
    """The authorities' keys, the ServiceAccount key and the key of secrets: 0600 in folders of 0700."""
    keys = list(PKI.glob("*.key"))
    assert {"kubernetes-ca.key", "etcd-ca.key", "front-proxy-ca.key", "service-account.key", "encryption.key"} <= {
        path.name for path in keys
    }
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (PKI, PKI.parent)} == {0o700}


def test_services_take_no_address_that_is_not_theirs(kubectl, namespace):
    """A Service that names external addresses is refused: whoever may make one could take over any address."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "thief", "namespace": namespace}}
    service["spec"] = {"ports": [{"port": 443}], "externalIPs": ["192.0.2.1"]}
    with pytest.raises(AssertionError, match="Use of external IPs is denied"):
        kubectl("create", "-f", "-", stdin=json.dumps(service))
