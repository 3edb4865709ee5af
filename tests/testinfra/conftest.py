"""Fixtures for tests on a lab's real hosts. They run inside the lab's network: bin/lab exec -- pytest tests/testinfra."""

from lab_cluster import BALANCERS
from lab_fixtures import *  # noqa: F403

# Without hosts that balance for all there is nothing to check of them.
collect_ignore = [] if BALANCERS else ["test_balancers.py"]
