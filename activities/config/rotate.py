"""``beginRotation``, ``giveCredentials``, ``keepBoth``, ``advanceRotation``: passwords of an App that runs.

Where it stands is in the App's Secret alone (``render.desired.credentials``), so each step finds it again, whoever has
died.

1. ``beginRotation``: the next password is written beside the one in use: somebody's own, checked, or a new one; and
   beside both for how long they are to be valid together, as an operation that was interrupted begins anew without it.
2. ``giveCredentials``: a node's Pod has the Secret as of this stage, and the plugin's tool has told the engine.
3. ``advanceRotation``: every node has: the next stage is written, or the first one of the way back.
4. ``keepBoth``: for how long the former one is to stay valid, and that this is told.
Passwords go from the Secret to the Pods through the kubelet, and from there into the engines: none is in a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import grpc
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import agent_of, node_states, reachable, reports
from activities.agents.engine_state import engine_state
from activities.agents.node_state import NodeState, living
from activities.agents.node_tools import bound
from activities.app.desired import StepContext, desired_for
from activities.app.secrets import check_not_frozen, generated
from activities.app.wait_ready import STUCK_AFTER, NodeWaiter
from activities.cluster.apply import check_owner
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.status import tell_step
from activities.config.restart import restart_engine
from activities.dependencies import Platform, permanent
from activities.interceptors.retry_status import tell_going_on
from activities.rollout.clearance import Clearance, clearance
from api.names import (
    ANNOTATION_CREDENTIALS,
    ANNOTATION_VALID_FOR,
    ANNOTATION_VALID_UNTIL,
    app_labels,
    credentials_name,
)
from api.operations import LONGEST_OVERLAP, OVERLAP
from api.rotation import AdvanceRequest, CredentialsStep, Overlap, RotationRequest, RotationStage
from api.steps import ErrorType, RollNode, Step, Target
from api.tools import ToolName
from clients.agents import AgentError, AgentTarget
from clients.errors import NotFoundError
from clients.machines import machine_of
from clients.resources import POD, SECRET, Manifest
from render.check.credentials import names_of, unrotatable
from render.check.trial import render_trial
from render.desired.app import DesiredApp
from render.desired.credentials import (
    BACKWARDS,
    USED,
    Changes,
    Stage,
    advanced,
    begun,
    data_of,
    number_of,
    revision_of,
    stage_of,
    texts_of,
    turned_back,
    unnoted,
)
from render.validation.passwords import password_problems

TOOLS: Mapping[Stage, ToolName] = {
    Stage.ACCEPT: ToolName.ACCEPT_CREDENTIALS,
    Stage.USE: ToolName.USE_CREDENTIALS,
    Stage.RETURN: ToolName.USE_CREDENTIALS,
    Stage.RETIRE: ToolName.RETIRE_CREDENTIALS,
    Stage.WITHDRAW: ToolName.RETIRE_CREDENTIALS,
}
_HEARD_BY_ALL = frozenset({Stage.USE, Stage.RETURN})
"""By every node, also by one whose engine has nothing to be told: its agent logs in with another one from then on."""
_UP_WITHIN = 120.0
"""Seconds in which a Pod of which nobody complains must come up to be waited for: it may pull an image."""
_LOOK_EVERY = 0.5
_ASK_KUBELET_EVERY = 5.0
_DELIVERED_WITHIN = 150.0
"""A kubelet that is not woken brings a Secret within two minutes."""


class Rotate:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.BEGIN_ROTATION)
    async def begin_rotation(self, request: RotationRequest) -> RotationStage:
        """Where it stands: also after an earlier run. Raises CredentialsKept where the passwords stay as they are,
        CredentialsLost as ``_texts``; so do the other steps."""
        target = request.target
        want = await desired_for(self._platform, target)
        desired = want.desired
        if not 0 <= request.overlap <= LONGEST_OVERLAP:
            message = f"overlap is {request.overlap} s; write 0 to {LONGEST_OVERLAP}"
            raise permanent(ErrorType.CREDENTIALS_KEPT, message)
        if why := unrotatable(desired, render_trial(desired)):
            raise permanent(ErrorType.CREDENTIALS_KEPT, why)
        secret = await self._secret(target)
        texts = _texts(target, secret, names_of(desired))
        if stage_of(texts) is Stage.DONE:
            if wrong := list(password_problems(desired, secret)):
                raise permanent(ErrorType.CREDENTIALS_KEPT, "; ".join(map(str, wrong)))
            if missing := [name for name in names_of(desired) if not texts.get(name)]:
                message = f"Secret {secret['metadata']['name']} has no {', '.join(missing)}; write the one in use there"
                raise permanent(ErrorType.CREDENTIALS_KEPT, message)
            await self._check_accepted(target, want, texts)
            made = {each.name: generated(each.length).decode() for each in desired.credentials}
            changes = begun(texts, names_of(desired), made if request.generate else {})
            if not changes:
                return RotationStage(Stage.DONE)
            secret = await self._write(target, secret, changes, valid_for=str(request.overlap))
        elif stage_of(texts) is Stage.ACCEPT and request.generate:
            # Somebody asks for it anew, and it is not too late for his overlap.
            secret = await self._write(target, secret, {}, valid_for=str(request.overlap))
        else:
            await self._wake_kubelets(target, revision_of(texts))
        return await self._stage(target, want, secret)

    async def _check_accepted(self, target: Target, want: StepContext, texts: Mapping[str, str]) -> None:
        """Nobody has noted yet what the engines run with: it is what the Secret holds only where they let it in."""
        if all(f"{name}{USED}" in texts for name in names_of(want.desired)):
            return
        agents = reachable(self._platform, target, _places(want))
        answers = await reports(self._platform, agents)
        refusing = sorted(name for name, report in answers.items() if report.credentials_refused)
        if refusing:
            said = "does not accept what the App's Secret holds; put the former passwords back first"
            raise permanent(ErrorType.CREDENTIALS_KEPT, f"{', '.join(refusing)} {said}")

    @activity.defn(name=Step.ADVANCE_ROTATION)
    async def advance_rotation(self, request: AdvanceRequest) -> RotationStage:
        """The next stage. One that an earlier attempt has written already is only told; so is, for a way back, the
        stage from which there is none."""
        target = request.target
        want = await desired_for(self._platform, target)
        secret = await self._secret(target)
        names = names_of(want.desired)
        texts = _texts(target, secret, names)
        if request.back:
            changes = turned_back(texts, names)
        else:
            changes = advanced(texts, names) if stage_of(texts) == request.stage else {}
        if changes:
            until = None
            if request.stage == Stage.ACCEPT and not request.back:
                until = (datetime.now(UTC) + timedelta(seconds=_overlap_of(secret))).isoformat(timespec="seconds")
            secret = await self._write(target, secret, changes, valid_until=until)
        else:
            await self._wake_kubelets(target, revision_of(texts))
        return await self._stage(target, want, secret)

    @activity.defn(name=Step.KEEP_BOTH)
    async def keep_both(self, target: Target) -> Overlap:
        secret = await self._secret(target)
        until = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_VALID_UNTIL, "")
        try:
            left = (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return Overlap()  # nobody's word that it is to stay any longer
        left = min(left, float(LONGEST_OVERLAP))
        if left > 0:
            said = f"both passwords are valid until {until}; then the former one is refused"
            await tell(self._platform, target, "BothPasswordsValid", said)
            await tell_step(self._platform, target, said)
        return Overlap(max(left, 0.0))

    @activity.defn(name=Step.GIVE_CREDENTIALS)
    async def give_credentials(self, step: CredentialsStep) -> None:
        """Raises ToolRefused where the engine does not take them, NodeStuck where it keeps ending. A node whose Pod
        does not come up has nothing to be told, and keeps no other from it."""
        platform, target, name = self._platform, step.target, step.node.node
        desired = (await desired_for(platform, target)).desired
        stays = name in {node.name for node in desired.nodes}
        texts = _texts(target, await self._secret(target), names_of(desired))
        stage = stage_of(texts)
        if stage != step.stage:
            message = f"the passwords are at stage {stage}, not {step.stage}; the operation ends, and goes on there"
            raise permanent(ErrorType.SPEC_CHANGED, message)
        tool = TOOLS[stage]
        doing = f"{name}: {tool}"
        await tell_step(platform, target, doing)
        # Who leaves may be stopped by a Scale that was interrupted.
        waiter = NodeWaiter(platform, target, doing, [name], replicas=1 if stays else None)
        state = await self._there_or_not(waiter, target, name, stays=stays)
        if not (state.running and state.address):
            await self._pass_over(target, state, doing)
            return
        answer = await self._told(target, state, tool, revision_of(texts))
        if answer.get("restart") == "true":
            request_id = f"{activity.info().workflow_run_id}/rotate/{name}/{revision_of(texts)}"
            cleared = await self._clearance(target, desired, name) if stays else None
            if cleared is not None and cleared.asks:
                await cleared.may_stop()
                # What a node has given away for its stop only a start takes back: asked again, it is restarted again.
                request_id = f"{request_id}/{activity.info().attempt}"
            await restart_engine(platform, target, agent_of(target, state), request_id, "the changed passwords")
            if cleared is not None:
                await cleared.has_settled()

    async def _clearance(self, target: Target, desired: DesiredApp, name: str) -> Clearance:
        component, node = next(
            (component, node) for component in desired.components for node in component.nodes if node.name == name
        )
        return await clearance(self._platform, target, desired, component, node)

    async def _there_or_not(self, waiter: NodeWaiter, target: Target, name: str, *, stays: bool) -> NodeState:
        """As soon as its containers run, or it is clear that they do not come to. ``stays``: it neither comes nor goes,
        so its Pod is waited for. Raises NodeStuck for one that has run."""
        loop = asyncio.get_running_loop()
        late = loop.time() + _UP_WITHIN

        def there_or_not(state: NodeState) -> bool:
            if state.running and state.address:
                return True
            waited = loop.time() >= late
            return (waited or not stays) if not self._has_pod(target, name) else waited and not _has_started(state.pod)

        try:
            return (await waiter.until(there_or_not, stuck_after=STUCK_AFTER))[0]
        except ApplicationError as error:
            state = waiter.states()[0]
            if error.type != ErrorType.NODE_STUCK or _has_started(state.pod):
                raise
            return state

    async def _pass_over(self, target: Target, state: NodeState, doing: str) -> None:
        """Its next Pod mounts what there is then. So does one that has no machine yet; one that has may have mounted
        what there was before, so it is made anew: it has run nothing."""
        pod = state.pod
        if pod is not None and machine_of(pod):
            metadata = pod["metadata"]
            await self._platform.kubernetes.delete(POD, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        why = f" ({state.reason})" if state.reason else ""
        said = f"{state.node} does not run{why}; it is given the passwords of then when it does"
        await tell(self._platform, target, "PassedOver", said, warning=bool(why))
        await tell_going_on(self._platform, target, doing)

    async def _told(self, target: Target, state: NodeState, tool: ToolName, revision: str) -> dict[str, str]:
        """The tool's result, once the Pod has the Secret of this revision and its engine runs."""
        agent, loop = agent_of(target, state), asyncio.get_running_loop()
        deadline, asked = loop.time() + _DELIVERED_WITHIN, loop.time()
        while True:
            try:
                return await self._run(agent, tool, revision)
            except AgentError as error:
                if error.code is not grpc.StatusCode.FAILED_PRECONDITION or loop.time() > deadline:
                    raise ApplicationError(f"{tool} of {agent.node}: {error.message}") from error
            if loop.time() - asked > _ASK_KUBELET_EVERY:
                asked = loop.time()
                await self._check_engine(agent)
                await self._wake_kubelet(state.pod, f"{revision} {loop.time():.0f}")
            await asyncio.sleep(_LOOK_EVERY)

    async def _run(self, agent: AgentTarget, tool: ToolName, revision: str) -> dict[str, str]:
        agents, within = self._platform.agents, bound(tool)
        try:
            result = await agents.run(agent, tool, request_id="", timeout=within, credentials=revision)
        except AgentError as error:
            if error.code is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            # Only that its agent has them is to be known: of a node that is not ready, too.
            await agents.run(agent, ToolName.READY, request_id="", timeout=within, credentials=revision)
            return {}
        if not result.success:
            raise ApplicationError(f"{agent.node}: {result.message}", type=ErrorType.TOOL_REFUSED)
        return dict(result.values)

    async def _check_engine(self, agent: AgentTarget) -> None:
        try:
            engine = await engine_state(self._platform, agent)
        except AgentError:
            return
        if engine.keeps_ending:
            raise permanent(ErrorType.NODE_STUCK, f"{agent.node}: {engine.why}")

    # The Secret

    async def _secret(self, target: Target) -> Manifest:
        name = credentials_name(target.app)
        secret = await self._platform.kubernetes.get(SECRET, name, target.namespace)
        if secret is None:
            message = f"Secret {target.namespace}/{name} is gone; restore it from a backup"
            raise permanent(ErrorType.CREDENTIALS_LOST, message)
        check_owner(target, secret)
        return secret

    async def _write(
        self,
        target: Target,
        secret: Manifest,
        changes: Changes,
        *,
        valid_for: str | None = None,
        valid_until: str | None = None,
    ) -> Manifest:
        """Raises ConflictError where somebody has written it since it was read, CredentialsKept where nobody can."""
        check_not_frozen(target, secret)
        metadata: Manifest = {"annotations": {ANNOTATION_VALID_FOR: valid_for, ANNOTATION_VALID_UNTIL: valid_until}}
        if version := secret["metadata"].get("resourceVersion"):
            metadata["resourceVersion"] = version
        name, change = secret["metadata"]["name"], {"metadata": metadata, "data": data_of(changes)}
        written = await self._platform.kubernetes.patch(SECRET, name, target.namespace, change)
        await self._wake_kubelets(target, revision_of(texts_of(written)))
        return written

    async def _wake_kubelets(self, target: Target, revision: str) -> None:
        """A kubelet looks at a Pod's Secrets once a minute, and at once where the Pod itself has changed."""
        pods = self._platform.pods.list(target.namespace, app_labels(target.app))
        await together(self._wake_kubelet(pod, revision) for pod in pods)

    async def _wake_kubelet(self, pod: Manifest | None, word: str) -> None:
        if pod is None:
            return
        change = {"metadata": {"annotations": {ANNOTATION_CREDENTIALS: word}}}
        try:
            await self._platform.kubernetes.patch(POD, pod["metadata"]["name"], pod["metadata"]["namespace"], change)
        except NotFoundError:
            return  # its successor mounts what there is now

    async def _stage(self, target: Target, want: StepContext, secret: Manifest) -> RotationStage:
        stage, desired = stage_of(texts_of(secret)), want.desired
        if stage is Stage.DONE:
            return RotationStage(stage)
        await self._platform.deployments.synced(30)
        await self._platform.pods.synced(30)
        tools, places = render_trial(desired), _places(want)
        states = node_states(self._platform, target.namespace, target.app, places)
        stay = {node.name for node in desired.nodes}
        nodes = [
            RollNode(name, component, group, states[name].uid)
            for each in desired.components
            if stage in _HEARD_BY_ALL or TOOLS[stage] in tools[each.name]
            for name, (component, group) in places.items()
            if component == each.name and (name in stay or self._has_pod(target, name))
        ]
        return RotationStage(stage, nodes, stage in BACKWARDS, names_of(desired))

    def _has_pod(self, target: Target, node: str) -> bool:
        return bool(living(node, self._platform.pods.list(target.namespace, app_labels(target.app))))


