"""The failure that a stacked cluster promises to survive: any one control-plane host, here the first of the inventory."""

from __future__ import annotations

import json
import time

import pytest
from lab_cluster import changed, group, lab, roll_out

LOST = group("kube_apiserver")[0]
OTHER = group("kube_apiserver")[1]
WHOLE_WITHIN = 180  # seconds


def ask(host):
    """The HTTP status of a question to the API through a worker's own balancer."""
    pair = "--cert /etc/kubernetes/kubelet/pki/client.crt --key /etc/kubernetes/kubelet/pki/client.key"
    url = "https://127.0.0.1:7443/api/v1/namespaces/default"
    ca = "--cacert /etc/kubernetes/pki/ca.crt"
    return host.run(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 3 {ca} {pair} {url}").stdout


class TestOneHostLost:
    """While the host has no power."""

    @pytest.fixture(scope="class", autouse=True)
    def lost(self):
        """The host loses its power, and has it back after the class."""
        lab("stop", LOST)
        yield
        lab("start", LOST)

    def test_the_api_answers_through_a_workers_balancer(self, on):
        """Within seconds every question is answered again (403: a node may not read namespaces, and the API says so)."""
        worker = on(group("worker")[0])
        answers = [ask(worker) for _question in range(12)]
        assert set(answers[-6:]) <= {"200", "403"}, answers

    def test_site_finishes_for_the_rest_and_names_what_it_skipped(self, playbook):
        """The run ends with ansible's code for unreachable hosts, 4; only the administrator's kubeconfig turns elsewhere."""
        result = playbook("site.yml", "--diff")
        assert result.returncode == 4, result.stdout[-4000:]
        counts = {name: count for name, count in changed(result.stdout).items() if name != LOST}
        assert counts.pop(OTHER) <= 1, result.stdout[-4000:]
        assert set(counts.values()) == {0}, result.stdout[-4000:]
        assert f"fatal: [{LOST}]: UNREACHABLE!" in result.stdout

    def test_a_new_deployment_is_scheduled(self, kubectl):
        """The control plane still works: its leaders moved."""
        roll_out(kubectl, "survives")


def test_with_power_again_the_cluster_is_whole_without_a_run(kubectl, playbook):
    """The host's services come up by themselves, and a run afterwards finds nothing to do anywhere."""
    end = time.monotonic() + WHOLE_WITHIN
    while time.monotonic() < end:
        result = playbook("playbooks/verify.yml")
        if result.returncode == 0:
            break
    assert result.returncode == 0, result.stdout[-4000:]
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    assert len(nodes) == len(group("kube_node"))
    healed = playbook("site.yml")
    assert healed.returncode == 0, healed.stdout[-4000:]
    assert set(changed(healed.stdout).values()) == {0}, healed.stdout[-4000:]
