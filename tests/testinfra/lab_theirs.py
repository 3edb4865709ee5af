"""A balancer of somebody else's: an HAProxy with the configuration that docs/load-balancers.md shows, beside the first of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab_cluster import BALANCERS, HOSTVARS, REPOSITORY, SERVERS, told

WHERE = BALANCERS[0] if BALANCERS else ""
ENDPOINT = f"{HOSTVARS[WHERE]['ansible_host']}:8443" if WHERE else ""
_UNIT, _CONFIG, _CA = "somebodys-balancer", "/etc/haproxy/theirs.cfg", "/etc/haproxy/kubernetes-ca.crt"
_CHECKS = f"verify required ca-file {_CA}"


def external(endpoint: str = ENDPOINT, **more: object) -> list[str]:
    """What its user sets, as options of ansible-playbook, where nothing of ours balances for all."""
    return told(
        load_balancer__kind="external", cluster_api_endpoint=endpoint, cluster_load_balancer_group="nobody", **more
    )


def hybrid(**more: object) -> list[str]:
    """The same where it is in front of our pair."""
    return told(load_balancer__kind="hybrid", cluster_api_endpoint=ENDPOINT, load_balancer__pair_port=6443, **more)


def documented(pool: list[str]) -> str:
    """The documentation's own configuration with this lab's port and these hosts as its servers."""
    text = (REPOSITORY / "docs" / "load-balancers.md").read_text()
    config = re.search(r"^```\n(frontend kube-apiserver\n.*?)^```", text, re.M | re.S)[1]
    assert "bind :6443\n" in config
    assert _CHECKS in config
    config = config.replace("bind :6443", f"bind {ENDPOINT}")
    config = re.sub(r"^  server .*\n", "", config, flags=re.M)
    return config + "".join(f"  server {name} {HOSTVARS[name]['ansible_host']}:6443\n" for name in pool)


def before_the_first_run(config: str) -> str:
    """The same while there is no authority's file, as documented."""
    return config.replace(_CHECKS, "verify none")


def blind(config: str) -> str:
    """The same with a TCP connect as its only check."""
    return re.sub(r"  (option httpchk|http-check).*\n", "", config).replace(f"check check-ssl {_CHECKS}", "check")


def unchecked(config: str) -> str:
    """The same without any check."""
    return re.sub(r"  default-server .*\n", "", blind(config))


class Theirs:
    """The process of that balancer; calling it starts one with a configuration, in the place of one before.

    The host has the program from the scenario's converge; a reset leaves packages.
    """

    def __init__(self, on: Callable[[str], Any]) -> None:
        self.on = on

    def __call__(self, config: str) -> None:
        """Start it.

        :arg config: HAProxy's configuration, such as documented() gives.
        """
        host = self.on(WHERE)
        host.run(f"systemctl stop {_UNIT}")
        host.check_output("mkdir -p /etc/haproxy")
        if _CA in config:
            authority = self.on(SERVERS[0]).check_output("cat /etc/kubernetes/pki/ca.crt")
            host.check_output(f"printf %s %s > {_CA}", "%s\\n", authority)
        host.check_output(f"printf %s %s > {_CONFIG}", "%s", config)
        host.check_output(f"haproxy -c -f {_CONFIG}")
        host.check_output(f"systemd-run --collect --unit={_UNIT} haproxy -db -f {_CONFIG}")

    def end(self) -> None:
        """Stop it, and take away its files."""
        self.on(WHERE).run(f"systemctl stop {_UNIT}")
        self.on(WHERE).check_output(f"rm -f {_CONFIG} {_CA}")