def _texts(target: Target, secret: Manifest, names: Sequence[str]) -> dict[str, str]:
    """Raises CredentialsLost where a step would have to guess what the engines run with."""
    texts = texts_of(secret)
    if missing := unnoted(texts, names):
        keys, name = ", ".join(f"{each}{USED}" for each in missing), secret["metadata"]["name"]
        message = (
            f"Secret {target.namespace}/{name} has no {keys}, while its passwords are half changed (stage "
            f"{stage_of(texts)}); put back there what the engines run with"
        )
        raise permanent(ErrorType.CREDENTIALS_LOST, message)
    return texts


def _has_started(pod: Manifest | None) -> bool:
    """Whether a container of it runs or has run, as far as its machine has told."""
    found = ((pod or {}).get("status") or {}).get("containerStatuses") or []
    return any("waiting" not in (each.get("state") or {"waiting": {}}) or each.get("lastState") for each in found)


def _places(want: StepContext) -> dict[str, tuple[str, str]]:
    """By name, component and group of whatever may run an engine: also of the nodes that a Scale was adding or removing
    when it was interrupted, after all others."""
    found = {node.name: (node.component, node.group) for node in want.desired.nodes}
    return found | {node.name: (node.component, node.group) for node in want.live.state.nodes()}


def _overlap_of(secret: Manifest) -> int:
    """Seconds. A word that nobody of the platform has written is none: the usual overlap locks nobody out."""
    seconds = number_of(str((secret["metadata"].get("annotations") or {}).get(ANNOTATION_VALID_FOR, "")))
    return OVERLAP if seconds is None else min(seconds, LONGEST_OVERLAP)
