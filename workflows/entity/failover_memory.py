"""What the entity remembers of lost primaries: who is suspected, who was replaced when, what keeps a failover from
succeeding.

A suspicion comes from the watcher and comes again while it stands. After a failover the same component's next one waits
for the App's cool-down; one that fails is tried again with a growing pause. Times are ISO 8601.
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


@dataclass
class FailoverMemory:
    """``suspicions`` by node. ``replaced``: component -> when its last failover ended. ``failed_*``: of the last
    one."""

    suspicions: dict[str, Suspicion] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    cool_down: int = 0
    """Seconds, as the App's spec said at the last look."""
    failed_message: str = ""
    failed_at: str = ""
    failed_times: int = 0
    acting: Suspicion | None = None
    """On whom a failover runs. Not kept: no run of the entity ends while an operation runs."""

    def suspect(self, suspicion: Suspicion) -> None:
        known = self.suspicions.get(suspicion.node) or self.acting
        if suspicion.back and not (known is not None and known.back):
            self.failed_at = ""  # it is back: what failed before was without it, and is no reason to wait
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
        if self.failed_at and not alarms:
            alarms.append(datetime.fromisoformat(self.failed_at) + TOLD_FOR)
        return min(alarms, default=None)

    def _not_before(self, suspicion: Suspicion) -> datetime:
        replaced = self.replaced.get(suspicion.component)
        # Taking in again who was replaced is no other failover.
        cooled = _BEFORE
        if replaced and not suspicion.back:
            cooled = datetime.fromisoformat(replaced) + timedelta(seconds=self.cool_down)
        retry = _BEFORE
        if self.failed_at:
            pause: timedelta = min(FIRST_PAUSE * 2 ** (min(self.failed_times, 8) - 1), LONGEST_PAUSE)
            retry = datetime.fromisoformat(self.failed_at) + pause
        return max(cooled, retry)

    def waiting(self, now: datetime) -> str:
        """Whose failover waits, and until when; empty where none does."""
        at = self.next_at()
        if at is None or at <= now or not self.suspicions:
            return ""
        whose = min(self.suspicions.values(), key=self._not_before)
        why = f"; the last one failed: {self.failed_message}" if self.failed_at else " (spec.failover.coolDownSeconds)"
        return f"{whose.why}; the next Failover begins at {at:%H:%M:%S} UTC{why}"

    @property
    def failed(self) -> bool:
        """Whether the last one did, as far as ``failure`` has not forgotten it."""
        return bool(self.failed_at)

    def failure(self, now: datetime) -> str:
        """Why the last failover failed, while that still matters. Forgets what is over."""
        if not self.failed_at:
            return ""
        if now >= datetime.fromisoformat(self.failed_at) + TOLD_FOR and not self.suspicions:
            self.failed_message, self.failed_at, self.failed_times = "", "", 0
            return ""
        return f"Failover failed: {self.failed_message}"

    def let_go(self, now: datetime) -> None:
        """Of what is due and was not acted on (the App is paused, or going): the watcher says it again."""
        self.suspicions = {n: s for n, s in self.suspicions.items() if self._not_before(s) > now}

    def begin(self, suspicion: Suspicion) -> None:
        """It is acted on: told again from here on, it is another one."""
        self.acting = self.suspicions.pop(suspicion.node, suspicion)

    def learn(self, result: OperationResult, now: datetime) -> None:
        """How a failover ended."""
        acting, self.acting = self.acting, None
        if result.outcome == Outcome.FAILED:
            self.failed_message, self.failed_at = result.message[:500], now.isoformat()
            self.failed_times += 1
            if acting is not None:  # looked at again soon, also where the watcher has no reason to repeat it
                self.suspicions.setdefault(acting.node, acting)
            return
        self.failed_message, self.failed_at, self.failed_times = "", "", 0
        if acting is None:
            return
        if result.outcome == Outcome.COMPLETED and not acting.back:
            self.replaced[acting.component] = now.isoformat()
        # What was said of it meanwhile was said of the state before; if it still stands, it is said again.
        self.suspicions.pop(acting.node, None)

    @classmethod
    def decode(cls, raw: Any) -> FailoverMemory:
        """What cannot be read is forgotten: the watcher says again what stands."""
        found = cls()
        if not isinstance(raw, dict):
            return found
        said = raw.get("suspicions")
        for node, entry in said.items() if isinstance(said, dict) else ():
            if isinstance(entry, dict):
                component, why, address = (str(entry.get(name, "")) for name in ("component", "why", "address"))
                seen, since = (_number(entry.get(name)) for name in ("seen", "in_sync_since"))
                lost = Suspicion(component, str(node), why, seen, bool(entry.get("back")), address, since)
                found.suspicions[lost.node] = lost
        replaced = raw.get("replaced")
        if isinstance(replaced, dict):
            found.replaced = {str(key): str(value) for key, value in replaced.items() if _is_time(value)}
        for name in ("cool_down", "failed_times"):
            value = raw.get(name)
            if isinstance(value, int):
                setattr(found, name, value)
        if _is_time(raw.get("failed_at")):
            found.failed_at, found.failed_message = str(raw["failed_at"]), str(raw.get("failed_message", ""))
            found.failed_times = max(found.failed_times, 1)
        return found


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
