"""Fixtures for what only virtual machines of a lab can show: bin/lab exec -- pytest tests/vm."""

from lab_fixtures import *  # noqa: F403
