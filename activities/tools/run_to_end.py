"""A tool of the plugin run to its end, on one node or on those of a component, whether it is a long one or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable
from activities.agents.node_tools import own_bound
from activities.agents.run_tool import run_tool
from activities.dependencies import Platform, permanent
from activities.tools.long_tool import LongRun
from api.steps import ErrorType, Target
from api.tools import Tool, ToolName

TRIES = 10
"""What so many attempts, in a minute and a half, have not brought about is an operator's to decide."""


@contextmanager
def tried_often_enough() -> Iterator[None]:
    """Around a step by tools. Not Temporal's own count: a step that waits for hours is tried anew at each restart of a
    worker, and never ends for that."""
    try:
        yield
    except ApplicationError as error:
        if error.non_retryable or activity.info().attempt < TRIES:
            raise
        raise permanent(ErrorType.TOOL_REFUSED, error.message) from error


async def run_to_end(
    platform: Platform, target: Target, node: str, name: ToolName, tool: Tool, arguments: Mapping[str, str]
) -> None:
    """Raises ApplicationError: ToolRefused where the tool itself says that it could not do it, ToolStalled where a long
    one makes no progress."""
    if tool.poll is not None:
        return await LongRun(platform, target, node, name, tool, arguments).finished()
    agent = reachable(platform, target, [node]).get(node)
    if agent is None:
        raise ApplicationError(f"{node} does not run")
    await run_tool(platform, agent, name, arguments, timeout=own_bound(tool))
    return None


async def on_nodes(
    platform: Platform,
    target: Target,
    nodes: Sequence[str],
    name: ToolName,
    tool: Tool,
    arguments: Mapping[str, str],
) -> list[str]:
    """Runs ``tool`` on the nodes, one after another; of a tool that is for the component as a whole until the first
    that succeeds. The sentences of those that failed; all are asked."""
    failed = []
    for node in nodes:
        try:
            await run_to_end(platform, target, node, name, tool, arguments)
            if tool.once:
                return []
        except ApplicationError as error:
            failed.append(error.message)
    return failed
