"""Writes at every address of every App, all the time: never may two engines of an App take writes at once.

Each probe is a connection of its own, since one that is open stays with the Pod that it has reached. It writes a key
and asks in the same breath which engine that was. Where two engines have taken a write in one round, all are asked
again at once: who takes a second write after the other's first was not replaced by it in between.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Self

from tests.chaos.edits.directory import PORT, Directory

_EVERY = 1.0
_TIMEOUT = 0.7
_RUN_ID = re.compile(rb"run_id:(\w+)")
_LONGEST = 60.0
"""Seconds for which two are followed."""


@dataclass(frozen=True)
class Answer:
    """``engine``: the run id of who took the write."""

    address: str
    engine: str


@dataclass
class Two:
    """A time in which two engines of an App took writes, as seconds from the beginning."""

    app: str
    at: float
    seconds: float
    addresses: dict[str, list[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def engines(answers: Iterable[Answer]) -> dict[str, list[str]]:
    """Engines that took a write, and at which addresses. Pure."""
    found: dict[str, list[str]] = {}
    for answer in answers:
        found.setdefault(answer.engine, []).append(answer.address)
    return {engine: sorted(addresses) for engine, addresses in found.items()}


def still_both(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Those that took writes in both rounds, where they are two or more. Pure."""
    both = {engine: addresses for engine, addresses in now.items() if engine in before}
    return both if len(both) > 1 else {}


class Probes:
    """Use as a context manager; ``seen`` is complete afterwards."""

    def __init__(self, apps: Iterable[str], directory: Directory) -> None:
        self.seen: list[Two] = []
        self.rounds = self.taken = 0
        self._apps, self._directory = list(apps), directory
        self._begun, self._stop = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="probes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=_LONGEST + 10)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number, app in enumerate(self._apps):
                group.create_task(self._follow(app, number * _EVERY / len(self._apps)))

    async def _follow(self, app: str, wait: float) -> None:
        await asyncio.sleep(wait)
        while not self._stop.is_set():
            began = time.monotonic()
            found = await self._round(app)
            if len(found) > 1:
                await self._confirm(app, found)
            await asyncio.sleep(max(_EVERY - (time.monotonic() - began), 0.05))

    async def _confirm(self, app: str, before: dict[str, list[str]]) -> None:
        began = last = time.monotonic()
        seen: dict[str, list[str]] = {}
        while time.monotonic() < began + _LONGEST:
            if not (both := still_both(before, await self._round(app))):
                break
            seen, last = both, time.monotonic()
        if seen:
            self.seen.append(Two(app, round(began - self._begun, 1), round(last - began, 2), seen))

    async def _round(self, app: str) -> dict[str, list[str]]:
        addresses, passwords = self._directory.addresses(app), self._directory.passwords(app)[:2]
        answers = await asyncio.gather(*(_ask(name, each, passwords) for name, each in addresses.items()))
        taken = [answer for answer in answers if answer is not None]
        self.rounds += 1
        self.taken += len(taken)
        return engines(taken)


async def _ask(name: str, address: str, passwords: list[str]) -> Answer | None:
    for password in passwords:
        try:
            async with asyncio.timeout(_TIMEOUT):
                refused, engine = await _write(address, password)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            return None
        if not refused:
            return Answer(name, engine) if engine else None
    return None


async def _write(address: str, password: str) -> tuple[bool, str]:
    """Whether the password was refused; and the engine, where it took the write."""
    reader, writer = await asyncio.open_connection(address, PORT)
    try:
        writer.write(_command("AUTH", password) + _command("SET", "probe", "1") + _command("INFO", "server"))
        await writer.drain()
        if (await reader.readline()).startswith(b"-"):
            return True, ""
        if not (await reader.readline()).startswith(b"+OK"):
            return False, ""
        length = int((await reader.readline()).removeprefix(b"$"))
        found = _RUN_ID.search(await reader.readexactly(length))
        return False, found.group(1).decode() if found else ""
    finally:
        writer.close()


def _command(*words: str) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        encoded = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(encoded), encoded))
    return b"".join(parts)
