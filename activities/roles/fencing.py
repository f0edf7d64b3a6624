"""Proving that a lost primary acknowledges no write any more, before anybody takes over from it.

1. The node is named in the App's status (``fenced``). From then on the watcher neither renews its lease nor sends
   clients to it, and whatever becomes of this operation, that stays so until the node is taken in again.
2. Its agent 1 is told to stop the engine, on each of its Pods that can be reached, and where its last Pod was: one that
   was deleted by force may run on for a while, and serve who is connected. A stop is remembered on the volume, so a
   successor of the Pod does not start it either. An engine that answers nothing is killed. Where its machine says that
   it has ended (``activities.terminated_pods``), that is as good, while no other Pod of the node has begun. One that
   comes next does not begin by its own record (``agent.lease.gate``): it needs the watcher's word, which reads the mark
   from the API server first, or that of replicas which follow it still. So when all replicas have stopped following it
   is looked for once more (``Proof.none_began``), and stopped, or its lease waited out.
3. Where that is no proof (nobody answers; only a Pod answers that was made later; the Pod is gone, which says nothing
   of its processes), its lease is waited out: the replicas stop following first, so nobody renews it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from activities.agents.agent_targets import remembered_position
from activities.cluster.gather import together
from activities.cluster.status import StatusChange, tell_step, write_status
from activities.dependencies import Platform
from activities.terminated_pods import engine_ended, engine_is_untold, engine_may_run
from api.failover import Takeover
from api.names import app_labels
from api.steps import Target
from clients.agents import AgentError, AgentTarget
from clients.resources import APP, POD, Manifest
from language.positions import Position
from proto import agent_pb2
from render.manifests.node import LEASE_SECONDS

LEASE_OUT_AFTER = LEASE_SECONDS + 2.0
"""Seconds after the last renewal at which an agent has surely stopped the writes (``agent.lease.keeper``)."""
WATCHER_WITHIN = 10.0
"""A watcher that has not raised the suspicion itself learns from the App's status that it may not renew; one that
cannot read the API server has ended by then (``watcher.leader_election.Timing``)."""
STOP_GRACE = 0.5
"""Seconds between the stop signal and KILL: the node does not serve, and every second counts."""
STOP_WITHIN = 2.0
"""Seconds for an agent that can be reached to stop its engine, KILL included."""
QUORUM_WITHIN = 40.0
"""Seconds in which enough replicas must have stopped following. Else the operation ends, and the source stays fenced:
it is let in again, or replaced, by the next one, which the watcher asks for while nobody holds the role."""
AT_ONCE = 0.8
"""Where that is not done so soon, the replicas stop following meanwhile, and the lease begins to run out."""
_AGAIN = 0.2
_WHOLE_SECOND = 1.0
"""The API server cuts the time of creation down to it."""
_ENDED = frozenset({agent_pb2.ProcessState.STOPPED, agent_pb2.ProcessState.HELD})
"""What an agent says when no process of the engine is left. One that cannot end them all says so, and is no proof."""


Entry = dict[str, Any]


async def mark(platform: Platform, takeover: Takeover) -> None:
    """Names the source in the App's status; more than once does no harm."""
    target = takeover.target
    entry = {
        "node": takeover.source,
        "component": takeover.component,
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": target.reason[:500],
    }

    def marked(entries: list[Entry]) -> list[Entry]:
        return entries if any(each["node"] == takeover.source for each in entries) else [*entries, entry]

    await _edit(platform, target, marked)
    await tell_step(platform, target, f"{takeover.source}: stop its writes")


async def unmark(platform: Platform, target: Target, node: str) -> None:
    await _edit(platform, target, lambda entries: [each for each in entries if each["node"] != node])


async def note_successor(platform: Platform, takeover: Takeover, candidate: str) -> None:
    """Before it is asked: from then on it may have writes that the source has not."""

    def noted(entries: list[Entry]) -> list[Entry]:
        return [{**each, "successor": candidate} if each["node"] == takeover.source else each for each in entries]

    await _edit(platform, takeover.target, noted)


async def _edit(platform: Platform, target: Target, change: Callable[[list[Entry]], list[Entry]]) -> None:
    app = await platform.kubernetes.get(APP, target.app, target.namespace)
    if app is None or app["metadata"]["uid"] != target.uid:
        return
    wanted = change(fenced_nodes(app))
    if wanted != fenced_nodes(app):
        await write_status(platform, app, StatusChange(fenced=wanted))


def fenced_nodes(app: Manifest) -> list[Entry]:
    return list((app.get("status") or {}).get("fenced") or [])


def successor_of(app: Manifest, node: str) -> str:
    """Who was asked to become writable in the place of ``node``, empty for nobody."""
    return next((str(each.get("successor") or "") for each in fenced_nodes(app) if each["node"] == node), "")


def stopped(app: Manifest) -> set[str]:
    """Names of nodes of which it was proved that they acknowledge no write any more: their successors were asked."""
    return {str(each["node"]) for each in fenced_nodes(app) if each.get("successor")}


