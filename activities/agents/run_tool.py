"""Running a plugin's tool on a node, for steps that change something or need the answer.

Not remembered by a request id: each attempt must look anew, and the tools are made to do no harm when repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from temporalio.exceptions import ApplicationError

from activities.agents.node_tools import own_bound
from activities.dependencies import Platform
from api.steps import ErrorType
from api.tools import Tool, ToolName
from clients.agents import AgentError, AgentTarget


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


async def on_nodes(
    platform: Platform,
    agents: Mapping[str, AgentTarget],
    nodes: Sequence[str],
    name: ToolName,
    tool: Tool,
    arguments: Mapping[str, str],
) -> list[str]:
    """Runs ``tool`` on the nodes, one after another; of a tool that is for the component as a whole until the first
    that succeeds. ``agents``: of those that run. The sentences of those that failed; all are asked."""
    failed = []
    for node in nodes:
        try:
            if node not in agents:
                raise ApplicationError(f"{node} does not run")
            await run_tool(platform, agents[node], name, arguments, timeout=own_bound(tool))
            if tool.once:
                return []
        except ApplicationError as error:
            failed.append(error.message)
    return failed
