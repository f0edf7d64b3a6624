"""What is asked of agents only where something seems wrong: each question once at a time, with a short deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from clients.agents import AgentError, Agents, AgentTarget
from proto import agent_pb2
from watcher.failover.detection_rules import Usage
from watcher.failover.lease_renewal import UNREACHED

DEADLINE = 1.0
EVERY = 1.0
"""Seconds from one asking to the next."""
USAGE_EVERY = 3.0
USAGE_INTERVAL = 1.0


@dataclass(frozen=True)
class Asked:
    """Whom: a Pod. ``reached`` hears of every call whether it reached its agents, and when it had begun."""

    pod: str
    target: AgentTarget
    reached: Callable[[bool, float], None]


class Probes:
    """Use as ``async with``. The answers come by callback."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._asked_at: dict[Hashable, float] = {}

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self, namespace: str, pod: str) -> None:
        """The Pod is gone."""
        for key in [key for key in self._asked_at if isinstance(key, tuple) and key[1:] == (namespace, pod)]:
            del self._asked_at[key]

    def role(self, asked: Asked, answer: Callable[[agent_pb2.RoleReport], None]) -> None:
        """Has the engine asked for its role and readiness."""

        async def ask() -> None:
            answer(await self._agents.role(asked.target, timeout=DEADLINE))

        self._ask("role", asked, EVERY, ask)

    def stop_requested(self, asked: Asked, answer: Callable[[bool], None]) -> None:
        """Whether the process stands because somebody asked for it; False where agent 1 does not answer."""

        async def ask() -> None:
            try:
                answer((await self._agents.status(asked.target, timeout=DEADLINE)).stop_requested)
            except AgentError:
                answer(False)
                raise

        self._ask("stop", asked, EVERY, ask)

    def presence(self, asked: Asked) -> None:
        """Only whether somebody is there; does not disturb the engine."""

        async def ask() -> None:
            await self._agents.status(asked.target, timeout=DEADLINE)

        self._ask("presence", asked, EVERY, ask)

    def usage(self, asked: Asked, answer: Callable[[Usage], None]) -> None:
        """Whether a process that does not answer uses the processor. The same process must have been seen twice."""
        loop = asyncio.get_running_loop()

        async def ask() -> None:
            try:
                first = await self._agents.status(asked.target, timeout=DEADLINE)
                await asyncio.sleep(USAGE_INTERVAL)
                second = await self._agents.status(asked.target, timeout=DEADLINE)
            except AgentError:
                answer(Usage(loop.time(), None))
                raise
            answer(Usage(loop.time(), _idle(first, second), second.kernel_state))

        self._ask("usage", asked, USAGE_EVERY, ask)

    def _ask(self, what: str, asked: Asked, every: float, ask: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        key, began = (what, asked.target.namespace, asked.pod), loop.time()
        if key in self._tasks or began - self._asked_at.get(key, -every) < every:
            return
        self._asked_at[key] = began

        async def run() -> None:
            try:
                await ask()
                asked.reached(True, began)
            except AgentError as error:
                asked.reached(error.code not in UNREACHED, began)
            finally:
                del self._tasks[key]

        self._tasks[key] = asyncio.create_task(run(), name=f"{what} of {asked.pod}")


def _idle(first: agent_pb2.ProcessStatus, second: agent_pb2.ProcessStatus) -> bool | None:
    if second.kernel_state in ("T", "t"):  # stopped, by a signal or a debugger
        return True
    if not second.kernel_state or (first.pid, first.starts) != (second.pid, second.starts):
        return None  # an agent that does not tell, or another process by now
    return first.cpu_milliseconds == second.cpu_milliseconds
