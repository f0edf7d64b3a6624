"""What goes before an operation that runs, so that it has to end and the planner decides again. Pure.

``waiting``: OperationState of an operation that waits for an operator, else empty.
"""

from __future__ import annotations

from datetime import datetime

from api.look import AppSnapshot
from api.operations import OperationType
from workflows.entity.drain import next_move
from workflows.entity.state import EntityState


def failover_before(operation: str, state: EntityState, now: datetime) -> str:
    """Why a Failover goes first; empty where none does, or the operation is one itself, or a deletion."""
    if operation in (OperationType.DELETE, OperationType.FAILOVER):
        return ""
    lost = state.failovers.due(now)
    asked = state.asked_for(OperationType.FAILOVER)
    if lost is None and not asked:
        return ""
    return f"{lost.why if lost is not None else 'somebody asked for it'}: a Failover goes first"


def room_for(
    newest: AppSnapshot,
    operation: str,
    before: frozenset[str],
    state: EntityState,
    waiting: str,
    now: datetime,
    *,
    first: bool = False,
) -> tuple[str, frozenset[str]]:
    """Why the operation has to end so that drift is repaired, or a role moved that a drain waits for, and what is to be
    looked at again. ``first``: the App's first Deploy has not completed.

    One that waits for an operator makes room for any drift. One that is at work only for what was missing at the
    look ``before`` too: its steps would wait for that without end, while they themselves put other things away.
    A RotateCredentials makes room for all that is found at two looks: it puts nothing away, goes on wherever it was
    ended, and lets both passwords be valid for days maybe.
    """
    if first:
        return _first_begins_anew(newest, before, state)
    rotating = operation == OperationType.ROTATE_CREDENTIALS
    move = next_move(newest, state, now) if waiting or rotating else None
    if not waiting and move is not None and move.reason not in before:
        move = None
    drift = frozenset(newest.drift) - frozenset(state.unrepairable)
    found = drift if rotating else drift & frozenset(newest.missing)
    if rotating:  # a role that may not move yet may be free to at a later look
        found |= {each.message for each in newest.evacuations if each.candidate}
    if operation == OperationType.DELETE:
        return "", frozenset()
    # A plugin, or parameters, half moved look like drift, and a Repair would move them one way or the other.
    half_moved = operation in (OperationType.UPGRADE_PLUGIN, OperationType.RECONFIGURE)
    due = drift if waiting and not half_moved else drift & found & before
    if not due and move is None:
        return "", found
    why, goes = (move.reason, move.operation) if move is not None else (min(due), OperationType.REPAIR)
    return f"{why}: a {goes} goes first", found


def _first_begins_anew(newest: AppSnapshot, before: frozenset[str], state: EntityState) -> tuple[str, frozenset[str]]:
    """As ``room_for``, of a first Deploy: no Repair goes first, it is itself what puts back, by beginning again. What
    it leaves as it was is no reason to begin yet again, until somebody is told to have done it anew."""
    drift = frozenset(newest.drift)
    found = drift - frozenset(state.unrepairable)
    if not found & before:
        return "", found
    state.put_back, state.unrepairable = min(found & before), sorted(drift)
    return f"{state.put_back}: the Deploy begins again", found
