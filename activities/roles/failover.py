"""``planFailover``, ``fence``, ``choose``: a lost primary is to be replaced.

1. ``planFailover`` asks everybody again: a primary that is well is left alone, one that has been replaced already is
   only taken in again, and where nobody could take over nothing is touched.
2. ``fence``: the source acknowledges no write from here on (``activities.roles.fencing`` says how that is proved).
3. ``choose``: all replicas stop following, so that their positions do not move any more; the furthest is to take over.
   Its name is in the workflow's history before it is made writable, so that a repeat never makes another one so.
   Where none runs, as a replica waits for a primary before it starts, the one whose volume remembers the most.
4. ``activities.roles.promote``: it becomes writable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable
from activities.app import bootstrap
from activities.app.desired import StepContext
from activities.cluster.events import tell
from activities.cluster.lost_pods import remove_lost_pods
from activities.cluster.moving import described, end_left, may_be_under_way, moves_of
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import permanent
from activities.progress.replaceable import why_never_replaced
from activities.roles import fencing
from activities.roles.blocked_replicas import Statuses, start_again, waiting
from activities.roles.candidates import (
    LOST_FOR,
    able_to_lead,
    able_to_take_over,
    because,
    best_of,
    is_well,
    lossy,
    set_aside,
    unheard,
    why_not,
)
from activities.roles.failover_base import ASK_WITHIN, FailoverBase
from activities.roles.role_moves import Nodes, component_of, quorum
from api.app import Phase
from api.failover import Chosen, FailoverRequest, Fenced, FenceRequest, PromoteRequest, Takeover
from api.names import app_labels
from api.operations import OperationType
from api.steps import ErrorType, Step, Target
from clients.agents import AgentError
from language.positions import Position
from proto import agent_pb2
from render.desired.app import DesiredComponent


class Failover(FailoverBase):
    @activity.defn(name=Step.PLAN_FAILOVER)
    async def plan_failover(self, request: FailoverRequest) -> Takeover:
        """What there is to do. Raises NoCandidate where nobody can take over, or only with a loss that is refused: of
        what a person asked for an Event tells that, as the App's status does not."""
        try:
            return await self._planned(request)
        except ApplicationError as error:
            if request.asked and error.type == ErrorType.NO_CANDIDATE:
                await tell(self.platform, request.target, "FailoverRefused", error.message, warning=True)
            raise

    async def _planned(self, request: FailoverRequest) -> Takeover:
        target = request.target
        want = await self.running(target)
        component = component_of(want.desired, request.component)
        self._check_topology(want, component)
        await self._free(request, component)
        asked_at = int(time.time() * 1000)
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
            well = request.seen or await self._last_writable(takeover)
            takeover = replace(takeover, well=well)
            takeover = await self._checked(want, component, nodes, takeover, request.in_sync_since, asked_at)
            if not takeover.source:
                return takeover
        if request.force and primary:  # a person has decided whose writes count; else that is decided in promote
            await end_left(self.platform, target, moves_of(want.manifest, component.name))
        if want.live.deployed is None:
            await bootstrap.end_before_deployed(self.platform, target, want.desired, component)
        change = StatusChange(
            phase=Phase.UPDATING,
            message=f"Failover: {target.reason}",
            conditions={"Progressing": ConditionChange(True, OperationType.FAILOVER)},
        )
        await tell(self.platform, target, "FailoverStarted", target.reason, warning=True)
        await tell_step(self.platform, target, f"{source} is lost", change)
        return takeover

    async def _free(self, request: FailoverRequest, component: DesiredComponent) -> None:
        """Where the Pod that was lost is not there any more it may run on without its labels; then no other Pod of its
        node, nor one of a replica to which that has happened too, gets the data that it must show."""
        target = request.target
        pods = self.platform.pods.list(target.namespace, app_labels(target.app, component.name, node=request.node))
        if not any((pod.get("status") or {}).get("podIP") == request.address for pod in pods):
            await remove_lost_pods(self.platform, target, {node.name for node in component.nodes})

    def _check_topology(self, want: StepContext, component: DesiredComponent) -> None:
        if never := why_never_replaced(want.desired.bundle, want.desired.topology):
            raise permanent(ErrorType.NO_CANDIDATE, never)
        if want.live.deployed is None and component.name not in want.live.holders:
            raise permanent(ErrorType.NO_CANDIDATE, f"{component.name} has had no primary yet that could be lost")
        if len(component.nodes) < 2:
            raise permanent(ErrorType.NO_CANDIDATE, f"{component.name} has no other node that could take over")

    def _who(
        self, request: FailoverRequest, want: StepContext, component: DesiredComponent, nodes: Nodes
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
        labelled = [name for name in self.labelled_nodes(request.target, component) if name not in {source, *marked}]
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
        found = nodes.holders() or self.labelled_nodes(target, component)
        return found[0] if len(found) == 1 else ""

    async def _checked(
        self,
        want: StepContext,
        component: DesiredComponent,
        nodes: Nodes,
        takeover: Takeover,
        in_sync_since: int,
        asked_at: int,
    ) -> Takeover:
        """Before anything is touched: somebody could take over. Where nobody can, and an earlier failover has stopped
        the source but made nobody writable, it is the source that serves again; and where the source is back by itself
        and waits for the word that it may, it gets that, and there is nothing more to do."""
        names = {node.name for node in component.nodes} - {takeover.source}
        marked = {each["node"] for each in fencing.fenced_nodes(want.manifest)}
        if takeover.candidate and takeover.candidate not in names:
            message = f"{takeover.candidate} is no node that could take over; those are {', '.join(sorted(names))}"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        since = takeover.seen or in_sync_since or takeover.well
        may_lose = lossy(want, takeover)
        replicas = {name: report for name, report in nodes.reports.items() if name in names}
        silent = {name: agent for name, agent in nodes.agents.items() if name in names - set(replicas)}
        statuses = await waiting(self.platform, silent)
        if (goes_on := await self._after_a_move(want, component, nodes, takeover, statuses)) is not None:
            return goes_on
        waits = self.judged(want, component, takeover, statuses)
        able = able_to_take_over(replicas, since, asked_at, lossy=may_lose)
        away = time.time() * 1000 - (takeover.seen or in_sync_since)
        able += able_to_lead(waits, lossy=may_lose and (takeover.force or away >= LOST_FOR))
        if able and (len(replicas) + len(waits) >= quorum(component) or may_lose):
            return takeover
        running = takeover.source in reachable(self.platform, takeover.target, [takeover.source])
        if takeover.source in marked and running and not fencing.successor_of(want.manifest, takeover.source):
            return replace(takeover, primary=takeover.source)
        said_by = {name: why_not(report, since, asked_at) for name, report in replicas.items()}
        said_by |= {name: each.cannot or each.behind for name, each in waits.items()}
        said_by |= dict.fromkeys(names & marked, "it was replaced itself, and is to be taken in again")
        said_by |= dict.fromkeys(names - set(said_by), "it does not answer")
        why = "; ".join(f"{name}: {said}" for name, said in sorted(said_by.items()))
        self._check_none_under_way(want, takeover)
        if takeover.source not in marked and await self._begins_again(takeover.target, takeover.source):
            message = f"{takeover.source} is back and primary again; nobody could take over without losing data: {why}"
            return replace(takeover, source="", message=message)
        message = f"{takeover.source} is lost, and nobody can take over without losing data: {why}"
        by_force = f"mw failover --node {takeover.source} --force --to"
        for name in able_to_lead(waits, lossy=True):
            message += f"; {by_force} {name} makes it primary all the same"
        for name in sorted(marked):
            message += f"; mw failover --node {name} --force --to {name} lets it serve again"
        raise permanent(ErrorType.NO_CANDIDATE, message)

    async def _after_a_move(
        self, want: StepContext, component: DesiredComponent, nodes: Nodes, takeover: Takeover, statuses: Statuses
    ) -> Takeover | None:
        """A planned move of the role was begun, and nobody has said yet how it ended. Whoever was to have the role and
        has had it, as its volume remembers, is primary, and has what it acknowledged since. Where one of the two is not
        heard, only a person may say that it counts for nothing. ``statuses``: of nodes whose engine does not run. None
        where the failover goes on. Raises NoCandidate."""
        moves, source = moves_of(want.manifest, component.name), takeover.source
        heard = {name for name, report in nodes.reports.items() if report.role} | {*statuses}
        if takeover.force:
            named = {name for each in moves for name in (each.source, each.candidate)}
            if takeover.candidate in named - heard:  # given up, the source would have the role beside it
                message = f"{takeover.candidate} does not answer, so it cannot take over; nothing was touched"
                raise permanent(ErrorType.NO_CANDIDATE, message)
            return None
        heard |= fencing.stopped(want.manifest)
        if (found := unheard(moves, source, [node.name for node in component.nodes], heard)) is not None:
            move, node = found
            silent = f"{node} does not answer, may be primary, and may have writes that nobody else has"
            message = f"{source} is lost, and {described(move)}: {silent}"
            # Of those that run: whose writes count a person has to say.
            running = [*reachable(self.platform, takeover.target, [source]), *sorted({*nodes.reports} - {source, node})]
            for name in running:
                message += f"; mw failover --node {source} --force --to {name} makes it primary all the same"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        for each in moves:
            status = statuses.get(each.candidate)
            if each.source != source or status is None or status.volume.role not in nodes.writable:
                continue
            stands = source in await waiting(self.platform, reachable(self.platform, takeover.target, [source]))
            if stands and await self._begins_again(takeover.target, each.candidate):
                message = f"{each.candidate} had taken over from {source} just before, and is back and primary again"
                return replace(takeover, source="", message=message)
            by_force = f"mw failover --node {each.candidate} --force --to {each.candidate} lets it serve"
            why = "does not run yet" if stands else f"waits: {source} does not say that it has stopped"
            message = f"{each.candidate} had taken over from {source}, and {why}; {by_force}"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        return None

    def _check_none_under_way(self, want: StepContext, takeover: Takeover) -> None:
        """Raises NoCandidate while a node that was asked to take over from the source may do so after all: whoever
        asked may be gone, and its agent still be at it. It says that it is a replica until then."""
        now = datetime.now(UTC)
        for move in moves_of(want.manifest, takeover.component):
            if move.source == takeover.source and may_be_under_way(move, now) and not takeover.force:
                asked = f"{move.candidate} was asked to take over a moment ago, and may do so still"
                message = f"{takeover.source} is lost, and {asked}; {takeover.source} is given no word until then"
                raise permanent(ErrorType.NO_CANDIDATE, message)

    async def _begins_again(self, target: Target, node: str) -> bool:
        """True where it was waiting for the word that it may, and runs with that. Nobody else is promoted before this
        operation has ended, and whoever is later is so after a fence."""
        agents = reachable(self.platform, target, [node])
        status = (await waiting(self.platform, agents)).get(node)
        if status is None or status.state != agent_pb2.WAITING:
            return False
        return (await self.start(agents[node], permit=True)).state == agent_pb2.RUNNING

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
        takeover, loop = request.takeover, asyncio.get_running_loop()
        began = loop.time()
        want = await self.running(takeover.target)
        component = want.desired.component(takeover.component)
        await fencing.mark(self.platform, takeover)
        proof = fencing.Proof(self.platform, takeover)
        patience = fencing.LEASE_OUT_AFTER + (0 if takeover.seen else fencing.WATCHER_WITHIN)
        stopped = await self._stopped_or_out(takeover, component, proof, patience)
        sentence = stopped or f"its lease has run out ({patience:g} s without renewal)"
        await tell(self.platform, takeover.target, "Fenced", f"{takeover.source}: {sentence}")
        spent = round(loop.time() - began, 2)
        return Fenced(
            sentence, str(proof.position), spent, by_lease=not stopped, by_machine=bool(stopped) and proof.by_machine
        )

    async def _stopped_or_out(
        self, takeover: Takeover, component: DesiredComponent, proof: fencing.Proof, patience: float
    ) -> str:
        """The proof that it has stopped; empty where that is not quick, and the lease that nobody renewed any more has
        run out."""
        loop = asyncio.get_running_loop()
        began, first = loop.time(), asyncio.create_task(proof.attempt(fencing.STOP_WITHIN))
        try:
            await asyncio.wait({first}, timeout=fencing.AT_ONCE)
            if first.done() and (sentence := first.result()):
                return sentence
            detached = await self.detach(takeover, component)
            while len(detached) < quorum(component):
                # Those that follow still could be the majority that renews its lease.
                if loop.time() - began > fencing.QUORUM_WITHIN:
                    few = f"only {len(detached)} of {quorum(component)} replicas have stopped following"
                    agents = reachable(self.platform, takeover.target, list(detached.waiting))
                    await start_again(self.platform, takeover.target, agents)
                    raise permanent(ErrorType.NO_CANDIDATE, f"{takeover.source} cannot be stopped, and {few}")
                if first.done() and (sentence := first.result() or await proof.attempt(fencing.STOP_WITHIN)):
                    return sentence
                await asyncio.sleep(0.5)
                detached = await self.detach(takeover, component)
            since = loop.time()
            return await first or await fencing.wait_out(proof, since, patience)
        finally:
            first.cancel()

    @activity.defn(name=Step.CHOOSE)
    async def choose(self, request: PromoteRequest) -> Chosen:
        """The replica with the most data. Raises NoCandidate, with the source running again, where none may, and
        Diverged where each of two has data that the other has not."""
        takeover = request.takeover
        want = await self.running(takeover.target)
        component = want.desired.component(takeover.component)
        await self.finish_giving_up(takeover, want, component)
        before = await self._reports(takeover, component) if request.fenced.by_lease else {}
        following = {name for name, report in before.items() if report.ready}
        detached, beside = await asyncio.gather(self.detach(takeover, component), self._reports(takeover, component))
        unsaved = {name for name, report in beside.items() if report.unsaved}
        if len(detached) < quorum(component):  # on a busy machine one may have missed its time
            detached = await self.detach(takeover, component)
        if following & set(detached.positions):
            await asyncio.sleep(fencing.LEASE_OUT_AFTER)  # one has followed it again, and so renewed its lease
        may_be_few = lossy(want, takeover) and not request.fenced.by_lease
        try:
            if request.fenced.by_machine:
                await self._no_later_pod(takeover, enough=len(detached) >= quorum(component))
            if len(detached) < quorum(component) and not may_be_few:
                few = f"{len(detached)} of {quorum(component)} replicas needed can take over from {takeover.source}"
                raise permanent(ErrorType.NO_CANDIDATE, few + because(detached.refused))
            waits = self.judged(want, component, takeover, detached.waiting)
            lossily = lossy(want, takeover)
            chosen = best_of(takeover, detached.positions, waits, detached.refused, lossy=lossily, unsaved=unsaved)
            lost = set_aside(Position.parse(request.fenced.position), Position.parse(chosen.position))
            return replace(chosen, lost=lost)
        except ApplicationError as error:
            await self.give_up(takeover, want, component, error.message)
            raise

    async def _no_later_pod(self, takeover: Takeover, *, enough: bool) -> None:
        """Its Pod has ended, and the next one may have begun since, by the word of replicas that followed it until now,
        or of a watcher that had not heard of the fence yet. Raises NoCandidate where that cannot be excluded."""
        loop = asyncio.get_running_loop()
        began, proof = loop.time(), fencing.Proof(self.platform, takeover)
        patience = fencing.LEASE_OUT_AFTER + (0 if takeover.seen else fencing.WATCHER_WITHIN)
        while not await proof.none_began():
            if not enough:
                few = f"too few replicas have stopped following {takeover.source}, and its new Pod cannot be stopped"
                raise permanent(ErrorType.NO_CANDIDATE, few)
            if loop.time() - began >= patience:
                return  # nobody has renewed its lease
            await asyncio.sleep(0.2)

    async def _reports(self, takeover: Takeover, component: DesiredComponent) -> Mapping[str, agent_pb2.RoleReport]:
        return (await self.nodes(takeover.target, component, timeout=ASK_WITHIN, without=takeover.source)).reports
