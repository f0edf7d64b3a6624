"""What the agents of nodes say of their roles, and an operation can put right: replicas that follow the wrong node, or
nobody; a primary that refuses writes for a reason of its own while another node could take them; and a role of which
the App's status says that it is on its way, though no operation is at it any more.

Engines are asked where the App's conditions say that something is wrong, and at every thorough look: the watcher hears
all agents all the time, so nothing else needs to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import could_not_write, reachable, reports
from activities.agents.run_tool import run_tool
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.moving import moves_of
from activities.dependencies import Platform
from activities.roles.role_moves import RoleMover
from api.look import Evacuation
from api.steps import Target
from api.tools import FOLLOWS_NOBODY, ToolName
from clients.agents import AgentTarget
from clients.resources import Manifest
from proto import agent_pb2
from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.budgets import exclusive_roles, moved_roles

_FOLLOW_TIMEOUT = 15.0


@dataclass(frozen=True)
class Strayed:
    """``sentence``: who follows whom, and not whom it should. ``address``: of whom it should follow."""

    node: str
    sentence: str
    address: str


def is_false(app: Manifest, condition: str) -> bool:
    """Whether the App has the condition with status False."""
    conditions = (app.get("status") or {}).get("conditions") or []
    return any(each.get("type") == condition and each.get("status") == "False" for each in conditions)


async def strayed(platform: Platform, desired: DesiredApp, component: DesiredComponent) -> list[Strayed]:
    """Nothing where not exactly one node claims the one role that only one may hold, or a node does not say which role
    it has: that one may be the primary, and whoever claims the role no more than a stray itself."""
    roles = exclusive_roles(component)
    names = [node.name for node in component.nodes if node.name not in desired.replaced]
    if len(roles) != 1 or len(names) < 2:
        return []
    try:
        addresses = await node_addresses(platform, desired)
    except ApplicationError:
        return []  # a Service is missing, which is drift already
    said = await reports(platform, reachable(platform, _target(desired), names))
    holders = [name for name, report in said.items() if report.role in roles]
    if len(holders) != 1 or any(name not in said or not said[name].role for name in names):
        return []
    return of_component(holders[0], said, addresses)


def of_component(primary: str, said: Mapping[str, agent_pb2.RoleReport], addresses: Mapping[str, str]) -> list[Strayed]:
    """By what each node says. Pure."""
    names = {address: name for name, address in addresses.items()}
    found = []
    for node, report in sorted(said.items()):
        if node == primary or not report.role or report.follows in ("", addresses[primary]):
            continue
        if report.follows == FOLLOWS_NOBODY:
            sentence = f"{node} follows nobody, and should follow {primary}"
        else:
            sentence = f"{node} follows {names.get(report.follows, report.follows)} and not {primary}"
        found.append(Strayed(node, sentence, addresses[primary]))
    return found


async def follow_again(platform: Platform, target: Target, desired: DesiredApp, component: DesiredComponent) -> None:
    """Each by itself: who does not is told of, and keeps no other from it."""
    found = await strayed(platform, desired, component)
    agents = reachable(platform, target, [each.node for each in found])

    async def follow(each: Strayed, agent: AgentTarget) -> None:
        try:
            await run_tool(platform, agent, ToolName.FOLLOW, {"primary": each.address}, timeout=_FOLLOW_TIMEOUT)
        except ApplicationError as error:
            await tell(platform, target, "DoesNotFollow", error.message, warning=True)
        else:
            await tell(platform, target, "FollowsAgain", f"{each.sentence}; it was told to")

    await together(follow(each, agents[each.node]) for each in found if each.node in agents)


async def end_moves_left(platform: Platform, desired: DesiredApp, app: Manifest) -> None:
    """Moves of roles that an operation has left are over where the nodes say by now how they ended. The look says so
    itself: there is nothing to repair, and a spec that is refused is to keep no note."""
    mover, target = RoleMover(platform), _target(desired)
    for component in desired.components:
        if not moves_of(app, component.name):
            continue
        try:
            addresses = await node_addresses(platform, desired)
        except ApplicationError:
            addresses = {}  # a Service is missing, which is drift already
        await mover.end_known(target, app, component, addresses)


async def unwritable(platform: Platform, desired: DesiredApp) -> list[Evacuation]:
    """Primaries that refuse writes for a reason of their own, where the role can be moved to a node that could take
    them. It is moved as off a machine that is drained: nothing is lost by it."""
    found = []
    for component in desired.components:
        roles = moved_roles(desired, component)
        if not roles or len(component.nodes) < 2:
            continue
        said = await reports(platform, reachable(platform, _target(desired), [node.name for node in component.nodes]))
        found += relieved(component.name, roles, said)
    return found


def relieved(component: str, roles: Collection[str], said: Mapping[str, agent_pb2.RoleReport]) -> list[Evacuation]:
    """``roles``: those that can be moved. Pure."""
    able = sorted(
        name for name, each in said.items()
        if each.ready and each.role and each.role not in roles and not could_not_write(each)
    )  # fmt: skip
    return [
        Evacuation(component, name, "", able[0], f"{name} is {report.role} and refuses writes: {report.refusal}")
        for name, report in sorted(said.items())
        if able and report.role in roles and report.writes == agent_pb2.WRITES_REFUSED_HERE
    ]


def _target(desired: DesiredApp) -> Target:
    return Target(desired.namespace, desired.name, desired.uid, "", "", "")