class Proof:
    """Collects what is known of the source's engine. ``lost_at``: unix seconds when it was last known to be well; a Pod
    made after that says nothing about the one before. Nor does one at another address than the holder had: the API
    server's clock, which dates Pods, is not the watcher's."""

    def __init__(self, platform: Platform, takeover: Takeover) -> None:
        self._platform, self._takeover = platform, takeover
        self._lost_at = takeover.seen / 1000
        self._labels = app_labels(takeover.target.app, takeover.component, node=takeover.source)
        self.position = Position()
        self.by_machine = False
        """The last proof is of the Pod that ended, not of the node."""

    async def attempt(self, timeout: float) -> str:
        """Stops what can be stopped within ``timeout`` seconds; the proof, or empty. What the machine tells meanwhile
        counts at once: an agent that ends with its Pod may take a call and never answer it."""
        told, asked = asyncio.create_task(self._told(timeout)), asyncio.create_task(self._stopped(timeout))
        try:
            await asyncio.wait({told, asked}, return_when=asyncio.FIRST_COMPLETED)
            by_machine = told.result() if told.done() else ""
            self.by_machine = bool(by_machine)
            return by_machine or await asked
        finally:
            for task in (told, asked):
                task.cancel()
            await asyncio.gather(told, asked, return_exceptions=True)

    async def _told(self, timeout: float) -> str:
        """Waits for the machine to say that the engine has ended, while no other of the node may run."""
        source, pods = self._takeover.source, self._platform.pods

        def ended() -> str | None:
            others = [pod for pod in self._pods() if self._is_the_lost_one(pod) or engine_may_run(pod)]
            return f"{source} has ended, as its machine says" if self._lost_has_ended() and not others else None

        try:
            return await pods.wait_for(ended, timeout, namespace=self._takeover.target.namespace, labels=self._labels)
        except TimeoutError:
            return ""

    async def none_began(self) -> bool:
        """Whether no engine of the node can run, when its Pod had ended and all replicas have stopped following: what
        came since is stopped, or has not begun. Asks the API server, as the watch may be behind."""
        takeover = self._takeover
        found, _ = await self._platform.kubernetes.list(POD, takeover.target.namespace, labels=self._labels)
        answers = await together(self._cannot_begin(pod) for pod in found if _may_live(pod))
        return all(answers)

    async def _cannot_begin(self, pod: Manifest) -> bool:
        address = str((pod.get("status") or {}).get("podIP") or "")
        if address and await self._stop_at(self._agent_at(address), str(pod["metadata"]["uid"]), STOP_WITHIN):
            return True
        # The kubelet tells within a second that a container runs; its agent asks the platform first, for five. One that
        # has told nothing at all may be cut off.
        return not engine_may_run(pod) and not engine_is_untold(pod)

    def _lost_has_ended(self) -> bool:
        found = self._platform.terminated_pods.of(self._takeover.target.namespace, self._labels)
        return any(self._is_the_lost_one(pod) for pod in found)

    def _pods(self) -> list[Manifest]:
        """All Pods of the node whose engine is not known to have ended, terminating ones too."""
        found = self._platform.pods.list(self._takeover.target.namespace, self._labels)
        return [pod for pod in found if _may_live(pod)]

    async def _stopped(self, timeout: float) -> str:
        takeover, running = self._takeover, self._pods()
        answers = await together(self._stop(pod, timeout) for pod in running)
        if await self._stopped_where_it_was(running, timeout):
            return f"its agent has stopped it ({takeover.source}, of whose Pod nobody knows any more)"
        lost = any(self._is_the_lost_one(pod) for pod in running) or self._lost_has_ended()
        if running and lost and all(answers):
            return f"its agent has stopped it ({takeover.source})"
        if running and all(answer == "started" for answer in answers):
            return f"another Pod of {takeover.source} had its volume since, and was stopped"
        return ""

    async def _stopped_where_it_was(self, pods: Sequence[Manifest], timeout: float) -> bool:
        """Only where somebody answers there who says that he is the node: addresses are given away again."""
        address, takeover = self._takeover.address, self._takeover
        if not address or any((pod.get("status") or {}).get("podIP") == address for pod in pods):
            return False
        agent = self._agent_at(address)
        try:
            report = await self._platform.agents.role(agent, timeout=timeout)
        except AgentError:
            return False
        return report.node == takeover.source and bool(await self._stop_at(agent, address, timeout))

    def _is_the_lost_one(self, pod: Manifest) -> bool:
        address, lost = str((pod.get("status") or {}).get("podIP") or ""), self._takeover.address
        if not self._lost_at or (address and lost and address != lost):
            return False
        made = datetime.fromisoformat(str(pod["metadata"]["creationTimestamp"])).timestamp()
        return made + _WHOLE_SECOND <= self._lost_at

    async def _stop(self, pod: Manifest, timeout: float) -> str:
        """``stopped``; ``started`` where this very Pod had the volume, and so nobody else has it; empty: not known."""
        address = str((pod.get("status") or {}).get("podIP") or "")
        if not address:
            return ""
        return await self._stop_at(self._agent_at(address), str(pod["metadata"]["uid"]), timeout)

    def _agent_at(self, address: str) -> AgentTarget:
        target = self._takeover.target
        return AgentTarget(target.namespace, target.app, self._takeover.source, address)

    async def _stop_at(self, agent: AgentTarget, which: str, timeout: float) -> str:
        request_id = f"{activity.info().workflow_run_id}/fence/{which}"
        try:
            status = await self._platform.agents.stop(agent, request_id, grace=STOP_GRACE, timeout=timeout)
        except AgentError:
            return ""
        remembered = remembered_position(status.volume)
        if not self.position.reaches(remembered):
            self.position = remembered
        if status.state not in _ENDED:
            return ""
        return "started" if status.starts else "stopped"


def _may_live(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded") and not engine_ended(pod)


async def wait_out(proof: Proof, since: float, seconds: float) -> str:
    """The proof; empty where the lease has run out before, ``seconds`` after ``since`` by the event loop's clock."""
    loop = asyncio.get_running_loop()
    while True:
        left = since + seconds - loop.time()
        found = await proof.attempt(min(max(left, _AGAIN), STOP_WITHIN))
        left = since + seconds - loop.time()
        if found or left <= 0:
            return found
        await asyncio.sleep(min(_AGAIN, left))
