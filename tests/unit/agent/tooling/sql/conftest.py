"""Databases that the tests of one worker share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.agent.tooling.sql.databases import Database, Mariadb, Postgresql, running, shared_folder


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Database]:
    with running(Postgresql, shared_folder(tmp_path_factory, worker_id)) as database:
        yield database


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Database]:
    with running(Mariadb, shared_folder(tmp_path_factory, worker_id)) as database:
        yield database
