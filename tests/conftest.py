"""How property tests run: no deadline, since a busy machine is no bug; in CI the same examples. And the record."""

import os

import pytest
from hypothesis import settings

from tests.record import Recorder

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="keep what became of each vendor, for `make matrix`")


def pytest_configure(config: pytest.Config) -> None:
    # With several processes, the one that all reports come to.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config))
