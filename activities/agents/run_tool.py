"""Running a plugin's tool on a node, for steps that change something or need the answer.

Not remembered by a request id: each attempt must look anew, and the tools are made to do no harm when repeated.
"""

from __future__ import annotations

from collections.abc import Mapping

from temporalio.exceptions import ApplicationError

from activities.dependencies import Platform
from api.steps import ErrorType
from api.tools import ToolName
from clients.agents import AgentError, AgentTarget
from language.positions import Position, PositionError


async def run_tool(
    platform: Platform, agent: AgentTarget, tool: ToolName, arguments: Mapping[str, str], *, timeout: float
) -> dict[str, str] | None:
    """Its result; None where the plugin has no such tool. Raises a retryable ApplicationError where it fails, of type
    ToolRefused where the tool itself says that it could not do it."""
    try:
        result = await platform.agents.run(agent, tool, request_id="", arguments=arguments, timeout=timeout)
    except AgentError as error:
        if error.code.name == "UNIMPLEMENTED":
            return None
        raise ApplicationError(f"{tool} of {agent.node}: {error}") from error
    if not result.success:
        raise ApplicationError(f"{agent.node}: {result.message}", type=ErrorType.TOOL_REFUSED)
    return dict(result.values)


def told_position(node: str, name: str, text: str) -> Position:
    """How far its data have come, by a tool of the node. Raises a retryable ApplicationError where it is none."""
    try:
        return Position.parse(text)
    except PositionError as error:
        message = f"{node}: tool {name}, its result: position: {error}"
        raise ApplicationError(message, type=ErrorType.TOOL_REFUSED) from error
