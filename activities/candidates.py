"""Who may take over from a lost primary, by what the replicas say of themselves. Pure.

Nobody takes over who may lack acknowledged writes, unless that is allowed; and of those who may, the one with the most
data. ``detach`` has the last word: a replica that never had the data refuses, whatever is allowed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from activities.takeover import Nodes
from activities.wanted import Wanted
from api.app import DataLoss
from api.failover import Takeover
from proto import agent_pb2
from render.desired import DesiredComponent

IN_SYNC_WITHIN = 5_000
"""Milliseconds between a replica's last moment in sync and the primary's last good one. Clocks of two machines differ,
and a replica that hears nothing says so after 3 s."""


def quorum(component: DesiredComponent) -> int:
    """How many replicas must have stopped following before one becomes writable: with fewer, those that still follow
    the old primary could be the majority that renews its lease."""
    return math.ceil((len(component.nodes) - 1) / 2)


def lossy(want: Wanted, takeover: Takeover) -> bool:
    return takeover.force or want.app.spec.failover.data_loss == DataLoss.ALLOW


def is_well(report: agent_pb2.RoleReport | None, nodes: Nodes) -> bool:
    """Writable and serving."""
    return report is not None and report.role in nodes.writable and report.ready and not report.fenced


def able_to_take_over(replicas: Mapping[str, agent_pb2.RoleReport], since: int, *, lossy: bool) -> list[str]:
    """By name. ``since``: when the primary was last well, unix milliseconds; 0: not known, and only those that are in
    sync now are taken. Whoever never had the data is refused by its own tool ``detach``, also where loss is allowed."""
    return sorted(name for name, report in replicas.items() if report.role and (lossy or not why_not(report, since)))


def why_not(report: agent_pb2.RoleReport, since: int) -> str:
    """Why it may lack acknowledged writes, or empty."""
    if not report.role:
        return report.message or "its role is not known"
    if report.ready:
        return ""
    if since and report.last_ready >= since - IN_SYNC_WITHIN:
        return ""
    if not report.last_ready:
        return "it has not been in sync since it started"
    if since:
        return f"it was last in sync {(since - report.last_ready) // 1000} s before the primary was lost"
    ago = time.time() - report.last_ready / 1000
    return f"it was last in sync {ago:.0f} s ago, and nobody knows when the primary was lost; force it if it was then"


def furthest_of(positions: Mapping[str, int]) -> str:
    """The first by name of those that came furthest."""
    return max(sorted(positions), key=lambda name: positions[name])
