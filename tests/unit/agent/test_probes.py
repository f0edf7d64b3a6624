"""Health over HTTP: what the kubelet's probes get, and that nobody else can hold the agent up there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from agent.serving import probes
from agent.serving.probes import ProbeServer
from tests.unit.agent.support import free_port

PROBE = b"GET /readyz?verbose HTTP/1.1\r\nHost: 198.18.0.7:50054\r\nUser-Agent: kube-probe/1.34\r\n\r\n"


@dataclass
class Probed:
    port: int
    ready: bool = True

    async def ask(self, *pieces: bytes) -> bytes:
        """Everything that comes until the agent closes; nothing where it breaks off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.transport.abort()


@pytest.fixture
async def probed() -> AsyncIterator[Probed]:
    found = Probed(free_port())
    server = ProbeServer("127.0.0.1", found.port, {"/livez": lambda: True, "/readyz": lambda: found.ready})
    await server.start()
    yield found
    server.close()


async def test_the_answer_is_whole_and_the_connection_ends(probed: Probed) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
    ok += b"Connection: close\r\n\r\nok\n"
    assert await probed.ask(PROBE) == ok
    assert await probed.ask(PROBE[:20], PROBE[20:60], PROBE[60:]) == ok
    probed.ready = False
    answer = await probed.ask(PROBE)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert answer.endswith(b"\r\nContent-Length: 10\r\nConnection: close\r\n\r\nnot ready\n")


@pytest.mark.parametrize("head", [b"GET /metrics HTTP/1.1\r\n\r\n", b"POST /livez HTTP/1.1\r\n\r\n", b"\r\n\r\n"])
async def test_nothing_else_is_answered(probed: Probed, head: bytes) -> None:
    answer = await probed.ask(head)
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"\r\n\r\nonly /livez and /readyz\n")


async def test_who_sends_without_end_or_nothing_is_cut_off(probed: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await probed.ask(b"GET /livez HTTP/1.1\r\nCookie: " + b"x" * 9000) == b""
    monkeypatch.setattr(probes, "_REQUEST_DEADLINE", 0.05)
    async with asyncio.timeout(5):
        assert await probed.ask(b"GET /livez") == b""
