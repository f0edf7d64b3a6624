"""Whether a long tool still makes progress: no time bounds it, only the absence of progress does. Pure.

Seconds are counted by whoever watches: while no worker does, nobody can say that there was no progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from proto import agent_pb2

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True)
class Watched:
    """What is known of a run. ``best``: per cent, the most that was seen; only more than that counts as progress, since
    a number that goes to and fro would else be waited for without end. ``without``: seconds since then. ``said``: what
    was heard last, also that nothing was. ``done``: an earlier attempt saw it so."""

    begun: bool = False
    best: float = 0.0
    without: float = 0.0
    said: str = ""
    done: bool = False

    def after(self, seconds: float) -> Watched:
        return replace(self, without=self.without + seconds)

    def heard(self, status: agent_pb2.LongToolStatus) -> Watched:
        """Of one that runs. The first word of it is progress too: what was waited for until now was somebody else."""
        moved = not self.begun or status.progress > self.best
        best = max(self.best, status.progress)
        return Watched(True, best, 0.0 if moved else self.without, how_far(status))

    def not_heard(self, why: str) -> Watched:
        return replace(self, said=why)


def how_far(status: agent_pb2.LongToolStatus) -> str:
    """For people: ``40 %, about 20 min left: 12 of 30 partitions moved``."""
    left = f", about {duration(status.eta)} left" if status.HasField("eta") else ""
    return f"{status.progress:.0f} %{left}" + (f": {status.message}" if status.message else "")


def duration(seconds: float) -> str:
    """In one unit: an estimate is no better than that."""
    for unit, name in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def to_details(watched: Watched) -> dict[str, Any]:
    """As heartbeats carry it, readable in the Temporal UI."""
    return {
        "begun": watched.begun,
        "progress": watched.best,
        "secondsWithout": round(watched.without, 1),
        "said": watched.said,
        "done": watched.done,
    }


def of_details(given: Mapping[str, Any] | None) -> Watched:
    """What an earlier attempt had seen; nothing where there was none."""
    if not given:
        return Watched()
    return Watched(
        bool(given.get("begun")),
        float(given.get("progress", 0.0)),
        float(given.get("secondsWithout", 0.0)),
        str(given.get("said", "")),
        bool(given.get("done")),
    )
