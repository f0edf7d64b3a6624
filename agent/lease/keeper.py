"""The lease of a node with a writable role: it takes writes only while those who could replace it know that it does.

Where the platform replaces a lost primary (``lease`` in the node document), it cannot stop one that it does not reach.
So the primary stops by itself, and the platform waits that out before it promotes another.

1. Renewed by the platform's call, from its arrival; and by a poll in which enough of the node's own replicas were heard
   from: within 2 s before the answer, so it counts from 2 s before the question. A replica that has stopped following,
   as all have before one is promoted, renews nothing; nor does anybody who is no member of the component, as whoever
   copies the data for himself knows nothing of a successor.
2. Granted when a replica becomes writable, which is the platform's doing, and to an engine that never ran in this App;
   once. What was granted or renewed is remembered over ends of the engine and of this agent, so no restart lengthens
   it. A node that was writable before its Pod began has an empty lease: its engine waits for a renewal before it begins
   (``agent.lease.gate``), and should it run all the same, it is fenced.
3. Runs out ``seconds`` after the last renewal: tool ``fence`` at once, again for each new process of the engine and
   every 20 s (it asks for 60 s), 0.5 s after a failure. While it is out no ``unfence`` reaches the engine, whoever
   asks for it.
4. Renewed again: tool ``unfence``. Where the platform has asked for a fence too: ``fence`` for the rest of its time,
   and ``unfence`` when that is over or the platform says so.
5. No longer writable (tool ``follow`` lifts the fence): forgotten.

From the last renewal to the last acknowledged write it is at most: ``seconds`` + 0.25 s (the timer looks that often, as
a suspended machine's timers stand still) + the first run of ``fence`` (milliseconds; an engine that does not answer it
acknowledges nothing either) + 0.5 s and another run, should the first have failed. Renewed by replicas it is counted
from no later than the moment at which the last of them was heard. A failover waits ``seconds`` + 2 s after the
platform's last renewal has ended and the replicas have stopped following: more than 1 s is left.

The clock is CLOCK_BOOTTIME: it goes on while the machine is suspended, and nobody sets it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.document import Lease, NodeDocument
from agent.documents import DocumentError, DocumentStore
from agent.lease.gate import boot_time
from agent.lease.memory import LeaseMemory, Remembered
from agent.nodefiles import node_names
from agent.process.state import StatusBoard
from agent.record import Record, read_record
from agent.tooling.connections import ConnectionPool
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter

_log = logging.getLogger(__name__)
FENCE, UNFENCE, FAILOVER, FOLLOW = "fence", "unfence", "failover", "follow"
_LIFTING = frozenset({UNFENCE, FAILOVER, FOLLOW})
HEARD_WITHIN = 2.0
"""Seconds in which a follower that ``getRole`` counts was heard from (``api.node.Lease``)."""
_FENCE_SECONDS = 60
_FENCE_AGAIN = 20.0
_RETRY = 0.5
_LOOK = 0.25
NEVER = -math.inf
Clock = Callable[[], float]


class LeaseKeeper:
    """``run`` is the timer, and alone runs ``fence`` and ``unfence`` here; all else notes and returns, so an engine
    that does not answer holds up neither polls nor renewals."""

    def __init__(
        self, documents: DocumentStore, interpreter: Interpreter, board: StatusBoard, clock: Clock = boot_time
    ) -> None:
        self._documents = documents
        self._interpreter = interpreter
        self._board = board
        self._clock = clock
        board.listen(self._changed)
        self._memory = LeaseMemory(interpreter.settings)
        self._tell: Callable[[], Awaitable[None]] = _nobody
        self._woken = asyncio.Event()
        self._resting = False
        self._next_look: asyncio.TimerHandle | None = None
        self._lease: Lease | None = None
        self._app_uid = ""
        self._names: Mapping[str, Any] | None = None
        self._record: Record | None = None
        """Of the engine before this Pod's, or before this agent, until it is compared with the document."""
        self._was_writable = False
        """As that record says. The role now is not known yet."""
        self._writable = False
        self._since: float | None = None
        """Of the last renewal; None where there is no lease or no writable role."""
        self._was_out = False
        self._touched = False
        """The engine may be fenced by us, also by an attempt that seemed to fail."""
        self._process_seen: tuple[int, int] | None = None
        self._fenced_process: tuple[int, int] | None = None
        self._next = NEVER
        self._asked_until = NEVER
        """For so long somebody else has asked for a fence, whatever the lease says."""
        self._handed_over = False
        """The lease is held again, and that fence goes on."""
        self._lifted = 0
        self._failure = ""
        self._telling: asyncio.Task[None] | None = None
        self._connections: ConnectionPool | None = None

    async def resume(self) -> None:
        """What an earlier agent 2 has left; before any tool is run."""
        remembered = await asyncio.to_thread(self._memory.read)
        self._record = await asyncio.to_thread(read_record, self._interpreter.settings.state_dir)
        self._note_document()
        if remembered is None or self._app_uid not in ("", remembered.app_uid):
            return
        self._since = remembered.since
        if remembered.fenced:
            self._writable = self._touched = True
            _log.warning("an earlier agent 2 fenced this node as its lease had run out; it stays so until renewed")

    def share(self, connections: ConnectionPool) -> None:
        """Connections that the polls keep open. An engine that takes no more clients (Redis at ``maxclients``) must
        still hear that its lease has run out."""
        self._connections = connections

    def listen(self, tell: Callable[[], Awaitable[None]]) -> None:
        """``tell`` is called when ``problem`` or ``fenced`` have changed."""
        self._tell = tell

    # What others see

    @property
    def out(self) -> bool:
        """It must take no writes."""
        return self._lease is not None and self._writable and self._clock() >= self._until(self._lease)

    @property
    def fenced(self) -> bool:
        """The engine that runs now takes no writes, by our doing."""
        return self._touched and self._fenced_process == self._process()

    @property
    def problem(self) -> str:
        """Why the node is not ready, a sentence; empty where the lease is held or there is none."""
        if self.out:
            assert self._lease is not None
            reason = f"no contact with the platform nor with a majority of its replicas for {self._lease.seconds:g} s"
            if self.fenced:
                return f"{reason}: it takes no writes until it has one again"
            return f"{reason}: its writes are about to be stopped"
        lifting = self._touched and not self._handed_over
        return "the lease is renewed, its writes are about to flow again" if lifting else ""

    # What others say

    def observe(
        self, document: NodeDocument, names: Mapping[str, Any], role: str, followers: str, asked_at: float
    ) -> None:
        """After each poll; ``followers``: addresses or names of who was heard from; ``asked_at`` by our clock. An
        unknown role changes nothing: a hung primary is still one."""
        self._names = names
        self._take_up(document)
        if not role:
            return
        if role not in document.writable_roles:
            self._end()
            return
        self._writable = True
        if self._lease is not None and self._since is None:
            self._renewed(NEVER if self._was_writable else self._clock())
        self._was_writable = False
        if self._are_enough(document, followers):
            self._renewed(asked_at - HEARD_WITHIN)
        if self.out and not self.fenced:
            self._next = NEVER
        self._changed()

    def followed(self, document: NodeDocument, followers: str, asked_at: float) -> None:
        """While the engine waits to begin: who follows it still, as they say themselves."""
        self._take_up(document)
        if self._was_writable or self._writable:
            if self._are_enough(document, followers):
                self._renewed(asked_at)
            self._changed()

    def _are_enough(self, document: NodeDocument, followers: str) -> bool:
        return self._lease is not None and document.members_among(followers) >= self._lease.followers

    def renew(self, at: float) -> str:
        """By the platform. Empty: renewed; else a sentence why there is nothing to renew."""
        failure = self._note_document()
        if failure:
            return failure
        if self._lease is None:
            return "the node document has no lease: the platform replaces no primary of this topology"
        if not self._writable and not self._was_writable:
            return "this node is not known to have a writable role"
        self._renewed(at)
        self._changed()
        return ""

    def now(self) -> float:
        """By the lease's clock."""
        return self._clock()

    def keeps_fenced(self, tool: str) -> bool:
        """Whether this tool must not reach the engine now."""
        return tool == UNFENCE and self.out

    def ran(self, tool: str, arguments: Mapping[str, str]) -> None:
        """Somebody else has run ``tool``, or would have."""
        if tool == FENCE:
            text = arguments.get("seconds", "")
            self._asked_until = self._clock() + int(text) if text.isdecimal() else NEVER
        elif tool in _LIFTING:
            self._asked_until = NEVER
            # Should it have lifted ours: it was under way when the lease ran out.
            self._fenced_process, self._next = None, NEVER
            self._lifted += 1
            self._changed()

    # The timer

    async def run(self) -> None:
        """Until cancelled. A failure is logged, never fatal."""
        while True:
            self._woken.clear()
            try:
                await self._turn()
            except Exception:
                _log.exception("the lease cannot be looked after")
                await asyncio.sleep(_RETRY)
            await self._rest()

    async def _rest(self) -> None:
        """Until there is something to do. The looks for it are callbacks: waking a task costs more."""
        self._resting = True
        try:
            self._look()
            await self._woken.wait()
        finally:
            self._resting = False
            self._no_look()

    def _look(self) -> None:
        self._no_look()
        if self._is_due():
            self._woken.set()
        elif (patience := self._patience()) is not None:
            self._next_look = asyncio.get_running_loop().call_later(patience, self._look)

    def _no_look(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _changed(self) -> None:
        """What is due may be something else by now."""
        if self._resting:
            self._look()
        else:
            self._woken.set()

    def _is_due(self) -> bool:
        out, process = self.out, self._process()
        if out is not self._was_out or process != self._process_seen:
            return True
        return process is not None and (out or self._touched) and self._clock() >= self._next

    async def _turn(self) -> None:
        out, process = self.out, self._process()
        if out is not self._was_out:
            await self._turned(out)
        if process != self._process_seen:
            self._process_seen, self._next = process, NEVER
        if process is None or self._clock() < self._next:
            return
        if out:
            await self._fence(process)
        elif self._touched:
            await self._lift(process)

    async def _turned(self, out: bool) -> None:
        self._was_out = out
        self._next, self._failure = NEVER, ""
        if out:
            _log.warning("the lease has run out: %s", self.problem)
        elif self._writable and self._lease is not None:
            _log.info("the lease is renewed")
        self._telling = asyncio.create_task(self._told())  # not awaited: the fence comes first

    async def _fence(self, process: tuple[int, int]) -> None:
        again = self._touched and self._fenced_process == process
        self._handed_over = False
        if not self._touched:
            self._touched = True
            self._remember()
        lifted = self._lifted
        if not await self._attempt(FENCE, _FENCE_SECONDS) or lifted != self._lifted:
            return  # where somebody's unfence ended meanwhile, nobody knows which came last
        self._next = self._clock() + _FENCE_AGAIN
        self._fenced_process = process
        if not again:
            late = math.inf if self._lease is None else self._clock() - self._until(self._lease)
            _log.warning("fenced%s", f", {late:.3f} s after it ran out" if math.isfinite(late) else "")
            await self._told()

    async def _lift(self, process: tuple[int, int]) -> None:
        until = self._asked_until
        rest = math.ceil(until - self._clock()) if until > self._clock() else 0
        self._fenced_process = None
        done = await self._attempt(FENCE, rest) if rest else await self._attempt(UNFENCE)
        if not done or self.out:
            return
        if not rest:
            self._touched = self._handed_over = False
            self._remember()
            _log.info("the lease keeps no writes back any more")
        elif until == self._asked_until:
            self._handed_over, self._next = True, until
            _log.info("still fenced, as was asked for, for %d s", rest)
        await self._told()

    async def _attempt(self, tool: str, seconds: int = 0) -> bool:
        """Not through the lock of the service: a run of the same tool that somebody else waits for may be hanging."""
        try:
            bundle = self._documents.effective()
            if tool not in bundle.document.tools:
                raise ToolError(f"the plugin has no tool {tool!r}")
            arguments = {"seconds": str(seconds)} if seconds else {}
            names = self._names or node_names(bundle, None)
            await self._interpreter.run(
                tool, bundle.document.toolbox, names, arguments=arguments, pool=self._connections
            )
        except (ToolError, DocumentError) as error:
            if str(error) != self._failure:
                _log.error("tried again every %g s: %s", _RETRY, error)
            self._failure = str(error)
            self._next = self._clock() + _RETRY
            return False
        self._failure = ""
        return True

    def _patience(self) -> float | None:
        if self._lease is None and not self._touched:
            return None
        if not self._writable:
            return None
        until = self._next if self._touched else self._until(self._lease) if self._lease is not None else math.inf
        return max(0.0, min(until - self._clock(), _LOOK)) if self._process() is not None else _LOOK

    # Small helpers

    def _until(self, lease: Lease) -> float:
        return math.inf if self._since is None else self._since + lease.seconds

    def _renewed(self, at: float) -> None:
        if self._since is None or at > self._since:
            self._since = at
            self._remember()

    def _end(self) -> None:
        """Not writable: whoever made it so has lifted the fence."""
        if self._touched:
            _log.info("no longer writable, so the lease's fence is over")
        self._writable = self._was_writable = self._touched = self._handed_over = False
        self._since, self._fenced_process, self._next, self._asked_until = None, None, NEVER, NEVER
        self._remember()
        self._changed()

    def _remember(self) -> None:
        if self._touched or self._since is not None:
            since = NEVER if self._since is None else self._since
            self._memory.keep(Remembered(since, self._touched, self._app_uid))
        else:
            self._memory.forget()

    def _take_up(self, document: NodeDocument) -> None:
        self._lease, self._app_uid = document.lease, document.node.app_uid
        if self._record is not None:
            ours = self._record.app_uid == self._app_uid
            self._was_writable, self._record = ours and self._record.role in document.writable_roles, None
        if self._lease is None:
            self._since = None  # one that comes later, with a first replica, begins with a grace

    def _note_document(self) -> str:
        """Empty, or why no document can be used."""
        try:
            document = self._documents.effective().document
        except DocumentError as error:
            return str(error)
        self._take_up(document)
        return ""

    def _process(self) -> tuple[int, int] | None:
        status = self._board.status
        return (status.pid, status.starts) if status.alive else None

    async def _told(self) -> None:
        try:
            await self._tell()
        except Exception:
            _log.exception("the change of the lease could not be told")


async def _nobody() -> None:
    """Until somebody listens."""
