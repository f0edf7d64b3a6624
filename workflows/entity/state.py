"""What the App's entity remembers from one run to the next, with a schema number, decoded tolerantly.

A newer worker reads what an older one wrote and the other way round (a rollback): unknown fields are dropped,
missing ones get defaults, and what cannot be read is forgotten rather than failing the workflow task for ever,
since all that matters is found in the cluster again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from api.look import AppSnapshot
from api.operations import BY_MW, BY_REQUEST, GOES_ON, OVERLAP, OperationResult, OperationType, Outcome, Scope
from workflows.entity.failover_memory import FailoverMemory, is_time
from workflows.entity.planner import Failure, Memory

SCHEMA = 1
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=5), timedelta(hours=1)
"""After an operation that failed for good: somebody may have removed the cause without touching the App."""
LOST_EVERY = timedelta(seconds=15)
"""How often it is looked whether a person has put back what was lost. No watch tells it: the right to watch one Secret
is the right to read all Secrets of a namespace."""
CLEARED_FOR = timedelta(seconds=20)
_LONG_AGO = datetime.fromtimestamp(0, UTC)
QUEUE_LIMIT = 50
KEPT_RESULTS = 2 * QUEUE_LIMIT
"""Answers for runs started by hand; each of them asks within seconds, and all that are queued may end at once."""


@dataclass(frozen=True)
class EntityInput:
    """``namespace`` and ``app`` are all that a first run is given."""

    namespace: str
    app: str
    state: dict[str, Any] | None = None


@dataclass
class Ticket:
    """An operation asked for by hand."""

    id: str
    type: str
    requested_by: str
    reason: str = ""
    scope: Scope = field(default_factory=Scope)

    @property
    def wish(self) -> str:
        """Who asked: the run's id only where a person started it with Temporal's client, and so knows it."""
        if self.requested_by.startswith(BY_MW):
            return f"asked for by hand ({self.reason})" if self.reason else "asked for by hand"
        return f"asked for by {self.requested_by}" + (f": {self.reason}" if self.reason else "")


@dataclass
class Relief:
    """Of a component whose role was moved since its holder took no writes: for that it is not moved again before
    ``until``. ``times``: how often in a row."""

    until: str
    times: int


@dataclass
class EntityState:
    """``notice``: something happened that was not looked at yet. Times are ISO 8601."""

    schema: int = SCHEMA
    sequence: int = 0
    notice: bool = True
    queue: list[Ticket] = field(default_factory=list)
    results: dict[str, OperationResult] = field(default_factory=dict)
    plugin: str = ""
    failed_type: str = ""
    failed_hash: str = ""
    failed_message: str = ""
    failed_how: str = ""
    """``failed``, ``was refused`` or ``was aborted``."""
    failed_times: int = 0
    retry_at: str = ""
    repair_message: str = ""
    repair_hash: str = ""
    repair_times: int = 0
    repair_retry_at: str = ""
    """Of a Repair that failed for good. Beside the other failure: that one may be an operator's word."""
    repair_aborted: bool = False
    """An operator ended it: it has no time at which it is tried again, and stands until the spec changes or somebody
    asks."""
    anew: bool = False
    """Drift was told of since, so what a Repair has left is to be tried again, once ``CLEARED_FOR`` has passed."""
    cleared_at: str = ""
    """When that was last done."""
    paused_type: str = ""
    """OperationType of a paused operation that had to make room; it begins paused again."""
    aborted_type: str = ""
    aborted_for: str = ""
    """OperationType of an aborted operation that had to make room on its way back, and the App's uid and spec: for them
    it only goes back when its turn comes again."""
    halfway: str = ""
    """OperationType of what the spec asked for and was ended before it was done: some nodes are new, some old."""
    unrepairable: list[str] = field(default_factory=list)
    put_back: str = ""
    """What the first Deploy was begun again for: nothing else puts things back before it has completed."""
    failovers: FailoverMemory = field(default_factory=FailoverMemory)
    move_node: str = ""
    """Of which a writable role could not be taken that a drain waits for; see ``workflows.entity.drain``."""
    move_message: str = ""
    move_times: int = 0
    move_retry_at: str = ""
    reliefs: dict[str, Relief] = field(default_factory=dict)
    """By component."""
    lost: bool = False
    """``AppSnapshot.lost`` of the last look."""

    def memory(self, snapshot: AppSnapshot, now: datetime) -> Memory:
        """What the planner has to know of the past. Forgets what the snapshot shows to be over."""
        failure, lost = None, self.failovers.due(now)
        # Before a failover, and of a refused spec, nobody has looked for nodes that are not as recorded yet.
        whole = _whole(snapshot) and not snapshot.refusal and lost is None
        looked = not snapshot.refusal and lost is None
        if looked:
            self._look_for_the_lost(snapshot, now)
        if whole or not snapshot.exists or snapshot.deleting:
            self.halfway = ""
        if lost is None:
            self._forget_words(snapshot)
        if self.failed_how == _HOW[Outcome.ABORTED] and whole:
            self.forget_failure()  # it was too late to go back, so it was completed: nothing waits for anybody
        if self.failed_type in GOES_ON and snapshot.operation != self.failed_type and looked:
            self.forget_failure()  # nothing of it is left to be done, or something else comes first
        if self.failed_type:
            due = bool(self.retry_at) and now >= datetime.fromisoformat(self.retry_at)
            failure = Failure(self.failed_type, self.failed_hash, self.failed_message, due, self.failed_how or "failed")
            if self.failed_hash != snapshot.spec_hash:
                self.forget_failure()
        self.unrepairable = [sentence for sentence in self.unrepairable if sentence in snapshot.drift]
        waits = bool(self.repair_retry_at) and now < datetime.fromisoformat(self.repair_retry_at)
        repair = None
        if (waits or self.repair_aborted) and self.repair_hash == snapshot.spec_hash:
            how = _HOW[Outcome.ABORTED if self.repair_aborted else Outcome.FAILED]
            repair = Failure(OperationType.REPAIR, self.repair_hash, self.repair_message, how=how)
        return Memory(
            failure,
            frozenset(self.unrepairable),
            repair,
            lost,
            self.failovers.waiting(now) or self.failovers.failure(now),
            self.failovers.failed,
            self.halfway,
            self.put_back,
        )

    def _forget_words(self, snapshot: AppSnapshot) -> None:
        """What was said to an operation that nothing calls for any more is not for a later one of its kind."""
        if not (self.paused_type or self.aborted_type) or snapshot.refusal or snapshot.paused:
            return
        called_for = {snapshot.operation or ("" if _whole(snapshot) else OperationType.DEPLOY)}
        called_for |= {OperationType.REPAIR} if snapshot.drift else set()
        called_for |= {OperationType.SWITCHOVER} if snapshot.evacuations else set()
        self.paused_type = self.paused_type if self.paused_type in called_for else ""
        self.aborted_type = self.aborted_type if self.aborted_type in called_for else ""

    def _look_for_the_lost(self, snapshot: AppSnapshot, now: datetime) -> None:
        """What failed without what was lost begins again when that is back; not what an operator has ended."""
        if self.lost and not snapshot.lost:
            self.retry_at = now.isoformat() if self.retry_at else ""
            self.repair_retry_at = ""
        self.lost = snapshot.lost

    def asked_for(self, operation: str) -> bool:
        """Whether somebody has started one by hand that has not begun."""
        return any(ticket.type == operation for ticket in self.queue)

    def goes_back(self, operation: str, snapshot: AppSnapshot) -> bool:
        """Whether an operator has aborted it, and its way back was interrupted."""
        return self.aborted_type == operation and self.aborted_for == _identity(snapshot)

    def interrupted(self, snapshot: AppSnapshot, operation: str, *, paused: bool, aborted: bool) -> None:
        """It had to make room for something else. What an operator has said to it holds when its turn comes again."""
        if paused:
            self.paused_type = operation
        if aborted:
            self.aborted_type, self.aborted_for = operation, _identity(snapshot)

    def forget_failure(self) -> None:
        self.failed_type = self.failed_hash = self.failed_message = self.failed_how = self.retry_at = ""
        self.failed_times = 0

    @property
    def waits_for_somebody(self) -> bool:
        """Whether something failed, or was aborted, that ``ask_again`` begins again."""
        return bool(self.failed_type or self.repair_retry_at or self.repair_aborted or self.move_retry_at)

    def ask_again(self) -> None:
        """Somebody asks: whatever failed, or was ended, may begin again."""
        self.forget_failure()
        self.repair_retry_at = self.move_retry_at = ""
        self.repair_aborted = False
        self.notice = True

    def learn(self, snapshot: AppSnapshot, result: OperationResult, now: datetime) -> None:
        """What the end of an operation means for the next plan. Almost every end is looked at again at once."""
        bad = result.outcome in (Outcome.FAILED, Outcome.REFUSED, Outcome.ABORTED) or bool(result.skipped)
        whole = result.outcome == Outcome.COMPLETED and (not snapshot.deployed_hash or _whole(snapshot))
        # A Repair too: what it could not mend must not be taken for new drift later, nor new drift for what it could
        # not mend.
        if not whole or result.type != OperationType.DEPLOY:
            self.notice = True
        if result.type == OperationType.FAILOVER:
            self.failovers.learn(result, now)
        if result.type in BY_REQUEST - GOES_ON:
            return  # it stands for nothing that the spec says, so its failure keeps nothing from being done
        if result.type in GOES_ON and self.failed_type not in ("", result.type):
            return  # what the spec asks for, and failed or was aborted, stands whatever becomes of it
        self._learn_halfway(result)
        if result.outcome == Outcome.COMPLETED and not snapshot.deployed_hash:
            self.unrepairable = []  # what the first Deploy had left is a Repair's from now on
        if result.type == OperationType.REPAIR:
            self._learn_repair(snapshot, result, now)
            return
        if not bad:
            self.forget_failure()
            return
        self.failed_times += 1
        self.failed_type, self.failed_hash = result.type, snapshot.spec_hash
        self.failed_message = result.message[:500]
        self.failed_how = _HOW[Outcome(result.outcome)]
        # What an engine refused, or an operator ended, would end the same way again.
        self.retry_at = (now + _pause(self.failed_times)).isoformat() if result.outcome == Outcome.FAILED else ""

    def _learn_halfway(self, result: OperationResult) -> None:
        if result.type in (OperationType.REPAIR, OperationType.DELETE):
            return
        self.halfway = result.type if result.outcome == Outcome.CANCELLED else ""

    def _learn_repair(self, snapshot: AppSnapshot, result: OperationResult, now: datetime) -> None:
        if result.outcome == Outcome.CANCELLED:
            return
        if result.outcome == Outcome.COMPLETED:
            self.repair_message, self.repair_times, self.repair_retry_at = "", 0, ""
            self.repair_aborted = False
            # Seen again by the next look, it is something that applying does not change.
            self.unrepairable = list(snapshot.drift)
            return
        self.repair_times += 1
        self.repair_aborted = result.outcome == Outcome.ABORTED
        self.repair_message, self.repair_hash = result.message[:500], snapshot.spec_hash
        self.repair_retry_at = "" if self.repair_aborted else (now + _pause(self.repair_times)).isoformat()

    def drifted_anew(self, now: datetime) -> None:
        """Somebody did something, maybe just what a Repair had put back, so what it left is tried again; but not in a
        race with another controller that never lets go."""
        self.anew = self.try_again_at() > now
        if not self.anew:
            self.cleared_at, self.unrepairable = now.isoformat(), []
            self.repair_retry_at = ""  # it may be about something else, which can be put back

    def until_retry(self, now: datetime, looked: datetime) -> timedelta:
        """How long until something that failed, or was left, is to be tried again. What was due at the last look, and
        could not be (the App is paused), is looked at with everything else."""
        reliefs = (relief.until for relief in self.reliefs.values())
        alarms = [datetime.fromisoformat(at) for at in (self.retry_at, self.move_retry_at, *reliefs) if at]
        if self.anew:
            alarms.append(self.try_again_at())
        if self.lost:
            alarms.append(looked + LOST_EVERY)
        if (lost := self.failovers.next_at()) is not None:
            alarms.append(lost)
        coming = [each for each in alarms if each > looked]
        return max(min(coming, default=now + LONGEST_RETRY) - now, timedelta(seconds=1))

    def try_again_at(self) -> datetime:
        return datetime.fromisoformat(self.cleared_at) + CLEARED_FOR if self.cleared_at else _LONG_AGO

    def encode(self) -> dict[str, Any]:
        return asdict(self)

    def remember(self, ticket: str, result: OperationResult) -> None:
        """Keeps a result for whoever asks, and forgets the oldest beyond ``KEPT_RESULTS``."""
        self.results[ticket] = result
        for old in list(self.results)[:-KEPT_RESULTS]:
            del self.results[old]

    @classmethod
    def decode(cls, raw: dict[str, Any] | None) -> EntityState:
        state = cls()
        raw = raw or {}
        for name, value in raw.items():
            default = getattr(state, name, None)
            if (
                name in ("queue", "results", "schema", "failovers", "reliefs")
                or default is None
                or type(value) is not type(default)
            ):
                continue
            setattr(state, name, value)
        state.queue = [ticket for entry in _entries(raw.get("queue")) if (ticket := _ticket(entry)) is not None]
        state.failovers = FailoverMemory.decode(raw.get("failovers"))
        reliefs = raw.get("reliefs")
        for component, entry in reliefs.items() if isinstance(reliefs, dict) else ():
            if isinstance(entry, dict) and is_time(entry.get("until")) and isinstance(entry.get("times"), int):
                state.reliefs[str(component)] = Relief(entry["until"], entry["times"])
        results = raw.get("results")
        for key, entry in results.items() if isinstance(results, dict) else ():
            if isinstance(entry, dict):
                texts = [str(entry.get(name, "")) for name in ("type", "outcome", "message", "workflow_id")]
                state.results[str(key)] = OperationResult(texts[0], texts[1], texts[2], texts[3])
        return state


