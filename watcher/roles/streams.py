"""One WatchRole stream for each node's Pod, connected again with bounded backoff for as long as the Pod exists.

A slow agent is one whose stream is open: it gives a sign of life every 10 s whatever its engine does. One that gives
none for 25 s hangs; one that refuses the connection restarts, or its Pod does. None of that says anything about the
engine's role, so none of it is reported as a role.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from clients.agents import AgentError, Agents, AgentTarget
from proto import agent_pb2
from watcher import metrics

log = logging.getLogger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0
EAGER_SECONDS = 20.0
"""How long a new Pod's agent is tried several times a second: it starts within seconds, and its App waits for it."""
EAGER_BACKOFF = 0.25
_MAY_BE_SLOW = frozenset({agent_pb2.ProcessState.RUNNING, agent_pb2.ProcessState.PROCESS_STATE_UNSPECIFIED})


@dataclass(frozen=True)
class Heard:
    """What a stream brought: a report, or (``report`` None) a sentence on why there is none."""

    pod: str
    report: agent_pb2.RoleReport | None
    silence: str = ""


class RoleStream:
    """Runs until ``close``. ``heard`` is called for each report and when the agent falls silent; it must not block."""

    def __init__(self, agents: Agents, target: AgentTarget, pod: str, heard: Callable[[Heard], None]) -> None:
        self.target = target
        self._agents, self._pod, self._heard = agents, pod, heard
        self._hurry = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"roles of {pod}")

    def cancel(self) -> asyncio.Task[None]:
        self._task.cancel()
        return self._task

    def hurry(self) -> None:
        """Something about the Pod has changed: does not wait any longer before the next attempt."""
        self._hurry.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        started, backoff, told = loop.time(), FIRST_BACKOFF, ""
        while True:
            connected = False
            try:
                async for report in self._agents.watch_role(self.target):
                    if not connected:
                        metrics.STREAMS.labels("open").inc()
                        connected, told, backoff = True, "", FIRST_BACKOFF
                    self._heard(Heard(self._pod, report))
            except AgentError as error:
                metrics.STREAM_BREAKS.labels(error.code.name.lower()).inc()
                silence = _sentence(error)
                eager = not connected and loop.time() - started < EAGER_SECONDS
                if silence != told and not eager:
                    log.warning("%s", silence, extra={"pod": self._pod, "node": self.target.node})
                    self._heard(Heard(self._pod, None, silence))
                    told = silence
                if eager:
                    backoff = min(backoff, EAGER_BACKOFF)
            except Exception:
                # Nobody would follow this Pod any more: the stream begins anew only where the Pod's address changes.
                log.exception("the stream of roles failed", extra={"pod": self._pod, "node": self.target.node})
            finally:
                if connected:
                    metrics.STREAMS.labels("open").dec()
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff * random.uniform(0.8, 1.2)):  # noqa: S311 - no secret
                    await self._hurry.wait()
            backoff = min(backoff * 2, LONGEST_BACKOFF)


def engine_runs(report: agent_pb2.RoleReport) -> bool:
    """Whether an unknown role may be slowness; any other state says that there is no engine to hold one."""
    return report.process in _MAY_BE_SLOW


def _sentence(error: AgentError) -> str:
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the agent hangs: {error.message}"
    return f"the agent is not reachable: {error.message}"
