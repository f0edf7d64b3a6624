"""Whether a node's engine serves, and if not, why: asked of the node's agents by steps that wait for the engine.

Agent 2 asks the engine; where none runs, agent 1 knows how the last one ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from activities.dependencies import Platform
from clients.agents import CALL_TIMEOUT, AgentError, AgentTarget
from proto import agent_pb2


@dataclass(frozen=True)
class EngineState:
    """``why``: a sentence; not empty where it is not ready, or not all that it holds is on its volume (may be empty
    for a moment after its start). ``keeps_ending``: it has ended by itself too often to go on waiting, and was not
    ready since. ``unreadable``: the version of the engine that has had its volume, where this one is not started since
    it may not be given its data."""

    ready: bool
    why: str
    keeps_ending: bool = False
    unreadable: str = ""


async def engine_state(platform: Platform, agent: AgentTarget, *, timeout: float = CALL_TIMEOUT) -> EngineState:
    """Raises AgentError where an agent does not answer."""
    try:
        report = await platform.agents.role(agent, timeout=timeout)
    except AgentError as error:
        if error.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        status = await platform.agents.status(agent, timeout=timeout)
        state = agent_pb2.ProcessState.Name(status.state)
        if status.state == agent_pb2.UNREADABLE:
            return EngineState(False, status.message, unreadable=status.volume.engine_version)
        return EngineState(False, f"the process is {state}: {status.message}", status.state == agent_pb2.CRASH_LOOP)
    why = report.unsaved if report.ready else report.message
    return EngineState(report.ready, why, report.keeps_ending)
