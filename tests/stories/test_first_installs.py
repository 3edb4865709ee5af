"""A first install behind a balancer of somebody else's, with nobody in its pool yet, from check mode to a second run."""

from __future__ import annotations

import pytest
from lab_cluster import BALANCERS, HOSTS, NAME, SERVERS, all_answered, await_whole, changes_nothing, green
from lab_theirs import ENDPOINT, before_the_first_run, documented, external, hybrid

pytestmark = [pytest.mark.bare, pytest.mark.skipif(not BALANCERS, reason="the lab has no hosts for a balancer")]
OPTIONS = {"external": external, "hybrid": hybrid}
POOLS = {"external": SERVERS, "hybrid": BALANCERS}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_first_install(on, playbook, theirs, tmp_path, kind):
    """Its keys are new too: the balancer is configured as documented for the time before, and again once there is an authority."""
    extra = OPTIONS[kind](
        cluster_controller_dir=str(tmp_path / "controller"), kubectl__kubeconfig=str(tmp_path / "kubeconfig")
    )
    config = documented(POOLS[kind])
    theirs(before_the_first_run(config))
    try:
        green(playbook, "site.yml", "--check", *extra)
        assert [name for name in HOSTS if on(name).file("/etc/kubernetes").exists] == []
        assert not (tmp_path / "controller").exists()
        green(playbook, "site.yml", *extra)
        theirs(config)
        for more in ([], ["--check"]):
            changes_nothing(green(playbook, "site.yml", *more, *extra))
        all_answered(await_whole(playbook, *extra), ENDPOINT)
    finally:
        confirmed = ["-e", f"reset_confirm={NAME}", "-e", "reset_data=true"]
        green(playbook, "playbooks/reset.yml", *confirmed, *extra)
