"""``planFailover``, ``fence``, ``choose``, ``promote``: a lost primary is replaced.

1. ``planFailover`` asks everybody again: a primary that is well is left alone, one that has been replaced already is
   only taken in again, and where nobody could take over nothing is touched.
2. ``fence``: the source acknowledges no write from here on (``activities.fencing`` says how that is proved).
3. ``choose``: all replicas stop following, so that their positions do not move any more; the furthest is to take over.
   Its name is in the workflow's history before it is made writable, so that a repeat never makes another one so.
4. ``promote``: it becomes writable, the label follows, the others follow it, and exactly one is writable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import fencing
from activities.addresses import node_addresses
from activities.candidates import able_to_take_over, furthest_of, is_well, lossy, quorum, why_not
from activities.events import tell
from activities.platform import permanent
from activities.reach import reachable, reports
from activities.replacing import ASK_WITHIN, Replacing
from activities.status import ConditionChange, StatusChange, tell_step
from activities.takeover import Nodes, component_of, said, to_its_end
from activities.wait import heartbeats
from activities.wanted import Wanted
from api.app import Phase
from api.failover import Chosen, FailoverRequest, Fenced, FenceRequest, PromoteRequest, Takeover
from api.names import LABEL_NODE, LABEL_ROLE, app_labels
from api.operations import OperationType
from api.steps import ErrorType, Step, Target
from clients.agents import AgentError
from render.desired import DesiredComponent

CANDIDATE_WITHIN = 5.0
"""Seconds in which a chosen node that does not run must be back."""


class Failover(Replacing):
    @activity.defn(name=Step.PLAN_FAILOVER)
    async def plan_failover(self, request: FailoverRequest) -> Takeover:
        """What there is to do. Raises NoCandidate where nobody can take over, or only with a loss that is refused."""
        async with heartbeats():
            target = request.target
            want = await self.running(target)
            component = component_of(want.desired, request.component)
            self._check_topology(want, component)
            nodes = await self.nodes(target, component, timeout=ASK_WITHIN)
            source, primary = self._who(request, want, component, nodes)
            if not source:
                return Takeover(target, component.name, message=primary)
            takeover = Takeover(
                target,
                component.name,
                source,
                request.candidate,
                primary,
                request.force,
                request.seen,
                address=request.address,
            )
            if not primary:
                takeover = await self._checked(want, component, nodes, takeover, request.in_sync_since)
            change = StatusChange(
                phase=Phase.UPDATING,
                message=f"Failover: {target.reason}",
                conditions={"Progressing": ConditionChange(True, OperationType.FAILOVER)},
            )
            await tell(self.platform, target, "FailoverStarted", target.reason, warning=True)
            await tell_step(self.platform, target, f"{source} is lost", change)
            return takeover

    def _check_topology(self, want: Wanted, component: DesiredComponent) -> None:
        topology = want.desired.bundle.topology(want.desired.topology)
        if topology.failover != "platform":
            message = (
                f"in topology {topology.name} the engine itself replaces a lost primary; "
                "to move the role while both live, start a Switchover"
            )
            raise permanent(ErrorType.NO_CANDIDATE, message)
        if len(component.nodes) < 2:
            raise permanent(ErrorType.NO_CANDIDATE, f"{component.name} has no other node that could take over")

    def _who(
        self, request: FailoverRequest, want: Wanted, component: DesiredComponent, nodes: Nodes
    ) -> tuple[str, str]:
        """The node to replace and, where another holds the role already, that one. Nothing to do: empty, and why."""
        marked = {each["node"] for each in fencing.fenced_nodes(want.manifest)}
        holders = nodes.holders()
        source = request.node or self._last_holder(request.target, component, nodes)
        if not source:
            raise permanent(ErrorType.NO_CANDIDATE, f"nobody knows who was primary of {component.name}; name the node")
        if all(node.name != source for node in component.nodes):
            return "", f"{component.name} has no node {source} (any more)"
        others = [name for name in holders if name != source and name not in marked]
        labelled = [name for name in self._labelled(request.target, component, nodes) if name not in {source, *marked}]
        if source in holders and source not in marked and others:
            # Two claim it: the later one took over from the other.
            newest = max([source, *others], key=lambda name: nodes.reports[name].epoch)
            return (source, newest) if newest != source else (others[0], source)
        if others or labelled:
            return source, (others or labelled)[0]
        if request.force and request.candidate == source:
            return source, source  # a person knows that nobody has what it has not
        if is_well(nodes.reports.get(source), nodes) and not request.force:
            if source in marked:
                return source, source  # nobody has replaced it: it only has to be let in again
            return "", f"{source} is primary and well; to move the role of a living primary start a Switchover"
        return source, ""

    def _last_holder(self, target: Target, component: DesiredComponent, nodes: Nodes) -> str:
        """Who says so, else who is labelled so, else whose volume remembers it is asked by its name only."""
        found = nodes.holders() or self._labelled(target, component, nodes)
        return found[0] if len(found) == 1 else ""

    def _labelled(self, target: Target, component: DesiredComponent, nodes: Nodes) -> list[str]:
        pods = self.platform.pods.list(target.namespace, app_labels(target.app, component.name))
        labels = [pod["metadata"].get("labels") or {} for pod in pods]
        return sorted({each[LABEL_NODE] for each in labels if each.get(LABEL_ROLE) in nodes.writable})

    async def _checked(
        self, want: Wanted, component: DesiredComponent, nodes: Nodes, takeover: Takeover, in_sync_since: int
    ) -> Takeover:
        """Before anything is touched: somebody could take over. Where nobody can, and an earlier failover has stopped
        the source but made nobody writable, it is the source that serves again."""
        names = {node.name for node in component.nodes} - {takeover.source}
        marked = {each["node"] for each in fencing.fenced_nodes(want.manifest)}
        if takeover.candidate and takeover.candidate not in names:
            message = f"{takeover.candidate} is no node that could take over; those are {', '.join(sorted(names))}"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        since = takeover.seen or in_sync_since or await self._last_writable(takeover)
        replicas = {name: report for name, report in nodes.reports.items() if name in names}
        able = able_to_take_over(replicas, since, lossy=lossy(want, takeover))
        needed = quorum(component)
        nobody = not able or (len(replicas) < needed and not lossy(want, takeover))
        running = takeover.source in reachable(self.platform, takeover.target, [takeover.source])
        if (
            nobody
            and takeover.source in marked
            and running
            and not fencing.successor_of(want.manifest, takeover.source)
        ):
            return replace(takeover, primary=takeover.source)
        if nobody:
            said_by = [f"{name}: {why_not(report, since)}" for name, report in sorted(replicas.items())]
            silent = sorted(names - set(replicas))
            said_by += [f"{name} does not answer" for name in silent]
            message = f"{takeover.source} is lost, and nobody can take over without losing data: {'; '.join(said_by)}"
            if takeover.source in marked:
                message += f"; mw failover --node {takeover.source} --to {takeover.source} --force lets it serve again"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        return takeover

    async def _last_writable(self, takeover: Takeover) -> int:
        """As the source's volume remembers it, unix milliseconds; 0 where nobody can ask."""
        agents = reachable(self.platform, takeover.target, [takeover.source])
        if takeover.source not in agents:
            return 0
        try:
            status = await self.platform.agents.status(agents[takeover.source], timeout=ASK_WITHIN)
        except AgentError:
            return 0
        return int(status.volume.last_writable)

    @activity.defn(name=Step.FENCE)
    async def fence(self, request: FenceRequest) -> Fenced:
        async with heartbeats():
            takeover = request.takeover
            began = time.monotonic()
            want = await self.running(takeover.target)
            component = want.desired.component(takeover.component)
            await fencing.mark(self.platform, takeover)
            proof = fencing.Proof(self.platform, takeover)
            patience = fencing.LEASE_OUT_AFTER + (0 if takeover.seen else fencing.WATCHER_WITHIN)
            stopped = await self._stopped_or_out(takeover, component, proof, patience)
            sentence = stopped or f"its lease has run out ({patience:g} s without renewal)"
            await tell(self.platform, takeover.target, "Fenced", f"{takeover.source}: {sentence}")
            return Fenced(sentence, proof.position, round(time.monotonic() - began, 2), by_lease=not stopped)

    async def _stopped_or_out(
        self, takeover: Takeover, component: DesiredComponent, proof: fencing.Proof, patience: float
    ) -> str:
        """The proof that it has stopped; empty where that is not quick, and the lease that nobody renewed any more has
        run out."""
        began, first = time.monotonic(), asyncio.create_task(proof.attempt(fencing.STOP_WITHIN))
        try:
            await asyncio.wait({first}, timeout=fencing.AT_ONCE)
            if first.done() and (sentence := first.result()):
                return sentence
            positions, _ = await self.detach(takeover, component)
            while len(positions) < quorum(component):
                # Those that follow still could be the majority that renews its lease.
                if time.monotonic() - began > fencing.QUORUM_WITHIN:
                    few = f"only {len(positions)} of {quorum(component)} replicas have stopped following"
                    raise permanent(ErrorType.NO_CANDIDATE, f"{takeover.source} cannot be stopped, and {few}")
                if first.done() and (sentence := first.result() or await proof.attempt(fencing.STOP_WITHIN)):
                    return sentence
                await asyncio.sleep(0.5)
                positions, _ = await self.detach(takeover, component)
            since = time.monotonic()
            return await first or await fencing.wait_out(proof, since, patience)
        finally:
            first.cancel()

    @activity.defn(name=Step.CHOOSE)
    async def choose(self, request: PromoteRequest) -> Chosen:
        """The replica with the most data. Raises NoCandidate, with the source running again, where none may."""
        async with heartbeats():
            takeover = request.takeover
            want = await self.running(takeover.target)
            component = want.desired.component(takeover.component)
            await self.finish_giving_up(takeover, want, component)
            following = await self._in_sync(takeover, component) if request.fenced.by_lease else frozenset()
            positions, refused = await self.detach(takeover, component)
            if following & set(positions):
                await asyncio.sleep(fencing.LEASE_OUT_AFTER)  # one has followed it again, and so renewed its lease
            may_lose = lossy(want, takeover) and not request.fenced.by_lease
            try:
                return self._best(takeover, positions, refused, quorum(component), may_lose)
            except ApplicationError as error:
                await self.give_up(takeover, want, component, error.message)
                raise

    async def _in_sync(self, takeover: Takeover, component: DesiredComponent) -> frozenset[str]:
        nodes = await self.nodes(takeover.target, component, timeout=ASK_WITHIN, without=takeover.source)
        return frozenset(name for name, report in nodes.reports.items() if report.ready)

    def _best(
        self, takeover: Takeover, positions: Mapping[str, int], refused: list[str], needed: int, may_lose: bool
    ) -> Chosen:
        why = f" ({'; '.join(refused)})" if refused else ""
        if not positions or (len(positions) < needed and not may_lose):
            message = f"{len(positions)} of {needed} replicas needed can take over from {takeover.source}{why}"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        furthest = furthest_of(positions)
        candidate = takeover.candidate or furthest
        if candidate not in positions:
            raise permanent(ErrorType.NO_CANDIDATE, f"{candidate} cannot take over{why}")
        behind = positions[furthest] - positions[candidate]
        if behind and not takeover.force:
            message = f"{candidate} is {behind} behind {furthest}; choose that one, or force it"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        return Chosen(candidate, positions[candidate], f"{candidate} has the most data ({positions[candidate]}){why}")

    @activity.defn(name=Step.PROMOTE)
    async def promote(self, request: PromoteRequest) -> None:
        """Makes the chosen node writable and everybody follow it."""
        async with heartbeats():
            takeover, chosen = request.takeover, request.chosen
            want = await self.running(takeover.target)
            component = want.desired.component(takeover.component)
            await self.finish_giving_up(takeover, want, component)
            await tell_step(self.platform, takeover.target, f"{chosen.candidate} takes over from {takeover.source}")
            # Asked to become writable by an earlier attempt, it may be: then there is no way back to the old one.
            if fencing.successor_of(want.manifest, takeover.source) != chosen.candidate:
                await self._await_candidate(request, want, component)
                await fencing.note_successor(self.platform, takeover, chosen.candidate)
            addresses = await node_addresses(self.platform, want.desired)
            await to_its_end(self._promote(request, component, addresses))
            message = f"{chosen.candidate} has taken over from {takeover.source}: {chosen.message}"
            await tell(self.platform, takeover.target, "FailedOver", message)

    async def _await_candidate(self, request: PromoteRequest, want: Wanted, component: DesiredComponent) -> None:
        """Until its engine runs. Should it have ended just now it comes back only when there is a primary: then the
        source has to be it again. Raises NoCandidate."""
        takeover, candidate = request.takeover, request.chosen.candidate
        deadline = time.monotonic() + CANDIDATE_WITHIN
        while True:
            agents = reachable(self.platform, takeover.target, [candidate])
            if candidate in await reports(self.platform, agents, timeout=ASK_WITHIN):
                return
            if time.monotonic() > deadline:
                message = f"{candidate} was chosen and has ended before it took over; {takeover.source} serves again"
                await self.give_up(takeover, want, component, message)
                raise permanent(ErrorType.NO_CANDIDATE, message)
            await asyncio.sleep(0.2)

    async def _promote(
        self, request: PromoteRequest, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> None:
        takeover, candidate = request.takeover, request.chosen.candidate
        target = takeover.target
        others = [node.name for node in component.nodes if node.name != takeover.source]
        agents = reachable(self.platform, target, others)
        if candidate not in agents:
            raise ApplicationError(f"{candidate} was chosen and does not run now; waiting until it does")
        await self.note_final(target, candidate)
        await self.fail_over(agents[candidate], addresses[takeover.source])
        await self.labelled(target, component, candidate)
        await self.follow_all(target, component, {candidate, takeover.source}, addresses[candidate])
        nodes = await self.nodes(target, component, timeout=ASK_WITHIN, without=takeover.source)
        holders = nodes.holders()
        if holders != [candidate]:
            raise ApplicationError(f"after the move {said(holders)}; it should be {candidate} alone")
