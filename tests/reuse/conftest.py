"""Fixtures for somebody else's use of the collection: bin/lab exec -- pytest tests/reuse, on hosts without a cluster."""

from lab_fixtures import *  # noqa: F403
