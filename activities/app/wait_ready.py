"""Waiting for nodes through the shared watch, telling why it takes long, without an end of its own.

The reason goes into the App's status and an Event; when its cause is gone the wait goes on by itself.

Whoever may edit Deployments can scale the node's to none, or pause it, in the middle of the wait: no Pod would come,
and Kubernetes complains of nothing. So a wait keeps the Deployments as it needs them. One that was deleted is named as
the reason, and a Repair makes it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from temporalio import activity

from activities.agents.agent_targets import agent_of, node_states
from activities.agents.engine_state import engine_state
from activities.agents.node_state import NodeState, summary
from activities.agents.unbound_claim import waits_for_a_machine, why_unbound
from activities.app.desired import desired_for
from activities.cluster.apply import check_owner
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from activities.interceptors.retry_status import tell_going_on, tell_waiting
from api.names import app_labels
from api.steps import ErrorType, GroupStep, Step, Target
from clients.agents import AgentError
from clients.errors import ConflictError, NotFoundError
from clients.resources import DEPLOYMENT, Manifest

_STEADY_SECONDS = 2.0
"""A reason counts when it has stood for this long: every start passes through some that mean nothing."""
STUCK_AFTER = 45.0
"""Seconds for which Kubernetes may complain of a Pod, or its engine keep ending, before an operator is asked: longer
than an image's first retries."""
_QUIET_SECONDS = 20.0
"""A Pod of which nothing is said for this long has got over it; one that crashes again and again is quiet while it
starts."""
_ASK_AGENT_AFTER = 8.0
"""Seconds after which a Pod that runs without being ready is asked for the engine's own reason."""
_ASK_CLAIM_EVERY = 10.0
_AGENT_IS_DUE_AFTER = 60.0
"""Seconds after which an agent that does not answer is a reason; before, it may just be starting on a busy machine."""
DEPLOYMENT_GONE = "its Deployment is gone, and a Repair makes it anew"


