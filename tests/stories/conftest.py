"""Fixtures for the long stories on a lab's real hosts: bin/lab exec -- pytest tests/stories."""

from lab_fixtures import *  # noqa: F403
