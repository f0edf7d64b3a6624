"""The engine's own check of new files (tool ``validateConfig``), on one node, before any node is given them.

Asked of the first node that can be asked, in the order in which they would be configured. An engine that refuses ends
the operation, and nothing was touched. Where no node can be asked the operation goes on, and says so: what keeps a
broken parameter from all nodes is then the first node alone, as for a plugin without the tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from activities.agents.agent_targets import reachable
from activities.agents.config_maps import rendered_config_maps
from activities.agents.node_tools import bound, node_tools
from activities.agents.push import pushed_files
from activities.app.desired import StepContext
from activities.cluster.events import tell
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from api.steps import ErrorType, Target
from api.tools import ToolName
from clients.agents import AgentError
from clients.resources import Manifest
from proto import agent_pb2
from render.desired.app import DesiredComponent


async def validate_files(
    platform: Platform,
    target: Target,
    want: StepContext,
    component: DesiredComponent,
    nodes: Sequence[str],
    addresses: Mapping[str, str],
    live: Mapping[str, Manifest],
) -> None:
    """``nodes``: those that are to be given the files, in their order. ``live``: their ConfigMaps, by name. Raises
    EngineRefused."""
    chosen = {node.name: node for node in component.nodes if node.name in nodes}
    if not chosen or ToolName.VALIDATE_CONFIG not in await node_tools(
        platform, want.desired, component, chosen[nodes[0]], addresses
    ):
        return
    await tell_step(platform, target, f"{component.name}: ask the engine about its new files")
    agents, why = reachable(platform, target, nodes), "none of them runs"
    for name in (each for each in nodes if each in agents):
        rendered = await rendered_config_maps(want.desired, component, [chosen[name]], addresses, live, bootstrap=None)
        request = agent_pb2.ValidateConfigRequest(files=pushed_files(rendered[0][1]))
        try:
            result = await platform.agents.validate_config(
                agents[name], request, timeout=bound(ToolName.VALIDATE_CONFIG)
            )
        except AgentError as error:
            why = str(error)
            continue
        if not result.success:
            raise permanent(ErrorType.ENGINE_REFUSED, f"{name}: {result.message}")
        return
    message = f"{component.name}: no node could be asked whether its engine takes the new files: {why}"
    await tell(platform, target, "ConfigNotValidated", message, warning=True)
