"""``record`` and ``finish``: what is recorded of what runs now, and the status that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import reachable
from activities.agents.run_tool import run_tool
from activities.app import bootstrap
from activities.app.applied_config import READ_TIMEOUT, note_effective
from activities.app.desired import StepContext, desired_for, stage
from activities.app.disruption_budgets import apply_budgets
from activities.app.node_services import record_addresses
from activities.app.observed import update_state
from activities.app.wait_ready import NodeWaiter
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.parameter_warnings import CONDITION, parameters_safe
from activities.cluster.state import update_deployed, update_parameters
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import Platform
from activities.look.astray import follow_again
from activities.roles.role_moves import RoleMover
from activities.rollout.plan_roll import outdated_nodes
from activities.rollout.volumes import ungrown
from api.app import Phase
from api.effective import Effective, noted
from api.meta import counted
from api.names import app_labels
from api.operations import OperationType
from api.steps import ComponentStep, Step, Target
from api.tools import ToolName
from clients.agents import AgentTarget
from clients.resources import CONFIG_MAP
from render.check.applied_parameters import effective, node_parameters
from render.desired.app import DesiredApp, DesiredComponent
from render.desired.spec_parts import pending, stage_of
from render.desired.state_edits import finished, normal, settled
from render.manifests.deployments import version_of


class Record:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.RECORD)
    async def record(self, step: ComponentStep) -> None:
        """Nodes become normal; the configuration in effect is read back from an engine, not copied from the spec."""
        target = step.target
        want = await desired_for(self._platform, target)
        component = want.desired.component(step.component)
        answers = await self._read_back(target, component)
        addresses = await node_addresses(self._platform, want.desired)
        notes = await self._notes(target, component)
        await self._note(target, want.desired, component, answers, addresses, notes)
        await record_addresses(self._platform, target, component, addresses, notes)
        if target.operation == OperationType.REPAIR:
            await follow_again(self._platform, target, want.desired, component)
        await RoleMover(self._platform).end_known(target, want.manifest, component, addresses)
        deployments = self._platform.deployments.list(target.namespace, app_labels(target.app, component.name))
        runs = {str(each["metadata"]["name"]): version_of(each) for each in deployments}
        await update_state(self._platform, target, lambda before: normal(before, component, runs), want.live)
        config = next((answers[node.name] for node in component.nodes if answers.get(node.name)), {})
        if config:
            await update_parameters(self._platform, target.namespace, component.resource_name, config)
        if target.operation == OperationType.SCALE:  # by the nodes that there are now
            await apply_budgets(self._platform, target, want.desired, component.name)
        message = f"{component.name}: {counted(len(component.nodes), 'node')} ready"
        await tell(self._platform, target, "ComponentReady", message)

    async def _read_back(self, target: Target, component: DesiredComponent) -> dict[str, dict[str, str]]:
        """What each node's engine says of its parameters; empty where the plugin has no such tool."""
        agents = reachable(self._platform, target, [node.name for node in component.nodes])

        async def ask(agent: AgentTarget) -> dict[str, str] | str:
            try:
                values = await run_tool(self._platform, agent, ToolName.READ_CONFIG, {}, timeout=READ_TIMEOUT)
            except ApplicationError as error:
                return error.message
            return dict(sorted((values or {}).items()))

        found = dict(zip(agents, await together(ask(agent) for agent in agents.values()), strict=True))
        answers = {node: answer for node, answer in found.items() if isinstance(answer, dict)}
        if not answers and target.operation != OperationType.REPAIR:  # which also mends an App whose nodes are down
            doing = f"{component.name}: read the configuration back"
            await NodeWaiter(self._platform, target, doing, [node.name for node in component.nodes]).keep()
            failures = "; ".join(str(answer) for answer in found.values()) or "no node runs"
            raise ApplicationError(f"the configuration of {component.name} cannot be read back yet: {failures}")
        return answers

    async def _notes(self, target: Target, component: DesiredComponent) -> dict[str, Effective | None]:
        """By name of the component's ConfigMaps, what is noted on each."""
        found, _ = await self._platform.kubernetes.list(
            CONFIG_MAP, target.namespace, labels=app_labels(target.app, component.name)
        )
        return {str(each["metadata"]["name"]): noted(each) for each in found}

    async def _note(
        self,
        target: Target,
        desired: DesiredApp,
        component: DesiredComponent,
        answers: dict[str, dict[str, str]],
        addresses: Mapping[str, str],
        notes: Mapping[str, Effective | None],
    ) -> None:
        """On each node's ConfigMap that it runs with the parameters of its files, where nothing is noted yet: from
        then on whoever gives it others says so."""
        new = {name for name, note in notes.items() if note is None}
        await together(
            note_effective(
                self._platform,
                target.namespace,
                node.name,
                effective(component, node_parameters(desired, component, node, addresses), answers[node.name]),
            )
            for node in component.nodes
            if node.name in new and node.name in answers
        )

    @activity.defn(name=Step.FINISH)
    async def finish(self, target: Target) -> None:
        """Notes what is deployed. From now on no node may begin as first primary, should its volume be lost."""
        want = await desired_for(self._platform, target)
        await bootstrap.end(self._platform, target, want.desired, want.desired.components, hold=False)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        moved = OperationType.UPGRADE_PLUGIN in stage_of(target.operation)  # a move of the plugin ends here
        complete = await self._complete(want, moved=moved)
        over = want.live.deployed is None or await self._settled(target, want)
        # The Groups first: an App that is said to be carried out has nothing to go back to.
        if over:
            await update_state(self._platform, target, settled, want.live)
        carried_out, at = target.spec_hash if complete else "", want.live.state.runtime_version if over else ""
        await update_deployed(
            self._platform, target, lambda before: finished(before, carried_out, now, moved=moved, settled_at=at)
        )
        done = "RolledBack" if target.stage else "Completed"
        await tell(
            self._platform, target, f"{target.operation}{done}", target.reason or f"{target.operation} completed"
        )
        change = StatusChange(
            phase=Phase.RUNNING if complete else Phase.UPDATING,
            message="" if complete else f"{target.operation} completed; the rest of the spec comes next",
            observed_generation=want.app.generation,
            operation={"state": "Completed"},
            conditions={
                "Accepted": ConditionChange(True, "Accepted"),
                "Progressing": ConditionChange(False, "Settled"),
                "Paused": ConditionChange(False, "NotPaused"),
                CONDITION: await parameters_safe(self._platform, target, want.manifest, want.desired),
            },
        )
        await tell_step(self._platform, target, "", change)

    async def _settled(self, target: Target, want: StepContext) -> bool:
        """Whether there is nothing to go back to any more. A Repair in mid-Resize leaves that Resize its way back."""
        if await outdated_nodes(self._platform, want.desired, want.live):
            return False
        rolling = target.operation in (OperationType.UPGRADE, OperationType.RESIZE)
        return rolling or not await ungrown(self._platform, want.desired)

    async def _complete(self, want: StepContext, *, moved: bool) -> bool:
        """Whether the whole spec is carried out, not only this operation's part of it."""
        if want.live.deployed is None:
            return True
        wanted_whole = await stage(self._platform, want.app, want.live, OperationType.DEPLOY)
        deployed = replace(want.live.deployed, previous_plugin="") if moved else want.live.deployed
        return not pending(wanted_whole, deployed)
