"""What the App's entity remembers from one run to the next, with a schema number, decoded tolerantly.

A newer worker reads what an older one wrote and the other way round (a rollback): unknown fields are dropped,
missing ones get defaults, and what cannot be read is forgotten rather than failing the workflow task for ever,
since all that matters can be planned anew from the cluster.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from api.operations import OperationResult

SCHEMA = 1
KEPT_RESULTS = 30
"""Answers for runs started by hand; each of them asks within seconds."""


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
    failed_times: int = 0
    retry_at: str = ""
    unrepairable: list[str] = field(default_factory=list)

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
            if name in ("queue", "results", "schema") or default is None or type(value) is not type(default):
                continue
            setattr(state, name, value)
        state.queue = [ticket for entry in _entries(raw.get("queue")) if (ticket := _ticket(entry)) is not None]
        results = raw.get("results")
        for key, entry in results.items() if isinstance(results, dict) else ():
            if isinstance(entry, dict):
                state.results[str(key)] = OperationResult(
                    *(str(entry.get(name, "")) for name in ("type", "outcome", "message", "workflow_id"))
                )
        return state


def _entries(raw: Any) -> list[dict[str, Any]]:
    return [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []


def _ticket(entry: dict[str, Any]) -> Ticket | None:
    if not entry.get("id") or not entry.get("type"):
        return None
    return Ticket(*(str(entry.get(name, "")) for name in ("id", "type", "requested_by", "reason")))
