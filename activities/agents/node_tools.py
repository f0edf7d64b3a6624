"""The tools of a node as its agent has them: which there are, and how long each may take by its own word."""

from __future__ import annotations

from collections.abc import Mapping

from activities.agents.addresses import node_addresses
from activities.dependencies import Platform
from api.tools import LONGEST, Tool, ToolName
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.manifests.node import render_tools, template_context

ANSWER_WITHIN = 5.0
"""Seconds beyond a tool's own time-out in which its agent has to say what came of it."""


async def node_tools(
    platform: Platform,
    desired: DesiredApp,
    component: DesiredComponent,
    node: DesiredNode,
    addresses: Mapping[str, str] | None = None,
) -> Mapping[str, Tool]:
    """By name. ``addresses``: of all nodes, where the caller has them. Raises TemplateFailure, and a retryable
    ApplicationError while a node has no address."""
    addresses = addresses or await node_addresses(platform, desired)
    context = template_context(desired, component, node, addresses=addresses, bootstrap=None)
    return render_tools(desired, component, context).tools


async def reloads_before_restart(
    platform: Platform,
    desired: DesiredApp,
    component: DesiredComponent,
    node: DesiredNode,
    addresses: Mapping[str, str] | None = None,
) -> bool:
    """Whether dynamic parameters are given to the engine also where a restart with its new files follows."""
    tool = (await node_tools(platform, desired, component, node, addresses)).get(ToolName.RELOAD_CONFIG)
    return tool is not None and bool(tool.before_restart)


def bound(tool: ToolName) -> float:
    """Seconds for which the platform waits for a call of the tool. Only for tools that ``LONGEST`` names: a plugin
    whose tool may take longer cannot be installed."""
    return LONGEST[tool] + ANSWER_WITHIN


def own_bound(tool: Tool) -> float:
    """Seconds for which the platform waits for a call of a tool that may take as long as the plugin says."""
    return tool.timeout + ANSWER_WITHIN
