"""What the entity remembers of lost primaries: who is suspected, who was replaced when, what keeps a failover from
succeeding.

A suspicion comes from the watcher and comes again while it stands. After a failover the same component's next one waits
for the App's cool-down; one that fails is tried again with a growing pause. The pause is that of the node: what fails
for one, such as taking in again who was replaced, keeps no other from being replaced. It is over when the node is back,
for what failed was without it. Times are ISO 8601.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from api.operations import OperationResult, Outcome, Suspicion

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=2)
TOLD_FOR = timedelta(seconds=35)
"""A failure that no suspicion repeats is over after this: the node came back by itself. The watcher says what stands
every 15 s."""
_BEFORE = datetime.fromtimestamp(0, UTC)
_BY_HAND = ""
"""In the place of a node: a failover that no suspicion asked for."""


@dataclass
class Failed:
    """Of the last failovers of a node, all of which failed: the last one's end and its message."""

    message: str
    at: str
    times: int = 1

    def retry_at(self) -> datetime:
        pause: timedelta = min(FIRST_PAUSE * 2 ** (min(self.times, 8) - 1), LONGEST_PAUSE)
        return datetime.fromisoformat(self.at) + pause

    def told_until(self) -> datetime:
        return datetime.fromisoformat(self.at) + TOLD_FOR


@dataclass
class FailoverMemory:
    """``suspicions`` and ``failures`` by node. ``replaced``: component -> when its last failover ended."""

    suspicions: dict[str, Suspicion] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    cool_down: int = 0
    """Seconds, as the App's spec said at the last look."""
    failures: dict[str, Failed] = field(default_factory=dict)
    acting: Suspicion | None = None
    """On whom a failover runs. Not kept: no run of the entity ends while an operation runs."""

    def suspect(self, suspicion: Suspicion) -> None:
        acting = self.acting if self.acting is not None and self.acting.node == suspicion.node else None
        if _has_returned(suspicion, self.suspicions.get(suspicion.node) or acting):
            self.failures.pop(suspicion.node, None)
        self.suspicions[suspicion.node] = suspicion

    def due(self, now: datetime) -> Suspicion | None:
        """The suspicion to act on now, if any; the first by name."""
        for _, suspicion in sorted(self.suspicions.items()):
            if self._not_before(suspicion) <= now:
                return suspicion
        return None

    def next_at(self) -> datetime | None:
        """When a suspicion that waits becomes due, or what failed is over."""
        alarms = [self._not_before(each) for each in self.suspicions.values()]
        alarms += [failed.told_until() for node, failed in self.failures.items() if node not in self.suspicions]
        return min(alarms, default=None)

    def _not_before(self, suspicion: Suspicion) -> datetime:
        replaced = self.replaced.get(suspicion.component)
        # Taking in again who was replaced is no other failover.
        cooled = _BEFORE
        if replaced and not suspicion.back:
            cooled = datetime.fromisoformat(replaced) + timedelta(seconds=self.cool_down)
        failed = self.failures.get(suspicion.node)
        return max(cooled, failed.retry_at() if failed is not None else _BEFORE)

    def waiting(self, now: datetime) -> str:
        """Whose failover waits, and until when; empty where none does."""
        if not self.suspicions:
            return ""
        whose = min(self.suspicions.values(), key=self._not_before)
        at, failed = self._not_before(whose), self.failures.get(whose.node)
        if at <= now:
            return ""
        why = f"; the last one failed: {failed.message}" if failed else " (spec.failover.coolDownSeconds)"
        return f"{whose.why}; the next Failover begins at {at:%H:%M:%S} UTC{why}"

    @property
    def failed(self) -> bool:
        """Whether the last one did, as far as ``failure`` has not forgotten it."""
        return bool(self.failures)

    def failure(self, now: datetime) -> str:
        """Why the last failovers failed, while that still matters. Forgets what is over."""
        self.failures = {n: f for n, f in self.failures.items() if n in self.suspicions or now < f.told_until()}
        said = sorted((failed.at, failed.message) for failed in self.failures.values())
        return f"Failover failed: {'; '.join(message for _, message in said)}" if said else ""

    def let_go(self, now: datetime) -> None:
        """Of what is due and was not acted on (the App is paused, or going): the watcher says it again."""
        self.suspicions = {n: s for n, s in self.suspicions.items() if self._not_before(s) > now}

    def begin(self, suspicion: Suspicion) -> None:
        """It is acted on: told again from here on, it is another one."""
        self.acting = self.suspicions.pop(suspicion.node, suspicion)

    def learn(self, result: OperationResult, now: datetime) -> None:
        """How a failover ended. One that was refused has changed nothing, and so changes nothing that is known."""
        acting, self.acting = self.acting, None
        if result.outcome == Outcome.REFUSED:
            return
        node = acting.node if acting is not None else _BY_HAND
        if result.outcome == Outcome.FAILED:
            self._failed(node, acting, result.message, now)
            return
        if acting is None:
            self.failures.clear()
            return
        self.failures.pop(node, None)
        self.failures.pop(_BY_HAND, None)
        if result.outcome == Outcome.COMPLETED and not acting.back:
            self.replaced[acting.component] = now.isoformat()
        # What was said of it meanwhile was said of the state before; if it still stands, it is said again.
        self.suspicions.pop(node, None)

    def _failed(self, node: str, acting: Suspicion | None, message: str, now: datetime) -> None:
        newer = self.suspicions.get(node)
        if newer is not None and _has_returned(newer, acting):
            self.failures.pop(node, None)  # while it failed
            return
        before = self.failures.get(node)
        self.failures[node] = Failed(message[:500], now.isoformat(), before.times + 1 if before else 1)
        if acting is not None:  # looked at again soon, also where the watcher has no reason to repeat it
            self.suspicions.setdefault(node, acting)

    @classmethod
    def decode(cls, raw: Any) -> FailoverMemory:
        """What cannot be read is forgotten: the watcher says again what stands."""
        found = cls()
        if not isinstance(raw, dict):
            return found
        for node, entry in _entries(raw.get("suspicions")):
            component, why, address = (str(entry.get(name, "")) for name in ("component", "why", "address"))
            seen, since = (_number(entry.get(name)) for name in ("seen", "in_sync_since"))
            back, asks = bool(entry.get("back")), bool(entry.get("asks"))
            found.suspicions[node] = Suspicion(component, node, why, seen, back, address, since, asks)
        replaced = raw.get("replaced")
        if isinstance(replaced, dict):
            found.replaced = {str(key): str(value) for key, value in replaced.items() if is_time(value)}
        found.cool_down = _number(raw.get("cool_down"))
        for node, entry in _entries(raw.get("failures")):
            if is_time(entry.get("at")):
                times = max(_number(entry.get("times")), 1)
                found.failures[node] = Failed(str(entry.get("message", "")), str(entry["at"]), times)
        return found


def _has_returned(suspicion: Suspicion, known: Suspicion | None) -> bool:
    """Whether the node is there again, and was not when it was suspected last."""
    before = known is not None and (known.back or known.asks)
    return (suspicion.back or suspicion.asks) and not before


def _entries(raw: Any) -> list[tuple[str, dict[str, Any]]]:
    found = raw.items() if isinstance(raw, dict) else ()
    return [(str(key), entry) for key, entry in found if isinstance(entry, dict)]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
