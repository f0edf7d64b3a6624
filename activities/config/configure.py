"""``planConfig``, ``configureNode``, ``commitConfig``: parameters of a running App, one node first.

1. ``planConfig``: which nodes do not run with the parameters that the spec wants, by what is noted on each, so that an
   interrupted change goes on where it stopped. Where the plugin has the tool ``validateConfig``, one node's engine is
   asked about the new files: what it refuses ends the operation before anything is touched.
2. ``configureNode``: the node's files to the cluster and to its agent, the changed dynamic parameters to the engine,
   and what it then says of them noted. Where a parameter is only read at the start, the engine is restarted by its
   agent: its Pod and its address stay. The start reads the dynamic parameters too, so ``reloadConfig`` is left out
   then, unless the plugin says ``beforeRestart``: an engine that reads its whole file anew would fail at what it takes
   at a start only, or take a half of it. ``revert`` does the same with the recorded parameters.
3. ``commitConfig``: the new parameters become the record. Until then the former ones are, and are put back everywhere
   where an engine refuses. It answers which engines run with something else than they were given.
Where the order of parameters matters (``render.desired.parameter_order``), nodes get them one by one in that order, and
a primary is restarted in its place: with its role on a node that has other values, it could not follow that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from temporalio import activity

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import agent_of, node_states
from activities.agents.config_maps import rendered_config_maps
from activities.agents.node_tools import node_tools, reloads_before_restart
from activities.agents.push import PushRefusedError, push
from activities.app.applied_config import judged_anew, note_effective, read_back
from activities.app.desired import StepContext, desired_for
from activities.app.observed import update_state
from activities.app.wait_ready import STUCK_AFTER, NodeWaiter
from activities.cluster.apply import apply_owned, put
from activities.cluster.events import tell
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.config.restart import restart_engine
from activities.config.validate import validate_files
from activities.dependencies import Platform, permanent
from activities.rollout.clearance import clearance
from activities.rollout.plan_roll import ordered, writable_nodes
from api.app import Phase, Scalar
from api.effective import Effective, noted
from api.names import app_labels
from api.operations import OperationType
from api.reconfigure import ConfigCommitted, ConfigPlan, ConfigPlans, ConfigureStep
from api.steps import ComponentStep, ErrorType, RollNode, Step, Target
from api.tools import ToolName
from clients.agents import AgentTarget
from clients.resources import CONFIG_MAP, Manifest
from render.check.applied_parameters import (
    dynamic_differs,
    dynamic_of,
    effective,
    node_parameters,
    runs_with,
    unlike,
)
from render.desired.app import DesiredComponent, DesiredNode
from render.desired.parameter_order import Turn, turn_of_replica
from render.desired.spec_parts import changed_parameters
from render.desired.state_edits import reconfigured
from render.manifests.lists import revision_of
from render.manifests.objects import component_resource


class Configure:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.PLAN_CONFIG)
    async def plan_config(self, target: Target) -> ConfigPlans:
        platform = self._platform
        want = await desired_for(platform, target)
        change = StatusChange(
            phase=Phase.UPDATING,
            message=f"{target.operation}: {target.reason}",
            observed_generation=want.app.generation,
            conditions={"Progressing": ConditionChange(True, target.operation)},
        )
        await tell(platform, target, f"{target.operation}Started", target.reason)
        await tell_step(platform, target, "plan", change)
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        addresses = await node_addresses(platform, want.desired)
        plans = []
        for component in want.desired.components:
            live = await self._config_maps(target, component)
            plan, _ = await self._plan(target, want, component, addresses, live)
            plans.append(plan)
            if target.stage != OperationType.REPAIR:  # what is put back has run already
                nodes = [node.name for node in plan.nodes]
                await validate_files(platform, target, want, component, nodes, addresses, live)
        return ConfigPlans([plan for plan in plans if plan.nodes or plan.changed])

    async def _config_maps(self, target: Target, component: DesiredComponent) -> dict[str, Manifest]:
        labels = app_labels(target.app, component.name)
        found, _ = await self._platform.kubernetes.list(CONFIG_MAP, target.namespace, labels=labels)
        return {str(each["metadata"]["name"]): each for each in found}

    async def _plan(
        self,
        target: Target,
        want: StepContext,
        component: DesiredComponent,
        addresses: Mapping[str, str],
        live: Mapping[str, Manifest],
    ) -> tuple[ConfigPlan, Mapping[str, Turn]]:
        """And when each node's turn is, where the order of parameters says so."""
        record = want.live.recorded.components.get(component.name)
        changed = changed_parameters(record.config, component.config) if record is not None else []
        before = record.config if record is not None else {}
        chosen, restart = [], False
        turns: dict[str, Turn] = {}
        for node in component.nodes:
            note, wants = noted(live.get(node.name)), _wants(want, component, node, addresses)
            if note is not None and (note.dynamic, note.restart) == (wants.dynamic, wants.restart):
                continue
            chosen.append(node)
            restart = restart or (note is not None and note.restart != wants.restart)
            turn = turn_of_replica(component.parameters, {**before, **runs_with(component, note)}, component.config)
            if turn is not None:
                turns[node.name] = turn
        states = node_states(self._platform, target.namespace, target.app, [node.name for node in chosen])
        nodes = [node for batch in ordered(component, chosen, states) for node in batch]
        if turns:
            turns |= dict.fromkeys(writable_nodes(component, nodes, states), Turn.PRIMARY)
            nodes.sort(key=lambda node: turns.get(node.name, Turn.BEFORE_PRIMARY))
        rolls = [RollNode(node.name, node.component, node.group, states[node.name].uid) for node in nodes]
        after = restart and ToolName.AFTER_ROLL in await node_tools(
            self._platform, want.desired, component, component.nodes[0], addresses
        )
        return ConfigPlan(component.name, rolls, restart, changed, bool(turns), after), turns

    async def _check_turn(
        self, step: ConfigureStep, want: StepContext, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> None:
        """Raises SpecChanged where the primary is another by now, so that another node comes first."""
        live = await self._config_maps(step.node.target, component)
        plan, turns = await self._plan(step.node.target, want, component, addresses, live)
        own = turns.get(step.node.node, Turn.BEFORE_PRIMARY)
        if any(node.name == step.node.node for node in plan.nodes):
            first = plan.nodes[0].name
            if turns.get(first, Turn.BEFORE_PRIMARY) < own:
                message = f"the primary of {component.name} is another by now, so {first} gets its parameters first"
                raise permanent(ErrorType.SPEC_CHANGED, message)

    @activity.defn(name=Step.CONFIGURE_NODE)
    async def configure_node(self, step: ConfigureStep) -> None:
        """Raises EngineRefused where the engine does not take the parameters; its former files are in place then."""
        platform, target = self._platform, step.node.target
        operation = OperationType.REPAIR if step.revert else OperationType.RECONFIGURE
        want = await desired_for(platform, target, operation)
        component = want.desired.component(step.node.component)
        node = next(each for each in component.nodes if each.name == step.node.node)
        await tell_step(platform, target, f"{node.name}: {'put back' if step.revert else 'set'} the parameters")
        waiter = NodeWaiter(platform, target, f"{node.name}: set the parameters", [node.name])
        state = (await waiter.until(lambda each: each.running and bool(each.address), stuck_after=STUCK_AFTER))[0]
        agent = agent_of(target, state)
        addresses = await node_addresses(platform, want.desired)
        if step.ordered and not step.revert:
            await self._check_turn(step, want, component, addresses)
        live = await platform.kubernetes.get(CONFIG_MAP, node.name, target.namespace)
        rendered = await rendered_config_maps(
            want.desired, component, [node], addresses, {node.name: live} if live else {}, bootstrap=None
        )
        _, manifest, changed = rendered[0]
        if changed:
            await put(platform, manifest)
        wants = _wants(want, component, node, addresses)
        await self._give(step, want, component, node, agent, manifest, noted(live), wants, addresses)

    async def _give(
        self,
        step: ConfigureStep,
        want: StepContext,
        component: DesiredComponent,
        node: DesiredNode,
        agent: AgentTarget,
        manifest: Manifest,
        note: Effective | None,
        wants: Effective,
        addresses: Mapping[str, str],
    ) -> None:
        platform, target = self._platform, step.node.target
        values = node_parameters(want.desired, component, node, addresses)
        parameters = dynamic_of(component, values) if note is None or note.dynamic != wants.dynamic else {}
        restart = note is not None and note.restart != wants.restart
        if note is not None and (parameters or restart):
            # Beforehand: what is interrupted from here on left the engine with nobody knows which of the two.
            begun = replace(note, dynamic="" if parameters else note.dynamic, restart="" if restart else note.restart)
            await note_effective(platform, target.namespace, node.name, begun)
        request_id = f"{activity.info().workflow_run_id}/configure/{node.name}/{revision_of(manifest)}"
        # A refusal is remembered too, and another attempt is to ask anew; a restart that has happened is not.
        push_id = f"{request_id}/{activity.info().attempt}"
        beforehand = await reloads_before_restart(platform, want.desired, component, node, addresses)
        # Where nobody knows yet whether a restart follows, the engine is asked first.
        waits = not beforehand and (restart or note is None)
        answers = await _pushed(platform, agent, manifest, {} if waits else parameters, push_id)
        if note is None:  # somebody has removed it, so only the engine knows whether it has read them at a start
            told = effective(component, values, answers)
            restart = told.differs != dynamic_differs(component, told)
            if waits and parameters and not restart:
                answers = await _pushed(platform, agent, manifest, parameters, f"{push_id}/reload")
        cleared = await clearance(platform, target, want.desired, component, node, addresses)
        if restart:
            await cleared.may_stop()
            await restart_engine(platform, target, agent, f"{request_id}/restart", "the new parameters")
            answers = await read_back(platform, agent)
        # Also where the engine does not run: its agent has them by then, and starts it with nothing older.
        done = effective(component, values, answers)
        await note_effective(platform, target.namespace, node.name, done)
        # When it is noted: a repeat of this step then asks for no stop that does not come.
        await cleared.has_settled()

    @activity.defn(name=Step.COMMIT_CONFIG)
    async def commit_config(self, step: ComponentStep) -> ConfigCommitted:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        component = want.desired.component(step.component)
        # Before the Component itself, which is put back to what is recorded.
        await update_state(platform, target, lambda before: reconfigured(before, want.desired, component), want.live)
        await apply_owned(platform, target, component_resource(want.desired, component))
        await judged_anew(platform, target, want.desired, component)
        differs = unlike(await self._config_maps(target, component))
        if differs:
            said = "; ".join(map(str, differs))
            await tell(platform, target, "ParametersDiffer", f"{component.name}: {said}", warning=True)
        else:
            await tell(platform, target, "ParametersSet", f"{component.name}: every node runs with the new parameters")
        return ConfigCommitted(differs)


async def _pushed(
    platform: Platform, agent: AgentTarget, manifest: Manifest, parameters: Mapping[str, Scalar], push_id: str
) -> dict[str, str]:
    """What the engine answers. Raises EngineRefused."""
    try:
        return await push(platform, agent, manifest, parameters, push_id)
    except PushRefusedError as error:
        raise permanent(ErrorType.ENGINE_REFUSED, f"{agent.node}: {error}") from error


def _wants(
    want: StepContext, component: DesiredComponent, node: DesiredNode, addresses: Mapping[str, str]
) -> Effective:
    return effective(component, node_parameters(want.desired, component, node, addresses), {})
