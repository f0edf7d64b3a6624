"""``agent tools``: puts agent 2 together.

It outlives agent 1's drain: while the engine stops, its role must still be answered, and the record must say what the
engine last was. So SIGTERM only ends it once the engine has stopped, within the Pod's grace period.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys

from agent.documents import DocumentError, DocumentStore
from agent.lease.keeper import LeaseKeeper
from agent.lease.peers import PeersAsked
from agent.log import configure, last_words
from agent.process.link import StatusFollower
from agent.process.reaper import Reaper
from agent.process.state import StatusBoard
from agent.requests import RequestMemory
from agent.serving.probes import ProbeServer
from agent.serving.server import add_health, make_server, serve_locally
from agent.settings import Settings
from agent.tooling.interpreter import Interpreter
from agent.tooling.secrets import Secrets
from agent.tools.checks.engine import EngineChecks
from agent.tools.monitor import Monitor
from agent.tools.service import SERVICE, ToolsService
from proto import agent_pb2_grpc

_log = logging.getLogger(__name__)
_DRAIN_MARGIN = 8.0
"""Seconds beyond the engine's stop time-out; the Pod's grace period is that time-out plus 15 s."""
_SERVER_GRACE = 1.0


def run() -> int:
    """The exit code: 0 after SIGTERM, 1 where the agent cannot start."""
    configure("tools")
    try:
        asyncio.run(_serve(Settings.from_environment()))
    except (OSError, ValueError, RuntimeError) as error:
        last_words(f"agent 2 cannot start: {error}")
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    reaper = Reaper()
    reaper.start()
    told_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    board = StatusBoard()
    documents = DocumentStore(settings)
    follower = StatusFollower(settings.manager_socket, board)
    interpreter = Interpreter(settings, Secrets(settings.secrets_dir), reaper, follower)
    lease = LeaseKeeper(documents, interpreter, board)
    peers = PeersAsked(documents, interpreter, board, lease)
    checks = EngineChecks(documents, interpreter, board)
    monitor = Monitor(documents, interpreter, board, lease, checks)
    requests = RequestMemory(settings.state_dir / "requests" / "tools")

    server = make_server(settings, settings.tools_port)
    serve_locally(server, settings.tools_socket)
    service = ToolsService(monitor, documents, interpreter, board, requests, lease, follower)
    agent_pb2_grpc.add_ToolsServicer_to_server(service, server)
    await add_health(server, SERVICE)
    await service.resume()
    await server.start()
    probes = ProbeServer(
        settings.listen,
        settings.tools_health_port,
        {"/livez": lambda: True, "/readyz": lambda: monitor.why_not_ready() is None},
    )
    await probes.start()
    works = (follower.run(), lease.run(), peers.run(), monitor.run(), checks.run())
    tasks = [asyncio.create_task(work) for work in works]
    ended = asyncio.create_task(told_to_end.wait())
    gc.freeze()
    try:
        await asyncio.wait({*tasks, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # neither ends by itself: its error ends the agent, and the kubelet starts a new one
        await _outlive_the_engine(documents, board)
        await requests.drain(_SERVER_GRACE)
    finally:
        ended.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, ended, return_exceptions=True)
        probes.close()
        await server.stop(_SERVER_GRACE)
        monitor.close()
        checks.close()


async def _outlive_the_engine(documents: DocumentStore, board: StatusBoard) -> None:
    try:
        patience = documents.effective().document.process.stop.timeout + _DRAIN_MARGIN
    except DocumentError:
        patience = _DRAIN_MARGIN
    _log.info("told to end: serving until the process has stopped, at most %g s", patience)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await board.wait_until(lambda status: not status.alive)


if __name__ == "__main__":
    sys.exit(run())
