"""A kube-proxy that stands still: verify.yml tells of the endpoint that its host's rules lack."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab_cluster import IMAGE, NODES, await_rolled_out, await_whole, green


def told_where_they_do_not_follow(
    on: Callable[[str], Any], run: Callable[..., Any], kubectl: Callable[..., str], namespace: str, name: str
) -> str:
    """Stops kube-proxy on one host while a Service gets an endpoint: that host alone has the finding.

    :arg run: what runs a playbook, such as the fixture playbook.
    :returns: what verify.yml said once all was well again.
    """
    command = ["--replicas=1", f"--image={IMAGE}", "--", "/agnhost", "netexec", "--http-port=8080"]
    kubectl("-n", namespace, "create", "deployment", "web", *command)
    kubectl("-n", namespace, "expose", "deployment", "web", "--port=80", "--target-port=8080")
    await_rolled_out(kubectl, namespace)
    green(run, "playbooks/verify.yml")
    on(name).check_output("systemctl stop kube-proxy")
    try:
        kubectl("-n", namespace, "scale", "deployment", "web", "--replicas=2")
        await_rolled_out(kubectl, namespace)
        # Patience helps nobody here, however slow the host.
        result = run("playbooks/verify.yml", "-e", "verify__rules_within=15")
    finally:
        on(name).check_output("systemctl start kube-proxy")
    assert result.returncode == 2, result.stdout[-4000:]
    told = re.sub(r"\s+", " ", result.stdout)
    sentence = rf": of Service {namespace}/web \(tcp [\d.]+:80\) the ready endpoint [\d.]+:8080 is not in the rules"
    assert re.search(name + sentence, told), result.stdout[-4000:]
    for other in NODES:
        assert other == name or not re.search(other + sentence, told), result.stdout[-4000:]
    return await_whole(run)
