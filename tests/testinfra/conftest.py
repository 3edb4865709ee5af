"""Fixtures for tests on a lab's real hosts. They run inside the lab's network: bin/lab exec -- pytest tests/testinfra."""

from lab_fixtures import *  # noqa: F403
