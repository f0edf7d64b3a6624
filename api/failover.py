"""What the steps of a Failover say to each other.

As in ``api.steps``: fields are stored in histories, so they are added with defaults and never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from api.steps import Target

ASKED_FOR = 60.0
"""Seconds for which a candidate that was asked to take a role may still take it, though whoever asked is gone: longer
than the tool may take, and than the fence of the one before lasts."""
CLOCK_TOLERANCE = 5.0
"""Seconds by which a machine's clock may differ from the platform's for a time of day that its volume remembers to be
believed."""


@dataclass(frozen=True)
class FailoverRequest:
    """``node`` empty: whichever was primary. ``seen``: when it was last known to be well, unix milliseconds, or 0.
    ``address``: of its last Pod, or empty. ``in_sync_since``: stands for ``seen`` where that is 0. ``asked``: by a
    person."""

    target: Target
    component: str = ""
    node: str = ""
    candidate: str = ""
    force: bool = False
    seen: int = 0
    address: str = ""
    in_sync_since: int = 0
    asked: bool = False


@dataclass(frozen=True)
class Takeover:
    """What a Failover has to do. ``source`` empty: nothing, and ``message`` says why.

    ``primary``: another node holds the role already, so ``source`` has only to be taken in again. ``candidate``: the
    one that was asked for, else empty: chosen when all replicas have stopped following.
    """

    target: Target
    component: str
    source: str = ""
    candidate: str = ""
    primary: str = ""
    force: bool = False
    seen: int = 0
    message: str = ""
    address: str = ""
    well: int = 0
    """As ``seen``, or as the source's own volume remembers it."""


@dataclass(frozen=True)
class Fenced:
    """``proof``: why the source acknowledges no write any more, a sentence. ``position``: the last one that its volume
    remembers, empty where nobody could ask. ``seconds``: how long it took."""

    proof: str
    position: str = ""
    seconds: float = 0.0
    by_lease: bool = False
    """Nobody has stopped it: it has stopped itself, and would go on if its replicas followed it again."""
    by_machine: bool = False
    """Its Pod has ended, as its machine says. That says nothing of the Pod that comes next."""


@dataclass(frozen=True)
class FenceRequest:
    takeover: Takeover

    @property
    def target(self) -> Target:
        return self.takeover.target


@dataclass(frozen=True)
class Chosen:
    """``position``: where the candidate begins. ``message``: why this one, a sentence. ``lost``: what the source may
    have had alone, a sentence; empty where nothing is known of it."""

    candidate: str = ""
    position: str = ""
    message: str = ""
    lost: str = ""


@dataclass(frozen=True)
class PromoteRequest:
    """``chosen`` is empty while it is to be found out."""

    takeover: Takeover
    fenced: Fenced
    chosen: Chosen = field(default_factory=Chosen)

    @property
    def target(self) -> Target:
        return self.takeover.target


@dataclass(frozen=True)
class ReadmitRequest:
    takeover: Takeover
    primary: str
    lost: str = ""
    """A sentence on the writes that only the source has; empty where it has none."""

    @property
    def target(self) -> Target:
        return self.takeover.target
