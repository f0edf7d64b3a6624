"""Whatever a run of the tests starts ends with it (see ``tests.support.guardian``)."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.guardian import Guardian

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")
_guardian = pytest.StashKey[Guardian]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker inherits the mark of the run that started it
        config.stash[_guardian] = Guardian()


def pytest_unconfigure(config: pytest.Config) -> None:
    if guardian := config.stash.get(_guardian, None):
        guardian.dismiss()
