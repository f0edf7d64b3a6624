"""Who may take over from a lost primary, by what the replicas say of themselves. Pure.

Nobody takes over who may lack acknowledged writes, unless that is allowed; and of those who may, the one with the most
data. ``detach`` has the last word: a replica that never had the data refuses, whatever is allowed.

A replica that has to start while there is no primary waits for one, so its engine says nothing. What its volume
remembers does: that it has had the data, how far it had come, and when it was last in sync.

Clocks of machines differ. So of one that runs, how long ago it was in sync is taken from its own clock, when it was
asked (``RoleReport.now``), and how long ago the primary was well from ours; the two durations are compared. What a
volume remembers is a time of day: it counts only where the machine's clock, asked now, agrees with ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from activities.agents.agent_targets import remembered_position
from activities.app.desired import StepContext
from activities.dependencies import permanent
from activities.roles.role_moves import Nodes
from api.app import DataLoss, RoleMove
from api.failover import CLOCK_TOLERANCE, Chosen, Takeover
from api.steps import ErrorType
from language.positions import Position, diverged, furthest, shown
from proto import agent_pb2

IN_SYNC_WITHIN = 5_000
"""Milliseconds between a replica's last moment in sync and the primary's last good one: a replica that hears nothing
says so after 3 s."""

LOST_FOR = 60_000
"""Milliseconds after which a primary that has not come back is replaced by a replica that waits and may lack writes,
where ``dataLoss: Allow`` permits it. Where everybody restarts at once, the primary is back before."""


def lossy(want: StepContext, takeover: Takeover) -> bool:
    return takeover.force or want.app.spec.failover.data_loss == DataLoss.ALLOW


def is_well(report: agent_pb2.RoleReport | None, nodes: Nodes) -> bool:
    """Writable and serving."""
    return report is not None and report.role in nodes.writable and report.ready and not report.fenced


def able_to_take_over(replicas: Mapping[str, agent_pb2.RoleReport], since: int, now: int, *, lossy: bool) -> list[str]:
    """By name. ``since``: when the primary was last well, unix milliseconds; 0: not known, and only those that are in
    sync now are taken. ``now``: before they were asked, by the same clock. Whoever never had the data is refused by its
    own tool ``detach``, also where loss is allowed."""
    able = (name for name, report in replicas.items() if report.role and (lossy or not why_not(report, since, now)))
    return sorted(able)


def why_not(report: agent_pb2.RoleReport, since: int, now: int) -> str:
    """Why it may lack acknowledged writes, or empty."""
    if not report.role:
        return report.message or "its role is not known"
    if report.ready:
        return ""
    if not report.last_ready:
        return "it has not been in sync since it started"
    ago = (report.now or now) - report.last_ready
    if not since:
        said = f"it was last in sync {ago / 1000:.0f} s ago, and nobody knows when the primary was lost"
        return f"{said}; force it if it was then"
    before = ago - (now - since)
    if before <= IN_SYNC_WITHIN:
        return ""
    return f"it was last in sync {before // 1000} s before the primary was lost"


@dataclass(frozen=True)
class Waiting:
    """A node whose engine waits for a primary. ``in_sync_at``: last, unix milliseconds. ``cannot``: why it must not
    begin as one, whatever is allowed; ``behind``: why it may lack acknowledged writes. Sentences, each empty where that
    is not so."""

    position: Position
    in_sync_at: int
    cannot: str
    behind: str


def judged(
    statuses: Mapping[str, agent_pb2.ProcessStatus],
    takeover: Takeover,
    writable: Collection[str],
    replaced: Collection[str],
    now: int,
) -> dict[str, Waiting]:
    """By name, what agent 1 of each says and its volume remembers. ``replaced``: nodes that were primary and are to be
    taken in again. ``now``: when they were asked, unix milliseconds."""
    return {
        name: Waiting(
            remembered_position(status.volume),
            int(status.volume.last_ready),
            "it was replaced itself" if name in replaced else _why_never(status, takeover.target.uid, writable),
            _why_behind(status.volume, takeover.well, now) or _clock_differs(status, now),
        )
        for name, status in statuses.items()
    }


def _why_never(status: agent_pb2.ProcessStatus, app_uid: str, writable: Collection[str]) -> str:
    volume = status.volume
    if not status.may_lead:
        return "it waits for a primary, and its agent or its plugin is of a version that cannot begin as one"
    if not volume.present or volume.app_uid != app_uid or not remembered_position(volume) or not volume.last_ready:
        return "it waits for a primary, and has never had the data"
    if volume.role in writable:
        return f"it does not run, and was {volume.role} itself"
    return ""


def _clock_differs(status: agent_pb2.ProcessStatus, now: int) -> str:
    skew = status.now - now
    if not status.now or abs(skew) <= CLOCK_TOLERANCE * 1000:
        return ""
    direction = "ahead" if skew > 0 else "behind"
    said = f"the clock of its machine is {abs(skew) / 1000:.0f} s {direction}"
    return f"it waits for a primary, and {said}, so nobody knows when it was last in sync; set it right"


def _why_behind(volume: agent_pb2.VolumeRecord, well: int, now: int) -> str:
    """``well``: when the primary was last known to be well, unix milliseconds, or 0.

    One that has seen for itself that it is not in sync any more has outlived the primary's last words to it: the same
    holds as for a replica that runs. One that ended in sync says nothing of what was written after its end.
    """
    said = "it waits for a primary, and was last in sync"
    if not well:
        return f"{said} {(now - volume.last_ready) / 1000:.0f} s ago; nobody knows when the primary was lost"
    allowed = IN_SYNC_WITHIN if volume.last_seen > volume.last_ready else 0
    if volume.last_ready >= well - allowed:
        return ""
    return f"{said} {(well - volume.last_ready) / 1000:.1f} s before the primary was last seen well"


def unheard(
    moves: Sequence[RoleMove], source: str, names: Collection[str], heard: Collection[str]
) -> tuple[RoleMove, str] | None:
    """A move that was begun and the node of it, not ``source``, that does not say whether it has the role: it may, and
    have writes that nobody else has. ``names``: of the component's nodes, as one that was removed has none."""
    for move in moves:
        if move.source and source not in (move.source, move.candidate):
            continue
        for node in (move.candidate, move.source):
            if node != source and node in names and node not in heard:
                return move, node
    return None


