"""A tool interpreter, and peers whose answers a test decides: what the tests of the tool language begin with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.decoding import decode
from agent.document import Toolbox
from agent.process.reaper import Reaper
from agent.settings import Settings
from agent.tooling.interpreter import Interpreter, Outcome
from agent.tooling.secrets import Secrets
from tests.unit.agent.support import written

SECRET = "s3cret-value"


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    for name in ("data", "scripts", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets" / "password").write_text(SECRET + "\n")
    settings = Settings.from_environment(
        {
            "MW_DATA_DIR": str(tmp_path / "data"),
            "MW_SCRIPTS_DIR": str(tmp_path / "scripts"),
            "MW_TMP_DIR": str(tmp_path),
            "MW_SECRETS_DIR": str(tmp_path / "secrets"),
        }
    )
    # No programs here (see test_run): a reaper in this process would take the exit codes of other tests' children.
    return Interpreter(settings, Secrets(settings.secrets_dir), Reaper())


async def run_steps(interpreter: Interpreter, *steps: dict[str, Any], **options: Any) -> Outcome:
    known = options.pop("known", {"node": {"name": "n0", "first": True}})
    arguments, pool, line = options.pop("arguments", None), options.pop("pool", None), options.pop("line", None)
    about = {name: options.pop(name, {}) for name in ("connections", "vars", "sequences")}
    box = decode(Toolbox, written({**about, "tools": {"probe": {"steps": list(steps)} | options}}), "toolbox")
    return await interpreter.run("probe", box, known, arguments=arguments, pool=pool, line=line)


@dataclass
class FakeEngine:
    """Fake because only a scripted peer closes, stalls and splits its answers at a chosen moment.

    Answers each line with ``answers[line]``; a list is sent in pieces, None closes, a missing one is silence.
    """

    answers: dict[str, str | list[str] | None]
    received: list[str] = field(default_factory=list)
    connections: int = 0
    address: str = ""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        while line := (await reader.readline()).decode():
            self.received.append(line.strip())
            if line.strip() not in self.answers:
                continue
            answer = self.answers[line.strip()]
            if answer is None:
                break
            for piece in [answer] if isinstance(answer, str) else answer:
                writer.write(piece.encode())
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    def drop_connections(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def answering(**answers: str | list[str] | None) -> AsyncIterator[FakeEngine]:
    engine = FakeEngine(answers)
    async with listening(engine.serve) as engine.address:
        yield engine
        engine.drop_connections()


@asynccontextmanager
async def redis(answers: dict[str, str | None]) -> AsyncIterator[FakeEngine]:
    """Speaks RESP: a command's words, parted by blanks -> the reply without its last line break."""
    engine = FakeEngine({})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine.connections += 1
        engine._writers.append(writer)
        while head := (await reader.readline()).decode():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            engine.received.append(" ".join(words))
            answer = answers.get(engine.received[-1])
            if answer is None:
                break
            writer.write(f"{answer}\r\n".encode())
        writer.close()

    async with listening(serve) as engine.address:
        yield engine
        engine.drop_connections()
