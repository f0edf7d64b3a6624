"""Recording what runs once more, where the statuses that said so were lost: somebody has wiped them, or has removed a
Group, which takes its own with it.

What is found is ``render.check.rebuilt_state``'s. Groups and Components are written first and the App last: while its
status says nothing, all is found out again. Where it cannot be shown what runs nothing is touched, and the App says
what a person has to do.

Which version of the engine has had a node's volume no object says. The volume does: the agents are asked, and one that
does not answer finds out by itself before it starts a lower version (``agent.engine.data_version``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable, volume_records
from activities.app.applied_config import otherwise_set
from activities.app.desired import said_of, stage
from activities.app.observed import ObservedApp, owned_by, update_state
from activities.app.retained_volumes import of_this_app
from activities.cluster.apply import apply_all
from activities.cluster.events import tell
from activities.cluster.moving import note_move
from activities.cluster.state import update_deployed, update_parameters
from activities.dependencies import Platform
from activities.roles.role_moves import RoleMover, writable_roles
from api.app import App, DeployedStatus
from api.effective import noted
from api.names import app_labels
from api.operations import OperationType
from api.steps import Target
from clients.resources import CONFIG_MAP, DEPLOYMENT, VOLUME_CLAIM, Manifest
from render.check.rebuilt_state import REMEDY, LiveObjects, Rebuilt, UnsureError, completed, rebuilt
from render.desired.app import DesiredApp
from render.desired.recorded_state import State, component_status, deployed_state, lost_parts, recorded_state
from render.desired.state_edits import engine_ran, made_writable
from render.manifests.lists import record_manifests

STATE_LOST = "StateLost"


async def rebuild_state(platform: Platform, app: App, live: ObservedApp) -> str:
    """Why it is left to a person; empty where it is recorded again. Raises ConflictError."""
    found, _ = await platform.kubernetes.list(DEPLOYMENT, app.namespace, labels=app_labels(app.name))
    deployments = {str(each["metadata"]["name"]): each for each in found if owned_by(each, app.uid)}
    found, _ = await platform.kubernetes.list(VOLUME_CLAIM, app.namespace)  # whatever their labels say
    claims = {str(each["metadata"]["name"]): each for each in found if of_this_app(each, app.uid)}
    found, _ = await platform.kubernetes.list(CONFIG_MAP, app.namespace, labels=app_labels(app.name))
    config_maps = {str(each["metadata"]["name"]): each for each in found if owned_by(each, app.uid)}
    objects = LiveObjects(live.components, live.groups, live.revisions, deployments, claims, config_maps)
    try:
        new = rebuilt(app, live.state, objects)
        if left := lost_parts(app.name, new.state, live.components, live.groups, live.revisions):
            raise UnsureError(f"no Group, revision or Deployment says {', '.join(left)}; {REMEDY}")
        desired = await _desired(platform, app, live, new)
    except UnsureError as error:
        return f"{said_of(live.lost)}; {error}. Nothing is touched until then"
    except ApplicationError as error:
        return f"{said_of(live.lost)}; {error.message}. Nothing is touched until then"
    target = Target(app.namespace, app.name, app.uid, "", "", f"generation {app.generation}")
    missing = live.missing(record_manifests(desired))
    try:
        await apply_all(platform, target, missing)
    except ApplicationError as error:
        if not error.non_retryable:
            raise  # one that is still being deleted, say
        return f"{said_of(live.lost)}; {error.message}"
    state = await _remembered(platform, target, desired, new.state)
    await update_state(platform, target, lambda before: completed(before, state), None if missing else live)
    await _parameters(platform, desired, live, config_maps)
    if live.state.deployed is None:
        await _silent_nodes(platform, target, desired)
    await update_deployed(platform, target, lambda before: before or state.deployed or DeployedStatus())
    await tell(platform, target, "StateRebuilt", f"{said_of(live.lost)}; found out from what runs", warning=True)
    return ""


async def _remembered(platform: Platform, target: Target, desired: DesiredApp, found: State) -> State:
    """With the versions that have had the nodes' volumes, and how far an upgrade may go back, as the volumes remember
    it."""
    writable = {role.name for component in desired.components for role in component.definition.roles if role.writable}
    await platform.deployments.synced(30)
    await platform.pods.synced(30)
    state = found
    for node, record in (await volume_records(platform, reachable(platform, target, found.members))).items():
        if not (version := record.engine_version):
            continue
        for name, group in state.groups.items():
            state = state.with_group(name, replace(group, members=engine_ran(group.members, node, version)))
        if record.app_uid == target.uid and record.role in writable:
            state = replace(state, deployed=made_writable(state.deployed, version))
    return state


async def _silent_nodes(platform: Platform, target: Target, desired: DesiredApp) -> None:
    """With the App's status it was lost who was replaced, and to whom a role was on its way. A node that names its role
    shows it; one that is silent may be primary, and until it is heard nobody else begins as one."""
    if desired.bundle.topology(desired.topology).failover != "platform":
        return
    mover = RoleMover(platform)
    for component in desired.components:
        if not writable_roles(component):
            continue
        nodes = await mover.nodes(target, component)
        for name in (node.name for node in component.nodes):
            if name not in nodes.reports or not nodes.reports[name].role:
                await note_move(platform, target, component.name, "", name)


async def _parameters(
    platform: Platform, desired: DesiredApp, live: ObservedApp, config_maps: Mapping[str, Manifest]
) -> None:
    """Those in effect, as they were noted on the nodes when an engine last said them: for people only."""
    lost = [
        component
        for component in desired.components
        if not component_status(live.components.get(component.resource_name, {})).parameters
    ]
    if not lost:
        return
    notes = {name: noted(each) for name, each in config_maps.items()}
    for component in lost:
        said = (note.read_back for node in component.nodes if (note := notes.get(node.name)) is not None)
        if values := next(filter(None, said), None):
            await update_parameters(platform, desired.namespace, component.resource_name, values)


async def _desired(platform: Platform, app: App, live: ObservedApp, new: Rebuilt) -> DesiredApp:
    """The App as it runs, by what was found. Raises UnsureError, and ApplicationError where its plugin is not there."""
    recorded = recorded_state(new.state, live.components, live.groups)
    seen = replace(live, state=new.state, recorded=recorded, deployed=deployed_state(new.state, recorded), lost=())
    runs = await stage(platform, app, seen, OperationType.REPAIR)
    if new.unproven:
        nodes = {node.name for name in new.unproven for node in runs.component(name).nodes}
        other = sorted(nodes & {*await otherwise_set(platform, runs)})
        if other:
            raise UnsureError(
                f"{', '.join(other)} run with other parameters than their Components say; put back the Components as "
                "they were"
            )
    return runs
