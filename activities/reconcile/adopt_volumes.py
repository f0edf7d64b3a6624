"""``surveyVolumes`` and ``startHeld``: which of the kept volumes holds the newest data, and starting with it.

1. Wait until both agents of every held node run; ask each agent 1 what its volume remembers. Which version of the
   engine has had it is noted on the claim: one that was restored from a snapshot has no annotation that says so. Where
   the wanted version may not be given one of them nothing starts, and the next look refuses the spec.
2. Of the volumes with a record the newest is the one with the highest time of having been writable, then of having been
   seen, then the furthest replication position. Of two that have diverged neither is chosen: the Component names it.
3. Record the choice in the Component before anything starts: a crash in between finds the same choice again.
4. For each node: a document without hold and with a higher revision, applied, pushed, then Start. Its claim is this
   App's from then on. The chosen node first, so that the others find it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import agent_of, remembered_position
from activities.agents.config_maps import rendered_config_maps
from activities.agents.node_state import NodeState
from activities.agents.push import release
from activities.agents.request_ids import request_id
from activities.app.bootstrap import over
from activities.app.desired import StepContext, desired_for
from activities.app.retained_volumes import held_nodes, remembered_versions, unreadable_volumes
from activities.app.wait_ready import NodeWaiter
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.dependencies import Platform, permanent
from activities.roles.role_moves import writable_roles
from api.names import ANNOTATION_APP_UID, ANNOTATION_RUNTIME_VERSION
from api.steps import ComponentStep, ErrorType, Step, Survey, Target
from clients.agents import AgentError
from clients.resources import COMPONENT, CONFIG_MAP, VOLUME_CLAIM, Manifest
from language.positions import diverged, furthest, shown
from proto import agent_pb2
from render.desired.app import DesiredComponent

_START_TIMEOUT = 60.0
_RUNS = (agent_pb2.STARTING, agent_pb2.RUNNING, agent_pb2.BACKOFF)
"""Started: an engine in BACKOFF waits for its peers, which may be the next to start."""


def newest(records: Mapping[str, agent_pb2.VolumeRecord], writable: Collection[str]) -> str:
    """The node whose volume is to be believed, empty where no volume has a record. Ties go to the first name. That it
    was writable does not count of one that ended as a replica: its data may be set aside for those of its successor.
    Raises ApplicationError Diverged where each of two has what the other has not."""
    present = {node: record for node, record in records.items() if record.present}
    if not present:
        return ""
    times = {
        node: (record.last_writable if record.role in writable else 0, record.last_seen)
        for node, record in present.items()
    }
    last = [node for node in present if times[node] == max(times.values())]
    positions = {node: remembered_position(present[node]) for node in last}
    if pair := diverged(positions):
        stands = [f"{node} (at {shown(positions[node])})" for node in pair]
        said = f"the volumes of {' and '.join(stands)} have diverged"
        advice = "write the node that is to begin into spec.bootstrapNode of their Component"
        raise permanent(ErrorType.DIVERGED, f"{said}: each has data that the other has not; {advice}")
    return furthest(positions)[0]


class AdoptVolumes:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.SURVEY_VOLUMES)
    async def survey_volumes(self, step: ComponentStep) -> Survey:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        component = want.desired.component(step.component)
        if component.recorded_bootstrap is not None:
            return Survey(component.recorded_bootstrap, f"{component.recorded_bootstrap} was chosen before")
        held = await self._held(want, component)
        waiter = NodeWaiter(platform, target, f"{component.name}: look at kept volumes", sorted(held))
        states = await waiter.until(lambda state: state.running and bool(state.address))
        records = await self._records(target, states)
        await self._check_versions(want, records)
        chosen = newest(records, writable_roles(component))
        bootstrap = chosen or component.bootstrap_node
        if chosen:
            message = f"{chosen} holds the newest data of {len(held)} kept volumes"
        else:
            message = f"no kept volume remembers any data; {bootstrap} begins"
        change = {"spec": {"bootstrapNode": bootstrap}}
        await platform.kubernetes.patch(COMPONENT, component.resource_name, target.namespace, change)
        await tell(platform, target, "VolumesSurveyed", f"{component.name}: {message}")
        return Survey(bootstrap, message)

    @activity.defn(name=Step.START_HELD)
    async def start_held(self, step: ComponentStep) -> None:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        component = want.desired.component(step.component)
        held = await self._held(want, component)
        waiter = NodeWaiter(platform, target, f"{component.name}: start", sorted(held))
        states = {s.node: s for s in await waiter.until(lambda state: state.running and bool(state.address))}
        addresses = await node_addresses(platform, want.desired)
        live = await self._config_maps(target, sorted(held))
        nodes = sorted((n for n in component.nodes if n.name in held), key=lambda n: n.name != step.bootstrap)
        for node, manifest, _ in await rendered_config_maps(
            want.desired,
            component,
            nodes,
            addresses,
            live,
            bootstrap=None if over(want.live, component) else step.bootstrap,
        ):
            await self._start(step, states[node.name], manifest)
            change = {"metadata": {"annotations": {ANNOTATION_APP_UID: target.uid}}}
            await platform.kubernetes.patch(VOLUME_CLAIM, node.name, target.namespace, change)

    async def _check_versions(self, want: StepContext, records: Mapping[str, agent_pb2.VolumeRecord]) -> None:
        """Raises ApplicationError UnreadableVolume."""
        kubernetes, namespace = self._platform.kubernetes, want.desired.namespace
        claims = await self._claims(want, sorted(records))
        for name, version in remembered_versions(
            claims, {node: record.engine_version for node, record in records.items()}
        ).items():
            change = {"metadata": {"annotations": {ANNOTATION_RUNTIME_VERSION: version}}}
            claims[name] = await kubernetes.patch(VOLUME_CLAIM, name, namespace, change)
        if problems := unreadable_volumes(want.desired, claims):
            raise permanent(ErrorType.UNREADABLE_VOLUME, "; ".join(map(str, problems)))

    async def _held(self, want: StepContext, component: DesiredComponent) -> frozenset[str]:
        claims = await self._claims(want, [node.name for node in component.nodes])
        return held_nodes(want.desired, component, claims)

    async def _claims(self, want: StepContext, names: Sequence[str]) -> dict[str, Manifest]:
        namespace = want.desired.namespace
        found = await together(self._platform.kubernetes.get(VOLUME_CLAIM, name, namespace) for name in names)
        return {name: claim for name, claim in zip(names, found, strict=True) if claim is not None}

    async def _config_maps(self, target: Target, names: Sequence[str]) -> dict[str, Manifest]:
        found = await together(self._platform.kubernetes.get(CONFIG_MAP, name, target.namespace) for name in names)
        return {name: each for name, each in zip(names, found, strict=True) if each is not None}

    async def _records(self, target: Target, states: Sequence[NodeState]) -> dict[str, agent_pb2.VolumeRecord]:
        async def ask(state: NodeState) -> agent_pb2.VolumeRecord:
            status = await self._platform.agents.status(agent_of(target, state))
            return status.volume

        try:
            records = await together(ask(state) for state in states)
        except AgentError as error:
            raise ApplicationError(f"cannot choose among the kept volumes yet: {error}") from error
        return {state.node: record for state, record in zip(states, records, strict=True)}

    async def _start(self, step: ComponentStep, state: NodeState, manifest: Manifest) -> None:
        agents, agent = self._platform.agents, agent_of(step.target, state)
        asked = request_id("start", state.node)
        try:
            await release(self._platform, agent, manifest, f"{asked}/push")
            status = await agents.status(agent)
            if status.state not in _RUNS:
                await agents.start(agent, asked, timeout=_START_TIMEOUT)
        except AgentError as error:
            if "Start" in str(error) and error.code.name == "DEADLINE_EXCEEDED":
                return  # it is starting and waits for its peers; readiness is waited for in the next step
            raise ApplicationError(f"{state.node} cannot be started yet: {error}") from error
