"""Giving a node's files and parameters to its agent, since a mounted ConfigMap follows only after a minute.

What is pushed has checksums; the parameters named with it are applied to the running engine, and what it then says is
noted (``activities.app.applied_config``). A repeat with the same request id is answered from the agent's memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from temporalio.exceptions import ApplicationError

from activities.agents.node_tools import bound
from activities.cluster.apply import put
from activities.dependencies import Platform
from api.app import Scalar
from api.tools import ToolName
from clients.agents import AgentError, AgentTarget
from clients.resources import Manifest
from proto import agent_pb2

RELEASE_TIMEOUT = 40.0
"""For files alone, without an engine that is told of them."""
PUSH_TIMEOUT = bound(ToolName.RELOAD_CONFIG) + bound(ToolName.READ_CONFIG)
"""The agent reloads, then reads back."""


class PushRefusedError(Exception):
    """The engine, or the agent, does not take it; the former files are in place again. A sentence."""


def pushed_files(config_map: Manifest) -> list[agent_pb2.PushedFile]:
    """The ConfigMap's keys as the agents take them, each with its checksum."""
    return [
        agent_pb2.PushedFile(source=key, content=text.encode(), sha256=hashlib.sha256(text.encode()).hexdigest())
        for key, text in config_map["data"].items()
    ]


def engine_text(value: Scalar) -> str:
    """A parameter as the templates write it: a switch is ``yes`` or ``no``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


async def release(platform: Platform, agent: AgentTarget, config_map: Manifest, request_id: str) -> None:
    """Takes a node's hold away: ``config_map``, without it and of a higher revision, is applied, and pushed, so that
    the volume has it should the Pod restart before its mount has followed. Its engine still waits for a Start.

    Raises ApplicationError, and AgentError where the agent cannot be reached.
    """
    await put(platform, config_map)
    request = agent_pb2.ReloadConfigRequest(request_id=request_id, files=pushed_files(config_map))
    result = await platform.agents.reload_config(agent, request, timeout=RELEASE_TIMEOUT)
    if not result.success:
        raise ApplicationError(f"{agent.node} does not take its configuration: {result.message}")


async def push(
    platform: Platform,
    agent: AgentTarget,
    config_map: Manifest,
    parameters: Mapping[str, Scalar],
    request_id: str,
) -> dict[str, str]:
    """What the engine says of its parameters afterwards (empty where it does not run).

    Raises PushRefusedError, and a retryable ApplicationError where the agent cannot be reached.
    """
    request = agent_pb2.ReloadConfigRequest(
        request_id=request_id,
        files=pushed_files(config_map),
        parameters={name: engine_text(value) for name, value in parameters.items()},
    )
    try:
        result = await platform.agents.reload_config(agent, request, timeout=PUSH_TIMEOUT)
    except AgentError as error:
        if error.retryable:
            raise ApplicationError(f"{agent.node} cannot be given its files yet: {error}") from error
        raise PushRefusedError(str(error)) from error
    if not result.success:
        raise PushRefusedError(result.message)
    return dict(result.config)
