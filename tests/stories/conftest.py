"""Fixtures for the long stories on a lab's real hosts: bin/lab exec -- pytest tests/stories."""

from lab_cluster import BALANCERS
from lab_fixtures import *  # noqa: F403

# Without hosts that balance for all there is no story of them.
collect_ignore = [] if BALANCERS else ["test_balancers.py"]
