"""A volume that the engine of a lower version cannot read is made anew; its data comes from the peers.

1. Only while another node serves that it can copy: a volume is never thrown away with the last copy.
2. Whether the engine of a higher version has had a volume is noted while its Pod is waited for. Who interrupts that
   wait (an abort, a newer spec) may do so in the moment before the engine starts, and Redis 7.0 never starts on what
   8.0 wrote in it. So a Pod of a higher version that nobody has seen at work is stopped first: the kubelet's last word
   on it says whether its engine's container was ever made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable, reports
from activities.app.desired import StepContext
from activities.app.wait_ready import NodeWaiter
from activities.cluster.apply import check_own
from activities.cluster.state import update_members
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from api.names import ANNOTATION_APP_UID, API_GROUP, MIDDLEWARE_CONTAINER, app_labels, group_name
from api.steps import ErrorType, NodeStep
from clients.pod_reason import container_status
from clients.resources import DEPLOYMENT, POD, VOLUME_CLAIM, Manifest
from language.versions import version_key
from render.desired.app import DesiredComponent, DesiredGroup, DesiredNode
from render.desired.state_edits import Members, engine_ran, had, wiped
from render.manifests.deployments import VERSION_LABEL, version_of
from render.manifests.objects import node_volume_claim
from render.plugin.bundle import PluginBundle
from render.validation.transitions import unreadable

WIPED_FOR = f"{API_GROUP}/wiped-for"
"""On a claim: the operation that made it anew, so that a repeat of the step does not throw the copy away again."""
COPY_WITHIN = 45.0
"""Seconds in which a node must serve that can be copied: an engine that was killed just now is back by then."""
_STOP_SECONDS = 120.0
"""For a Pod to be gone: its grace period, and a busy machine."""


def cannot_read(bundle: PluginBundle, version: str, data: str) -> bool:
    """Whether ``data`` is of a higher version, and the plugin does not say that ``version`` can read what it wrote."""
    return bool(data) and version_key(version) < version_key(data) and bool(unreadable(bundle, data, version))


class Volume:
    """The volume of one node that is about to be given a Pod of ``node.runtime_version``."""

    def __init__(
        self,
        platform: Platform,
        step: NodeStep,
        want: StepContext,
        component: DesiredComponent,
        group: DesiredGroup,
        node: DesiredNode,
    ) -> None:
        self._platform, self._step, self._want = platform, step, want
        self._component, self._node = component, node
        self._claim = node_volume_claim(want.desired, component, group, node)
        self._members = want.live.state.members

    async def turns_out_unreadable(self) -> bool:
        """Stops the node where that is the only way to know. What it finds is noted."""
        if self._claim is None:
            return False
        member, target = self._members.get(self._node.name), self._step.target
        live = await self._platform.kubernetes.get(DEPLOYMENT, self._node.name, target.namespace)
        newer = version_of(live)
        if self.cannot_read(had(member, newer)):
            return True  # noted after the plan was made
        if live is None or member is None or not member.unverified or not self.cannot_read(newer):
            return False
        async with self._started_again_if_interrupted():
            begun = await self._had_begun(newer, stopped_before=live["spec"].get("replicas") == 0)
        if begun:
            await self._note(lambda before: engine_ran(before, self._node.name, newer))
        return begun

    async def empty(self) -> None:
        """Idempotent in one operation. Raises ApplicationError NodeStuck where no other node has the data."""
        kubernetes, target, name = self._platform.kubernetes, self._step.target, self._node.name
        live = await kubernetes.get(VOLUME_CLAIM, name, target.namespace)
        if self._claim is None:
            return
        if _annotation(live, WIPED_FOR) == target.workflow_id:
            await self._note(lambda before: wiped(before, name))
            return
        await self._only_a_copy()
        await tell_step(self._platform, target, f"{name}: begin with an empty volume")
        await kubernetes.patch(DEPLOYMENT, name, target.namespace, {"spec": {"replicas": 0}})
        waiter = NodeWaiter(self._platform, target, f"{name}: wait until it has stopped", [name], replicas=0)
        await waiter.until(lambda state: state.pod is None)
        if live is not None:
            check_own(target, live)
            await kubernetes.delete(VOLUME_CLAIM, name, target.namespace, uid=live["metadata"]["uid"])
            if await kubernetes.get(VOLUME_CLAIM, name, target.namespace) is not None:
                raise ApplicationError(f"the volume of {name} is still being removed")
        self._claim["metadata"]["annotations"] = {ANNOTATION_APP_UID: target.uid, WIPED_FOR: target.workflow_id}
        await kubernetes.create(self._claim)
        await self._note(lambda before: wiped(before, name))

    async def _had_begun(self, version: str, *, stopped_before: bool) -> bool:
        """Stops the node's Pods of ``version``; whether any of them has come as far as its engine's container.
        ``stopped_before``: by an attempt that told nobody what it saw, so that the worst is taken of what is gone."""
        kubernetes, target, name = self._platform.kubernetes, self._step.target, self._node.name
        labels = {**app_labels(target.app, node=name), VERSION_LABEL: version}
        await tell_step(self._platform, target, f"{name}: stop it, to know whether version {version} has begun")
        first, revision = await kubernetes.list(POD, target.namespace, labels=labels)
        stopped = await kubernetes.patch(DEPLOYMENT, name, target.namespace, {"spec": {"replicas": 0}})
        await self._observed(int(stopped["metadata"].get("generation", 0)))
        second, _ = await kubernetes.list(POD, target.namespace, labels=labels)
        earlier = self._platform.terminated_pods.of(target.namespace, labels)
        if any(map(_container_made, [*earlier, *first, *second])):
            return True
        left = {str(pod["metadata"]["uid"]) for pod in [*first, *second]}
        if not left:
            return stopped_before and not earlier
        # From the first list on, so that the last state of each is among what comes.
        watch = kubernetes.watch(POD, target.namespace, revision, labels=labels, seconds=_STOP_SECONDS)
        async for change, pod in watch:
            if change == "BOOKMARK":
                continue
            if _container_made(pod):
                return True
            uid = str(pod["metadata"]["uid"])
            left = left - {uid} if change == "DELETED" else left | {uid}
            if not left:
                return False
        raise ApplicationError(f"the Pod of {name} is still being stopped")

    async def _observed(self, generation: int) -> None:
        def observed() -> bool | None:
            live = self._platform.deployments.get(self._step.target.namespace, self._node.name) or {}
            return int((live.get("status") or {}).get("observedGeneration", 0)) >= generation or None

        namespace = self._step.target.namespace
        try:
            await self._platform.deployments.wait_for(observed, _STOP_SECONDS, namespace=namespace)
        except TimeoutError as error:
            message = f"Kubernetes does not follow the Deployment {self._node.name}: does its controller manager run?"
            raise ApplicationError(message) from error

    async def _only_a_copy(self) -> None:
        """A volume is thrown away only while another node serves from which this one can have its data again. One that
        was lost just now is given time to come back."""
        name = self._node.name
        others = [each.name for each in self._component.nodes if each.name != name]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (COPY_WITHIN if others else 0)
        async with self._started_again_if_interrupted():
            while not await self._can_be_copied(others):
                if loop.time() >= deadline:
                    await self._start_again()  # it serves on as it was, if it did
                    message = f"{name} would begin with an empty volume, but no other node serves that it could copy"
                    raise permanent(ErrorType.NODE_STUCK, f"{message}; not done")
                await asyncio.sleep(1)

    @asynccontextmanager
    async def _started_again_if_interrupted(self) -> AsyncIterator[None]:
        """Or the node would stay stopped for as long as what goes before this step takes."""
        try:
            yield
        except asyncio.CancelledError:
            await self._start_again()
            raise

    async def _start_again(self) -> None:
        live = await self._platform.kubernetes.get(DEPLOYMENT, self._step.node, self._step.target.namespace)
        if live is not None and live["spec"].get("replicas") == 0:
            namespace = self._step.target.namespace
            await self._platform.kubernetes.patch(DEPLOYMENT, self._step.node, namespace, {"spec": {"replicas": 1}})

    async def _can_be_copied(self, others: list[str]) -> bool:
        """By the one that is writable, where the component has such a role, of no higher version than this one will
        be."""
        platform, target = self._platform, self._step.target
        writable = {role.name for role in self._component.definition.roles if role.writable}
        serving = []
        for other, report in (await reports(platform, reachable(platform, target, others))).items():
            runs = version_of(platform.deployments.get(target.namespace, other))
            data = had(self._members.get(other), runs)
            readable = not data or version_key(data) <= version_key(self._node.runtime_version)
            if report.ready and readable and (not writable or report.role in writable):
                serving.append(other)
        return bool(serving) and (not writable or len(serving) == 1)

    def cannot_read(self, data: str) -> bool:
        """Whether ``data`` is of a higher version that the engine may not be given."""
        return cannot_read(self._want.desired.bundle, self._node.runtime_version, data)

    async def _note(self, change: Callable[[Members], Members]) -> None:
        step = self._step
        group = group_name(step.target.app, step.component, step.group)
        await update_members(self._platform, step.target.namespace, group, change)


def _container_made(pod: Manifest) -> bool:
    """Whether the engine's container was ever made in it. One that never was has no id, also after its end, for which
    the kubelet then gives a made-up exit code (reason ContainerStatusUnknown)."""
    status = container_status(pod, MIDDLEWARE_CONTAINER)
    return bool(status.get("containerID")) or bool({"running"} & set(status.get("state") or {}))


def _annotation(manifest: Mapping[str, Any] | None, name: str) -> str:
    return str(((manifest or {}).get("metadata", {}).get("annotations") or {}).get(name, ""))
