"""A client certificate for Temporal that is rotated under a process that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clients.temporal import tls_changed

LOOK = 0.01


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (tmp_path / name).write_text("one")
    monkeypatch.setenv("MW_TEMPORAL_TLS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["ca.crt", "tls.crt", "tls.key"])
async def test_it_is_noticed_once_a_file_is_another(folder: Path, name: str) -> None:
    noticed = asyncio.create_task(tls_changed(LOOK))
    await asyncio.wait([noticed], timeout=5 * LOOK)
    assert not noticed.done()
    (folder / name).write_text("two")
    await asyncio.wait_for(noticed, 5)


async def test_without_tls_nothing_is_ever_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MW_TEMPORAL_TLS_DIR", raising=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tls_changed(LOOK), 5 * LOOK)