class NodeWaiter:
    """Waits until all of some nodes satisfy a condition, and keeps the App's status telling why they do not yet.
    ``replicas``: of the nodes' Deployments meanwhile, 0 where their Pods are to go; None: as they are, since another
    operation decides."""

    def __init__(
        self, platform: Platform, target: Target, step: str, nodes: Sequence[str], *, replicas: int | None = 1
    ) -> None:
        self._platform, self._target, self._step, self._nodes = platform, target, step, nodes
        self._replicas = replicas
        self._told = ""
        self._since: tuple[str, float] = ("", 0.0)
        self._complaining = self._complained = 0.0
        self._unbound: dict[str, tuple[str, float]] = {}
        """By node: why its volume is not there, and when that was asked."""

    def states(self) -> list[NodeState]:
        """From the caches of the shared watches."""
        target = self._target
        return list(node_states(self._platform, target.namespace, target.app, self._nodes).values())

    async def until(
        self, satisfied: Callable[[NodeState], bool], *, stuck_after: float | None = None
    ) -> list[NodeState]:
        """Returns when all are. Only a cancellation ends it earlier, and, with ``stuck_after`` (seconds), a Pod of
        which Kubernetes has complained for so long, or whose engine has kept ending: raises ApplicationError NodeStuck
        then, and at once UnreadableVolume where an engine may not be given its volume, which no time cures."""
        await self._platform.deployments.synced(30)
        await self._platform.pods.synced(30)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            states = await self._changed(satisfied)
            if all(map(satisfied, states)):
                await self._tell("")
                return states
            left = [state for state in states if not satisfied(state)]
            left = await together(self._kept(state) for state in left)
            left = await together(self._explained(state, loop.time()) for state in left)
            waited, asked = loop.time() - began, left
            if waited > _ASK_AGENT_AFTER:
                asked = await together(self._asked(state, due=waited > _AGENT_IS_DUE_AFTER) for state in left)
            told = [now for before, now in zip(left, asked, strict=True) if before.reason or now.keeps_ending]
            if stuck_after is not None and (unreadable := [each for each in asked if each.unreadable]):
                raise permanent(ErrorType.UNREADABLE_VOLUME, summary(unreadable), unreadable[0].unreadable)
            self._give_up(told, loop.time(), stuck_after)
            await self._consider(summary(asked), loop.time())

    async def keep(self) -> None:
        """Once: the Deployments of those that do not run are put back as the nodes need them. For a step that asks
        engines, and is tried again until they answer."""
        await together(self._kept(state) for state in self.states() if not state.running)

    def _give_up(self, left: Sequence[NodeState], now: float, stuck_after: float | None) -> None:
        # Only what Kubernetes says of a Pod, and that an engine keeps ending: one that copies much data is slow, not
        # stuck. Whatever is said: the words for one and the same missing image change with each attempt to pull it.
        reason = summary(left)
        if reason:
            self._complaining, self._complained = self._complaining or now, now
        elif now - self._complained > _QUIET_SECONDS:
            self._complaining = 0.0
        if stuck_after is not None and reason and now - self._complaining >= stuck_after:
            raise permanent(ErrorType.NODE_STUCK, reason)

    async def _changed(self, satisfied: Callable[[NodeState], bool]) -> list[NodeState]:
        """The states as soon as all are satisfied, else as they are after a moment."""

        def done() -> list[NodeState] | None:
            states = self.states()
            return states if all(map(satisfied, states)) else None

        target = self._target
        selected = {"namespace": target.namespace, "labels": app_labels(target.app)}
        waits = [
            asyncio.ensure_future(watch.wait_for(done, _STEADY_SECONDS, **selected))  # type: ignore[arg-type]
            for watch in (self._platform.pods, self._platform.deployments)
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return self.states()

    async def _kept(self, state: NodeState) -> NodeState:
        """Its Deployment put back where somebody has changed what this wait needs; the cache may be behind, so the
        live one decides. With the cause where there is none."""
        platform, namespace = self._platform, self._target.namespace
        cached = platform.deployments.get(namespace, state.node)
        if self._replicas is None or (cached is not None and not self._changed_under_it(cached)):
            return state
        live = await platform.kubernetes.get(DEPLOYMENT, state.node, namespace)
        if live is None:
            return replace(state, reason=state.reason or DEPLOYMENT_GONE) if self._replicas else state
        if not (changed := self._changed_under_it(live)) or live["metadata"].get("deletionTimestamp"):
            return state
        check_owner(self._target, live)
        # With the version: who writes it just now knows better, and is seen at the next look.
        change = {
            "metadata": {"resourceVersion": live["metadata"]["resourceVersion"]},
            "spec": {"replicas": self._replicas, "paused": False},
        }
        try:
            await platform.kubernetes.patch(DEPLOYMENT, state.node, namespace, change)
        except (ConflictError, NotFoundError):
            return state
        message = f"the Deployment {state.node} was {changed} while its Pod is waited for, and is put back"
        await tell(platform, self._target, "DeploymentPutBack", message, warning=True)
        return state

    def _changed_under_it(self, deployment: Manifest) -> str:
        """What somebody has done to it; empty where it is as the wait needs it."""
        spec = deployment.get("spec") or {}
        replicas = int(spec.get("replicas", 1))
        if bool(replicas) != bool(self._replicas):
            return f"scaled to {replicas or 'none'}"
        return "paused" if spec.get("paused") else ""

    async def _explained(self, state: NodeState, now: float) -> NodeState:
        """With the cause where a Pod finds no machine since its volume is not there."""
        if not waits_for_a_machine(state.pod):
            return state
        known, asked = self._unbound.get(state.node, ("", -_ASK_CLAIM_EVERY))
        if now - asked >= _ASK_CLAIM_EVERY:
            known = await why_unbound(self._platform, self._target.namespace, state.node)
            self._unbound[state.node] = known, now
        return NodeState(state.node, False, known, state.pod) if known else state

    async def _asked(self, state: NodeState, *, due: bool) -> NodeState:
        if state.reason or not state.running or not state.address:
            return state
        try:
            engine = await engine_state(self._platform, agent_of(self._target, state), timeout=2.0)
        except AgentError as error:
            reason = f"its agents do not answer ({error.code.name})" if due else ""
            return NodeState(state.node, False, reason, state.pod)
        if not engine.why:
            return state
        return NodeState(
            state.node,
            False,
            engine.why,
            state.pod,
            keeps_ending=engine.keeps_ending,
            unreadable=engine.unreadable,
        )

    async def _consider(self, reason: str, now: float) -> None:
        if reason != self._since[0]:
            self._since = (reason, now)
        if now - self._since[1] >= _STEADY_SECONDS or not reason:
            await self._tell(reason)

    async def _tell(self, reason: str) -> None:
        if reason == self._told:
            return
        platform, target = self._platform, self._target
        if reason:
            await tell(platform, target, "Waiting", reason, warning=True)
            await tell_waiting(platform, target, self._step, reason)
        else:
            await tell_going_on(platform, target, self._step)
        self._told = reason


class Wait:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.WAIT_READY)
    async def wait_ready(self, step: GroupStep) -> None:
        want = await desired_for(self._platform, step.target)
        group = want.desired.component(step.component).group(step.group)
        names = [node.name for node in group.nodes if not step.nodes or node.name in step.nodes]
        name = f"{step.component}/{step.group}: wait until ready"
        await tell_step(self._platform, step.target, name)
        waiter = NodeWaiter(self._platform, step.target, name, names)
        await waiter.until(lambda state: state.ready)
