"""Moving writable roles off machines that are about to be emptied (``kubectl drain``), and off nodes whose engines take
no writes. Pure but for the state it keeps.

The budget of a writable node forbids its eviction, so a drain waits and tries again; this is what it waits for. It goes
by what every look at the App finds, not by who reported it. A Switchover that fails is tried again with growing pauses,
or at once when the watcher says that something about it has changed.

A node that takes no writes is relieved once; where its successor soon takes none either (both disks fill, say), moving
the role to and fro helps nobody. So the next relief of the component waits for the App's cool-down, and each further
one twice as long.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.look import AppSnapshot
from api.operations import CORDONED, Notice, OperationResult, OperationType, Outcome, Scope
from workflows.entity.planner import Decision, Telling
from workflows.entity.state import LONGEST_RETRY, EntityState, Relief

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=5)
"""Short: somebody stands before a drain that does not end."""
FIRST_RELIEF_PAUSE, LONGEST_RELIEF_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""The first one where the App's cool-down is shorter."""


def next_move(snapshot: AppSnapshot, state: EntityState, now: datetime) -> Decision | None:
    """The Switchover that a drain waits for, if one can be made. Before all but a deletion: it takes a second, while a
    Repair may wait for a Pod that finds no machine until the drain is over."""
    if not snapshot.exists or snapshot.deleting or snapshot.refusal or snapshot.paused:
        return None
    waits = bool(state.move_retry_at) and now < datetime.fromisoformat(state.move_retry_at)
    for found in snapshot.evacuations:
        rests = not found.machine and now < _relief_at(state, found.component)
        if found.candidate and not rests and not (waits and found.node == state.move_node):
            return Decision(OperationType.SWITCHOVER, found.message, scope=Scope(found.component, node=found.node))
    return None


def heard(state: EntityState, notice: Notice) -> None:
    """What kept a role from moving may be over."""
    if CORDONED in notice.detail:
        state.move_retry_at = ""


def learn_move(state: EntityState, snapshot: AppSnapshot, node: str, result: OperationResult, now: datetime) -> None:
    """How an operation ended that nobody asked for by hand; only a Switchover away from a node is of interest.
    ``snapshot``: by which it was decided."""
    if result.type != OperationType.SWITCHOVER or not node or result.outcome == Outcome.CANCELLED:
        return
    if result.outcome == Outcome.COMPLETED:
        for found in snapshot.evacuations:
            if found.node == node and not found.machine:
                _learn_relief(state, found.component, now)
        state.move_node = state.move_message = state.move_retry_at = ""
        state.move_times = 0
        return
    state.move_times = state.move_times + 1 if state.move_node == node else 1
    state.move_node, state.move_message = node, result.message[:500]
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(state.move_times - 1, 8), LONGEST_PAUSE)
    state.move_retry_at = (now + (LONGEST_RETRY if result.outcome == Outcome.ABORTED else pause)).isoformat()


def _learn_relief(state: EntityState, component: str, now: datetime) -> None:
    before = state.reliefs.get(component)
    times = before.times if before is not None else 0
    if now > _relief_at(state, component) + _relief_pause(state, times):
        times = 0  # one that came as soon as it might would have been about the same trouble
    state.reliefs[component] = Relief((now + _relief_pause(state, times + 1)).isoformat(), times + 1)


def _relief_pause(state: EntityState, times: int) -> timedelta:
    first = max(timedelta(seconds=state.failovers.cool_down), FIRST_RELIEF_PAUSE)
    pause: timedelta = max(first, min(first * 2 ** min(max(times, 1) - 1, 8), LONGEST_RELIEF_PAUSE))
    return pause


def _relief_at(state: EntityState, component: str) -> datetime:
    """Before which the component's role is not moved again since its holder takes no writes."""
    relief = state.reliefs.get(component)
    return datetime.fromisoformat(relief.until) if relief is not None else datetime.fromtimestamp(0, UTC)


def with_word(telling: Telling, snapshot: AppSnapshot, state: EntityState, now: datetime) -> Telling:
    """With what a drain cannot take away, or takes down, and why. That a node refuses writes is the watcher's to tell,
    which sees at once when that is over: here is said only that it could not be relieved, or is not yet."""
    said: list[str] = []
    failed: list[str] = []
    for found in snapshot.evacuations:
        tried = found.node == state.move_node and not snapshot.paused
        if not found.machine:
            failed += [f"the Switchover away from {found.node} failed: {state.move_message}"] if tried else []
            if not snapshot.paused and not tried and now < (at := _relief_at(state, found.component)):
                failed.append(
                    f"{found.node} has its role since another node took no writes either, and is not relieved before "
                    f"{at:%H:%M:%S} UTC"
                )
        elif not found.candidate:
            said.append(found.message)
        elif snapshot.paused:
            said.append(f"{found.message}, and stays so while the App is paused")
        elif tried:
            said.append(f"{found.message}, and could not be relieved yet: {state.move_message}")
    if not said and not failed:
        return telling
    return replace(
        telling, message="; ".join(filter(None, [telling.message, *said, *failed])), cordoned="; ".join(said)
    )
