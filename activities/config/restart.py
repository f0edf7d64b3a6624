"""Restarting a node's engine in its place, by its agent: its Pod and its address stay."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from temporalio.exceptions import ApplicationError

from activities.agents.engine_state import EngineState, engine_state
from activities.app.wait_ready import STUCK_AFTER, NodeWaiter
from activities.dependencies import Platform, permanent
from api.steps import ErrorType, Target
from clients.agents import AgentError, AgentTarget

RESTART_TIMEOUT = 120.0
"""Above the longest stop time-out of the plugins (60 s) and a start from disk."""


async def restart_engine(platform: Platform, target: Target, agent: AgentTarget, request_id: str, what: str) -> None:
    """Returns when the node serves again. Raises EngineRefused where it does not: ``what`` says with what it was to.

    A repeat with the same request id restarts nothing."""
    try:
        await platform.agents.restart(agent, request_id, timeout=RESTART_TIMEOUT)
    except AgentError as error:
        raise ApplicationError(f"{agent.node} has not restarted yet: {error}") from error

    loop = asyncio.get_running_loop()
    deadline = loop.time() + RESTART_TIMEOUT
    # The agent first: the Pod's own readiness follows it by up to a probe's period.
    while (engine := await _engine(platform, agent)).why:
        if engine.ready:  # what it has to save takes as long as it takes: it can do with what it was given
            deadline = loop.time() + RESTART_TIMEOUT
        if engine.keeps_ending or loop.time() > deadline:
            raise permanent(ErrorType.ENGINE_REFUSED, f"{agent.node} does not serve with {what}: {engine.why}")
        await asyncio.sleep(0.2)
    waiter = NodeWaiter(platform, target, f"{agent.node}: wait until it serves again", [agent.node])
    await waiter.until(lambda state: state.ready, stuck_after=STUCK_AFTER)


async def _engine(platform: Platform, agent: AgentTarget) -> EngineState:
    try:
        engine = await engine_state(platform, agent)
    except AgentError as error:
        return EngineState(False, str(error))
    return engine if engine.ready or engine.why else replace(engine, why="it is not ready")
