"""How all tests are spread over workers, and that a run leaves nothing behind.

A module of end-to-end tests stays on one worker, in order, because its tests share an App. Other tests go to whichever
worker is free. Modules marked ``exclusive`` take the cluster, the machine or the clock for themselves and run alone.
"""

from __future__ import annotations

import pytest

from tests.support.guardian import Guardian

_guardian = pytest.StashKey[Guardian]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker inherits the mark of the run that started it
        config.stash[_guardian] = Guardian()


def pytest_unconfigure(config: pytest.Config) -> None:
    if guardian := config.stash.get(_guardian, None):
        guardian.dismiss()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
