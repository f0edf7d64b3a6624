"""The parameters that engines run with: read from the cluster and the engines, compared by
``render.check.applied_parameters``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import reachable
from activities.agents.node_tools import bound
from activities.agents.run_tool import run_tool
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.effective import Effective, noted
from api.names import ANNOTATION_EFFECTIVE, app_labels
from api.steps import Target
from api.tools import ToolName
from clients.agents import AgentTarget
from clients.resources import CONFIG_MAP, SERVICE, Manifest
from render.check.applied_parameters import compared, effective, node_parameters
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode

READ_TIMEOUT = bound(ToolName.READ_CONFIG)


async def otherwise_set(platform: Platform, desired: DesiredApp) -> list[str]:
    """Names of nodes whose engine was given other parameters than ``desired`` says, of whichever kind."""
    labels = app_labels(desired.name)
    (maps, _), (services, _) = await together(
        platform.kubernetes.list(kind, desired.namespace, labels=labels) for kind in (CONFIG_MAP, SERVICE)
    )
    found = compared(desired, _by_name(maps), _by_name(services))
    return [name for name, note, wants in found if (note.dynamic, note.restart) != (wants.dynamic, wants.restart)]


def _by_name(items: Iterable[Manifest]) -> dict[str, Manifest]:
    return {str(item["metadata"]["name"]): item for item in items}


async def changed_in_engines(platform: Platform, desired: DesiredApp, config_maps: Mapping[str, Manifest]) -> list[str]:
    """Asks every engine that runs; a sentence for each node whose answer is another than when it was last set."""
    target = Target(desired.namespace, desired.name, desired.uid, "", "", "")
    agents = reachable(platform, target, [node.name for node in desired.nodes])

    async def compare(name: str, agent: AgentTarget) -> str:
        note = noted(config_maps.get(name))
        now = await read_back(platform, agent)
        if note is None or not note.read_back or not now:
            return ""
        changed = sorted(key for key in note.read_back if now.get(key, "") != note.read_back[key])
        if not changed:
            return ""
        first = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{name}: {first} is {now.get(first, 'unset')}, was set to {note.read_back[first]}{more}"

    answers = await together(compare(name, agent) for name, agent in agents.items())
    return [answer for answer in answers if answer]


async def judged_anew(platform: Platform, target: Target, desired: DesiredApp, component: DesiredComponent) -> None:
    """Engines that are said to run otherwise than they were given are asked once more, and what they say now is noted:
    one whose Pod was made anew since has read its files."""
    labels = app_labels(desired.name, component.name)
    maps, _ = await platform.kubernetes.list(CONFIG_MAP, desired.namespace, labels=labels)
    notes = {name: note for name, each in _by_name(maps).items() if (note := noted(each)) is not None and note.differs}
    if not notes:
        return
    addresses = await node_addresses(platform, desired)
    agents = reachable(platform, target, notes)

    async def ask(node: DesiredNode, agent: AgentTarget) -> None:
        answers, note = await read_back(platform, agent), notes[node.name]
        now = effective(component, node_parameters(desired, component, node, addresses), answers)
        if answers and now != note and (now.dynamic, now.restart) == (note.dynamic, note.restart):
            await note_effective(platform, desired.namespace, node.name, now)

    await together(ask(node, agents[node.name]) for node in component.nodes if node.name in agents)


async def read_back(platform: Platform, agent: AgentTarget) -> dict[str, str]:
    """What the engine says; empty where it cannot be asked or the plugin has no such tool."""
    try:
        return await run_tool(platform, agent, ToolName.READ_CONFIG, {}, timeout=READ_TIMEOUT) or {}
    except ApplicationError:
        return {}


async def note_effective(platform: Platform, namespace: str, node: str, note: Effective) -> None:
    change = {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: note.annotation()}}}
    await platform.kubernetes.patch(CONFIG_MAP, node, namespace, change)
