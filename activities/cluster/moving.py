"""``status.moving`` of an App: writable roles that are on their way to another node.

A node that comes back with its data asks whether it is still primary. While a role is on its way nobody can tell but
the nodes themselves, and one of them may be cut off. So the move is noted before its candidate is asked, and the note
stays until both nodes have said who has the role, or the platform and most of the replicas hold to the one that
answers (``activities.roles.role_moves``), whatever becomes of the operation and of whoever ran it: no watcher
and no Failover gives the word meanwhile (``watcher.failover.holders``, ``activities.roles.candidates``). Only a watcher
that has heard the candidate long enough afterwards passes a note over by itself, as Temporal may be down.

It is written with the record (``activities.cluster.state``) and under the App's version, so no step that writes the
rest of the status takes it away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from activities.cluster.state import Fields, update_status
from activities.dependencies import Platform, permanent
from api.app import RoleMove
from api.failover import ASKED_FOR
from api.steps import ErrorType, Target
from clients.errors import NotFoundError
from clients.resources import APP, Manifest


@dataclass(frozen=True)
class Noted:
    """Proof that a move is noted; no node is asked to take over without it. ``first``: nobody noted it before."""

    candidate: str
    first: bool


async def note_move(platform: Platform, target: Target, component: str, source: str, candidate: str) -> Noted:
    """Raises ApplicationError NotFound where the App is another by now."""
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    move = RoleMove(component=component, source=source, candidate=candidate, since=since)
    first = True

    def noted(live: Manifest) -> Fields | None:
        nonlocal first
        if live["metadata"]["uid"] != target.uid:
            raise permanent(ErrorType.NOT_FOUND, f"App {target.namespace}/{target.app} is gone")
        known = _moves(live)
        first = all(each.candidate != candidate for each in known)
        others = [each for each in known if each.candidate != candidate]
        return _fields([*others, move])

    await update_status(platform, APP, target.app, target.namespace, noted)
    return Noted(candidate, first)


async def end_moves(platform: Platform, target: Target, candidates: Collection[str]) -> None:
    """For whoever has noted them. Of an App that is gone there is nothing to say."""
    await _end(platform, target, lambda move: move.candidate in candidates)


async def end_left(platform: Platform, target: Target, moves: Collection[RoleMove]) -> None:
    """Those very moves, as they were read: one that was noted again since is another."""
    if moves:
        await _end(platform, target, lambda move: move in moves)


async def _end(platform: Platform, target: Target, over: Callable[[RoleMove], bool]) -> None:
    def ended(live: Manifest) -> Fields | None:
        known = _moves(live)
        left = [each for each in known if not over(each)]
        if live["metadata"]["uid"] != target.uid or left == known:
            return None
        return _fields(left)

    with suppress(NotFoundError):
        await update_status(platform, APP, target.app, target.namespace, ended)


def described(move: RoleMove) -> str:
    """A phrase."""
    if not move.source:
        return f"the App's status was lost, and with it whether {move.candidate} was given the role"
    return f"its role was on its way from {move.source} to {move.candidate}"


def moves_of(app: Manifest, component: str) -> list[RoleMove]:
    return [each for each in _moves(app) if each.component == component]


def may_be_under_way(move: RoleMove, now: datetime) -> bool:
    """Whether its candidate may still do what it was asked for."""
    return now - datetime.fromisoformat(move.since) < timedelta(seconds=ASKED_FOR)


def _moves(app: Manifest) -> list[RoleMove]:
    return [RoleMove.model_validate(each) for each in (app.get("status") or {}).get("moving") or []]


def _fields(moves: list[RoleMove]) -> Fields:
    return {"moving": [each.model_dump(by_alias=True, mode="json") for each in moves]}
