"""Databases that the tests of one worker share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.tooling.sql.databases import Database, Mariadb, Postgresql, running


def _shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all workers of a run."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Database]:
    with running(Postgresql, _shared(tmp_path_factory, worker_id)) as database:
        yield database


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Database]:
    with running(Mariadb, _shared(tmp_path_factory, worker_id)) as database:
        yield database
