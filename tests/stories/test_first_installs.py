"""First installs with other balancers than the inventory's, from check mode to a second run; somebody else's knows nobody yet."""

from __future__ import annotations

import functools

import pytest
from lab_cluster import (
    BALANCED_API,
    BALANCERS,
    HOSTS,
    NAME,
    SERVERS,
    all_answered,
    await_whole,
    changes_nothing,
    green,
    told,
)
from lab_theirs import ENDPOINT, before_the_first_run, documented, external, hybrid

pytestmark = [pytest.mark.bare, pytest.mark.skipif(not BALANCERS, reason="the lab has no hosts for a balancer")]
# How its user sets it, and whom somebody else's balancer asks, if there is one.
KINDS = {
    "external": (external, SERVERS),
    "hybrid": (hybrid, BALANCERS),
    "nginx": (functools.partial(told, load_balancer__kind="nginx"), []),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_install(on, playbook, theirs, tmp_path, kind):
    """Its keys are new too: the balancer is configured as documented for the time before, and again once there is an authority."""
    options, pool = KINDS[kind]
    extra = options(
        cluster_controller_dir=str(tmp_path / "controller"), kubectl__kubeconfig=str(tmp_path / "kubeconfig")
    )
    config = documented(pool)
    if pool:
        theirs(before_the_first_run(config))
    try:
        green(playbook, "site.yml", "--check", *extra)
        assert [name for name in HOSTS if on(name).file("/etc/kubernetes").exists] == []
        assert not (tmp_path / "controller").exists()
        green(playbook, "site.yml", *extra)
        if pool:
            theirs(config)
        for more in ([], ["--check"]):
            changes_nothing(green(playbook, "site.yml", *more, *extra))
        all_answered(await_whole(playbook, *extra), ENDPOINT if pool else BALANCED_API[8:])
    finally:
        confirmed = ["-e", f"reset_confirm={NAME}", "-e", "reset_data=true"]
        green(playbook, "playbooks/reset.yml", *confirmed, *extra)
