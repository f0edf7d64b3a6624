"""``agent manager``: puts agent 1 together and runs it as PID 1."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys

from agent.documents import DocumentStore
from agent.engine.lock import DataLock
from agent.log import configure, last_words
from agent.process.link import StatusPublisher
from agent.process.reaper import Reaper
from agent.process.service import SERVICE, ProcessManagerService
from agent.process.state import StatusBoard
from agent.process.supervisor import Supervisor
from agent.process.waiting import RestartPolicy
from agent.requests import RequestMemory
from agent.serving.probes import ProbeServer
from agent.serving.server import add_health, make_server
from agent.settings import Settings
from agent.tooling.interpreter import Interpreter
from agent.tooling.secrets import Secrets
from proto import agent_pb2_grpc

_log = logging.getLogger(__name__)
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""An image may declare any of these as its stop signal, and the container runtime then sends it in place of TERM."""
_FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
_SERVER_GRACE = 0.5


def run(policy: RestartPolicy | None = None) -> int:
    """The exit code: the engine's, or 1 where the agent itself cannot start."""
    configure("manager")
    try:
        return asyncio.run(_serve(Settings.from_environment(), policy))
    except (OSError, ValueError, RuntimeError) as error:
        last_words(f"agent 1 cannot start: {error}")
        return 1


async def _serve(settings: Settings, policy: RestartPolicy | None) -> int:
    reaper = Reaper()
    reaper.start()
    board = StatusBoard()
    documents = DocumentStore(settings)
    interpreter = Interpreter(settings, Secrets(settings.secrets_dir), reaper)
    lock = DataLock(settings.state_dir / "lock", settings.pod_name, settings.pod_uid)
    supervisor = Supervisor(documents, interpreter, lock, board, policy)
    loop = asyncio.get_running_loop()
    for number in _STOPPING:
        loop.add_signal_handler(number, supervisor.terminate)
    for number in _FORWARDED:
        loop.add_signal_handler(number, supervisor.forward, number)

    requests = RequestMemory(settings.state_dir / "requests" / "manager")
    server = make_server(settings, settings.manager_port)
    service = ProcessManagerService(supervisor, documents, requests, settings)
    agent_pb2_grpc.add_ProcessManagerServicer_to_server(service, server)
    await add_health(server, SERVICE)
    await server.start()
    publisher = StatusPublisher(settings.manager_socket, board, supervisor)
    await publisher.start()
    probes = ProbeServer(settings.listen, settings.manager_health_port, {"/livez": lambda: True})
    await probes.start()
    gc.freeze()
    try:
        code = await supervisor.run()
    finally:
        publisher.close()
        probes.close()
        await server.stop(_SERVER_GRACE)
    _log.info("agent 1 ends with exit code %d: %s", code, board.status.message)
    return code


if __name__ == "__main__":
    sys.exit(run())
