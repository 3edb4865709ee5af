"""Who may ask what, tried from outside with real and with wrong credentials."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
from lab_cluster import HOSTVARS, group


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
    assert curl(host, url, "--cacert /etc/etcd/pki/ca.crt", other) == "000"


@pytest.mark.parametrize("name", group("kube_node"))
def test_kubelet_asks_for_credentials(on, name):
    """Anonymous is refused; a node's own certificate may not run commands on a kubelet."""
    host, url = on(name), f"https://{HOSTVARS[name]['ansible_host']}:10250"
    ca = "--cacert /etc/kubernetes/pki/ca.crt"
    own = "--cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key"
    assert curl(host, f"{url}/pods", ca) == "401"
    assert curl(host, f"{url}/exec/default/x/x", ca, own, "-X POST") == "403"


@pytest.mark.parametrize("name", group("kube_controller_manager"))
def test_metrics_ask_for_credentials(on, name):
    """The controller manager's and the scheduler's metrics are authenticated."""
    host, ca = on(name), "--cacert /etc/kubernetes/pki/ca.crt"
    for port in (10257, 10259):
        assert curl(host, f"https://127.0.0.1:{port}/metrics", ca) in ("401", "403")


def test_secrets_are_encrypted_at_rest(on, kubectl, namespace):
    """What etcd holds of a Secret is not its text."""
    kubectl("create", "secret", "generic", "probe", f"--namespace={namespace}", "--from-literal=word=open-sesame")
    tls = "--cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/server.crt --key=/etc/etcd/pki/server.key"
    stored = on(group("etcd")[0]).check_output(
        f"etcdctl {tls} --endpoints=https://127.0.0.1:2379 get /registry/secrets/{namespace}/probe -w json"
    )
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
    host = on(group("worker")[0])
    options = "--cacert /etc/kubernetes/pki/ca.crt --cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key"
    assert curl(host, f"https://127.0.0.1:7443/api/v1/namespaces/{namespace}/secrets/other", options) == "403"


def test_administrators_kubeconfig_is_private():
    """0600, and its user is in the administrators' group, not in system:masters."""
    path = Path(os.environ["KUBECONFIG"])
    assert path.stat().st_mode & 0o777 == 0o600
    who = subprocess.run(["kubectl", "auth", "whoami", "-o", "json"], capture_output=True, text=True, check=True)
    groups = json.loads(who.stdout)["status"]["userInfo"]["groups"]
    assert "hardway:cluster-admins" in groups
    assert "system:masters" not in groups