def able_to_lead(waits: Mapping[str, Waiting], *, lossy: bool) -> list[str]:
    """By name."""
    return sorted(name for name, each in waits.items() if not each.cannot and (lossy or not each.behind))


def best_of(
    takeover: Takeover,
    detached: Mapping[str, Position],
    waits: Mapping[str, Waiting],
    refused: Sequence[str],
    *,
    lossy: bool,
    unsaved: Collection[str] = (),
) -> Chosen:
    """Among those that run (``detached``, their positions) and those that wait and lack nothing: they all followed the
    source in the end, so their positions are of one history. One that may lack something may remember an older one: it
    is taken where there is nobody else and loss is allowed, or by force by its name. Of those that are equally far one
    that is not ``unsaved`` is taken: were it killed too, it would have all that. Raises NoCandidate, Diverged."""
    able = {name: each for name, each in waits.items() if not each.cannot}
    positions = {**detached, **{name: each.position for name, each in able.items() if not each.behind}}
    if not positions and lossy:
        # A primary that was started counts from 0: positions of two that were in sync at other times do not compare.
        latest = max((each.in_sync_at for each in able.values()), default=0)
        positions = {name: each.position for name, each in able.items() if each.in_sync_at >= latest - IN_SYNC_WITHIN}
    why = because([*refused, *(f"{n}: {w.cannot or w.behind}" for n, w in waits.items() if w.cannot or w.behind)])
    by_force = takeover.force and bool(takeover.candidate)
    if by_force and takeover.candidate in able:
        positions[takeover.candidate] = able[takeover.candidate].position
    candidate = takeover.candidate or furthest_of(positions, unsaved)
    if candidate not in positions:
        who = f"{candidate} cannot" if candidate else "nobody can"
        raise permanent(ErrorType.NO_CANDIDATE, f"{who} take over from {takeover.source}{why}")
    if not by_force:
        _check_furthest(candidate, positions, takeover)
    position = positions[candidate]
    return Chosen(candidate, str(position), f"{candidate} has the most data ({shown(position)}){why}")


def _check_furthest(candidate: str, positions: Mapping[str, Position], takeover: Takeover) -> None:
    """Raises NoCandidate where another has more, Diverged where each of two has what the other has not: whichever took
    over, writes would be lost, and which may be is not for a rule to decide, whatever loss is allowed."""
    if pair := diverged(positions):
        one, other = pair
        said = f"{one} (at {shown(positions[one])}) and {other} (at {shown(positions[other])}) have diverged"
        advice = f"mw failover {takeover.target.app} --to NODE --force takes one, and what only the other has is lost"
        raise permanent(ErrorType.DIVERGED, f"{said}: each has data that the other has not; {advice}")
    most = furthest(positions)[0]
    if not positions[candidate].reaches(positions[most]):
        said = f"{candidate} is {positions[candidate].beside(positions[most])}"
        said = f"{said} {most}" if said.endswith("behind") else f"{said} ({most})"
        raise permanent(ErrorType.NO_CANDIDATE, f"{said}; choose that one, or force it")


def set_aside(fenced: Position, chosen: Position) -> str:
    """What the old primary may have had alone; empty where nothing is known of it."""
    if chosen.reaches(fenced):
        return ""
    said = f"it had come to {shown(fenced)}, and its successor begins at {shown(chosen)}"
    return f"{said}: what lies between was not replicated, and is kept on its volume"


def because(refused: Sequence[str]) -> str:
    return f" ({'; '.join(refused)})" if refused else ""


def furthest_of(positions: Mapping[str, Position], unsaved: Collection[str]) -> str:
    """The first by name of those that came furthest, of those that have saved all if there are any. Empty: of none."""
    return max(furthest(positions), key=lambda name: name not in unsaved, default="")
