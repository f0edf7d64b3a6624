"""What a node's agent says of its engine beside the role, as typed facts for the App's status. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from proto import agent_pb2
from watcher.roles.streams import Heard


class Writes(StrEnum):
    """``Writes`` of the agents' contract, by name."""

    UNKNOWN = "WRITES_UNSPECIFIED"
    ACCEPTED = "WRITES_ACCEPTED"
    REFUSED = "WRITES_REFUSED"
    REFUSED_HERE = "WRITES_REFUSED_HERE"


@dataclass(frozen=True)
class Said:
    """What a node's agent said last. ``silence``: why it says nothing now, a sentence; empty while it is heard.
    ``silent_since``: when it fell silent, on the watcher's clock; None also where it was never heard before.
    ``fenced``: the agent itself has stopped the engine's writes, since nobody renewed its lease."""

    silence: str = ""
    silent_since: float | None = None
    writes: Writes = Writes.UNKNOWN
    refusal: str = ""
    fenced: bool = False
    follows: str = ""
    credentials_refused: bool = False
    credentials_changed: str = ""
    """Not empty: the Secret holds another password than the one in use; another text for each edit."""
    failover_off: str = ""
    keeps_ending: str = ""
    """Why its engine ends again and again, a sentence; empty where it does not."""
    stop_refused: bool = False
    """By the plugin's word the node may not be stopped now."""
    unreadable: str = ""
    """Why its engine may not be given its volume, a sentence; empty where it may."""


def said_after(known: Said | None, heard: Heard, now: float) -> Said:
    """Silence changes nothing of what was said last: it is no proof of anything else."""
    report = heard.report
    if report is None:
        if known is None:
            return Said(silence=heard.silence)
        return replace(known, silence=heard.silence, silent_since=known.silent_since if known.silence else now)
    return Said(
        writes=_writes(report),
        refusal=report.refusal,
        fenced=report.fenced,
        follows=report.follows,
        credentials_refused=report.credentials_refused,
        credentials_changed=report.credentials_changed,
        failover_off=report.failover_off,
        stop_refused=report.stop_refused,
        keeps_ending=(report.message or "it does not say why") if report.keeps_ending else "",
        unreadable=report.message if report.process == agent_pb2.UNREADABLE else "",
    )


def _writes(report: agent_pb2.RoleReport) -> Writes:
    """UNKNOWN also for a word that only a newer agent knows."""
    value = agent_pb2.Writes.DESCRIPTOR.values_by_number.get(report.writes)
    known = [each for each in Writes if value is not None and each == value.name]
    return known[0] if known else Writes.UNKNOWN
