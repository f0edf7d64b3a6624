"""What ends the watcher's process, and that it ends in order: the Lease is released before."""

from __future__ import annotations

import asyncio

import pytest

from clients.temporal import TlsFiles
from watcher import __main__ as program
from watcher.settings import Settings

SETTINGS = Settings.read({})


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the watcher itself does; it takes a moment to end."""
    words: list[str] = []

    async def run(settings: Settings) -> None:
        try:
            words.append("runs")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            words.append("released")

    monkeypatch.setattr(program, "run", run)
    return words


@pytest.fixture
def rotation(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    event = asyncio.Event()

    async def tls_changed(before: TlsFiles | None) -> None:
        await event.wait()

    monkeypatch.setattr(program, "tls_changed", tls_changed)
    return event


async def test_it_ends_in_order_when_the_files_for_tls_have_changed(said: list[str], rotation: asyncio.Event) -> None:
    rotation.set()
    await asyncio.wait_for(program.serve(SETTINGS), 5)
    assert said == ["runs", "released"]


async def test_it_ends_in_order_when_it_is_told_to(said: list[str], rotation: asyncio.Event) -> None:
    task = asyncio.create_task(program.serve(SETTINGS))
    while not said:  # noqa: ASYNC110 - the task has only to begin
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["runs", "released"]


async def test_a_part_that_fails_ends_it_with_its_error(
    monkeypatch: pytest.MonkeyPatch, rotation: asyncio.Event
) -> None:
    async def run(settings: Settings) -> None:
        raise RuntimeError("a part has failed")

    monkeypatch.setattr(program, "run", run)
    with pytest.raises(RuntimeError, match="a part has failed"):
        await program.serve(SETTINGS)
