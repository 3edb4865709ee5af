"""Fixtures for the lives of networks on a lab's real hosts: bin/lab exec -- pytest tests/networks."""

from lab_fixtures import *  # noqa: F403