def _identity(snapshot: AppSnapshot) -> str:
    return f"{snapshot.uid}/{snapshot.spec_hash}"


def _pause(times: int) -> timedelta:
    doubled: timedelta = FIRST_RETRY * 2 ** (min(times, 8) - 1)
    return min(doubled, LONGEST_RETRY)


def _whole(snapshot: AppSnapshot) -> bool:
    """Whether what runs is all that the spec asks for."""
    return not snapshot.operation and snapshot.deployed_hash == snapshot.spec_hash


_HOW = {
    Outcome.FAILED: "failed",
    Outcome.REFUSED: "was refused",
    Outcome.ABORTED: "was aborted",
    Outcome.COMPLETED: "is not complete",  # an operator has left nodes out
}


def _entries(raw: Any) -> list[dict[str, Any]]:
    return [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []


def _ticket(entry: dict[str, Any]) -> Ticket | None:
    if not entry.get("id") or not entry.get("type"):
        return None
    scope = entry.get("scope")
    given = scope if isinstance(scope, dict) else {}
    component, group, node, candidate = (
        str(given.get(name, "")) for name in ("component", "group", "node", "candidate")
    )
    seen, overlap = given.get("seen", 0), given.get("overlap", OVERLAP)
    found = Scope(
        component,
        group,
        node,
        candidate,
        force=given.get("force") is True,
        seen=seen if isinstance(seen, int) else 0,
        overlap=overlap if isinstance(overlap, int) else OVERLAP,
    )
    texts = [str(entry.get(name, "")) for name in ("id", "type", "requested_by", "reason")]
    return Ticket(texts[0], texts[1], texts[2], texts[3], found)
