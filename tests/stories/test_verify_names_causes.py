"""What is wrong on a host, verify.yml says with the host, the cause and the mend."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from lab_cluster import HOSTVARS, group

HOST = group("worker")[0]


def findings(playbook, *arguments: str) -> str:
    """verify.yml must fail; gives what it says."""
    result = playbook("playbooks/verify.yml", *arguments)
    assert result.returncode == 2, result.stdout[-4000:]
    return result.stdout


FULL = "/var/log/kubernetes"  # which verify.yml looks at, and nothing writes to on a worker


@pytest.fixture
def full(on):
    """A small file system with nothing free, where logs could go."""
    on(HOST).check_output(f"mkdir {FULL} && mount -t tmpfs -o size=4m tmpfs {FULL}")
    on(HOST).run(f"dd if=/dev/zero of={FULL}/full bs=1M count=8")
    yield
    on(HOST).check_output(f"umount {FULL} && rmdir {FULL}")


@pytest.mark.usefixtures("full")
def test_a_full_disk(playbook):
    """The path, how much is free, and what to do."""
    told = findings(playbook)
    assert f"{HOST}: the file system of {FULL} has 0% free" in told, told[-3000:]
    assert "Make room" in told


@pytest.fixture
def late(on):
    """An interpreter on the host whose clock is late: lab hosts share the machine's clock, which must stay right."""
    shifted = "import time; real = time.time; time.time = lambda: real() - 300"
    python = '#!/bin/sh\\nPYTHONPATH=/run/late exec /usr/bin/python3 "$@"\\n'
    write = f"mkdir /run/late && echo '{shifted}' > /run/late/sitecustomize.py && printf '{python}' > /run/late/python"
    on(HOST).check_output("bash -c %s", write + " && chmod 755 /run/late/python")
    yield "{{ '/run/late/python' if inventory_hostname == '%s' else '/usr/bin/python3' }}" % HOST
    on(HOST).check_output("rm -r /run/late")


def test_a_wrong_clock(playbook, late):
    """By how much, and what to look at; site.yml does not touch such a host."""
    extra = ["-e", json.dumps({"ansible_python_interpreter": late})]
    told = findings(playbook, *extra)
    assert re.search(rf"{HOST}: has a clock that differs by -(2[89]\d|300) s from the controller's", told)
    result = playbook("site.yml", "--limit", HOST, *extra)
    assert result.returncode == 2, result.stdout[-4000:]
    assert "Set its clock and see that its time service runs" in result.stdout


def test_a_service_that_is_stopped(playbook, on):
    """The unit, its state and its log."""
    on(HOST).check_output("systemctl stop kube-proxy")
    told = findings(playbook)
    assert f"{HOST}: kube-proxy.service is inactive" in told, told[-3000:]
    assert "journalctl -u kube-proxy" in told
    result = playbook("site.yml")
    assert result.returncode == 0, result.stdout[-4000:]
    assert on(HOST).service("kube-proxy").is_running


def test_an_expired_certificate(playbook, on, kubectl):
    """The file and how to renew it; the named tag mends it."""
    path = "/etc/kubernetes/kubelet/pki/client"
    present = x509.load_pem_x509_certificate(on(HOST).check_output(f"cat {path}.crt").encode())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=present.issuer,
        subject_name=present.subject,
        public_key=present.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=10),
        not_valid_after=now - datetime.timedelta(days=2),
        extensions=list(present.extensions),
    )
    folder = Path(HOSTVARS[HOST]["cluster_controller_dir"]) / "pki"
    key = serialization.load_pem_private_key((folder / "kubernetes-ca.key").read_bytes(), None)
    expired = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    on(HOST).check_output("bash -c %s", f"echo '{expired}' > {path}.crt && systemctl restart kubelet")
    told = findings(playbook)
    assert f"{HOST}: {path}.crt has expired 2 days ago" in told.replace("has expired 3 days", "has expired 2 days")
    assert "tag certificates" in told
    for arguments in (["--tags", "certificates"], []):
        result = playbook("site.yml", *arguments)
        assert result.returncode == 0, result.stdout[-4000:]
    kubectl("wait", "node", HOST, "--for=condition=Ready", "--timeout=60s")
    result = playbook("playbooks/verify.yml")
    assert result.returncode == 0, result.stdout[-4000:]
