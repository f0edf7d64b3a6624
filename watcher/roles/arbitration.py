"""Who holds which role: pure decisions over the reports of one component's agents.

1. Of each Pod only its newest report counts: of one life of the agent (incarnation) the highest sequence, and never a
   life that another one has followed. So a late or reordered report changes nothing.
2. A report without a role withdraws the Pod's claim where it says that the engine does not run; where the engine runs
   but is slow to answer, or the agent is silent, the claim stands: silence is no proof of another role.
3. An exclusive role goes to the claim with the highest epoch. Of equal epochs the present holder keeps it, else the
   first by name has it: one holder in every case.
4. When the holder vanishes without a word (its Pod is gone), a claim with a lower epoch than its is not believed for
   ``STALE_CLAIM_SECONDS``: it is older than the lost one, and its engine may not know yet. After that the engine's
   epochs must have started anew, and a role without holder would be worse. A holder that says itself that it is no
   longer the holder leaves no such mark.
5. A Pod that is barred (it was replaced as primary and has not been taken in again) gets no exclusive role, whatever
   its epoch: no client may reach it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

STALE_CLAIM_SECONDS = 10.0
_REMEMBERED_LIVES = 16
"""Ended lives of one Pod's agent that are told from its present one."""


@dataclass(frozen=True)
class Report:
    """What one agent said. ``running`` is False where it says that the engine does not run."""

    role: str
    epoch: int
    sequence: int
    incarnation: str
    running: bool = True


@dataclass(frozen=True)
class Claim:
    """A Pod's standing claim (``role`` may be empty) and what is needed to know a newer report."""

    role: str
    epoch: int
    sequence: int = -1
    incarnation: str = ""
    ended: tuple[str, ...] = ()


@dataclass(frozen=True)
class LostHolder:
    epoch: int
    until: float


@dataclass(frozen=True)
class Decision:
    """``roles``: Pod -> role, without entry where it has none. ``refused``: Pod -> why it does not get what it claims.
    ``recheck``: when, on the caller's clock, time alone may change the decision."""

    roles: Mapping[str, str]
    refused: Mapping[str, str]
    recheck: float | None = None


def accept(known: Claim | None, report: Report) -> Claim | None:
    """The claim after ``report``, or None where the report is not newer than what is known."""
    if known is None:
        return Claim(report.role, report.epoch if report.role else 0, report.sequence, report.incarnation)
    ended = known.ended
    if report.incarnation == known.incarnation:
        if report.sequence < known.sequence:
            return None
    elif report.incarnation in ended:
        return None
    elif known.incarnation:
        ended = (*ended, known.incarnation)[-_REMEMBERED_LIVES:]
    role, epoch = report.role, report.epoch
    if not role:
        role, epoch = (known.role, known.epoch) if report.running else ("", 0)
    return replace(known, role=role, epoch=epoch, sequence=report.sequence, incarnation=report.incarnation, ended=ended)


class Arbiter:
    """The reports and decisions of one component. Pods are known by name; ``now`` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._holders: dict[str, str] = {}
        self._lost: dict[str, LostHolder] = {}

    def seed(self, pod: str, role: str, epoch: int) -> None:
        """What an earlier watcher decided: stands until the Pod's agent says something itself."""
        if pod not in self._claims:
            self._claims[pod] = Claim(role, epoch)

    def report(self, pod: str, report: Report) -> bool:
        """Takes a report in. False where it was late, or says what is known."""
        before = self._claims.get(pod)
        claim = accept(before, report)
        if claim is None:
            return False
        self._claims[pod] = claim
        return (claim.role, claim.epoch) != ((before.role, before.epoch) if before is not None else ("", 0))

    def gone(self, pod: str, now: float) -> None:
        """The Pod does not exist any more: it holds nothing."""
        claim = self._claims.pop(pod, None)
        if claim is not None and self._holders.get(claim.role) == pod:
            self._lost[claim.role] = LostHolder(claim.epoch, now + STALE_CLAIM_SECONDS)

    def epoch(self, pod: str) -> int:
        """Epoch of the Pod's standing claim, 0 without one."""
        claim = self._claims.get(pod)
        return claim.epoch if claim else 0

    def claimed(self, pod: str) -> str:
        """Role of the Pod's standing claim, empty without one."""
        claim = self._claims.get(pod)
        return claim.role if claim else ""

    def __len__(self) -> int:
        return len(self._claims)

    def decide(self, exclusive: Collection[str], now: float, barred: Mapping[str, str] | None = None) -> Decision:
        """Who has which role now. ``exclusive``: the roles that at most one Pod may hold. ``barred``: Pods that get
        none of those, and why."""
        roles: dict[str, str] = {}
        refused: dict[str, str] = {}
        rechecks: list[float] = []
        for pod, claim in self._claims.items():
            if claim.role and claim.role not in exclusive:
                roles[pod] = claim.role
        for role in sorted(exclusive):
            claimants = {pod: claim.epoch for pod, claim in self._claims.items() if claim.role == role}
            for pod in [pod for pod in claimants if barred and pod in barred]:
                refused[pod] = f"claims {role} with epoch {claimants.pop(pod)}; {(barred or {})[pod]}"
            lost = self._lost.get(role)
            if lost is not None and now < lost.until:
                for pod in [pod for pod, epoch in claimants.items() if epoch < lost.epoch]:
                    refused[pod] = f"claims {role} with epoch {claimants.pop(pod)}; the lost holder had {lost.epoch}"
                    rechecks.append(lost.until)
            winner = self._winner(role, claimants)
            if winner is None:
                self._holders.pop(role, None)
                continue
            roles[winner] = role
            self._holders[role] = winner
            self._lost.pop(role, None)
            for pod, epoch in claimants.items():
                if pod != winner:
                    refused[pod] = f"claims {role} with epoch {epoch}; {winner} has it with {claimants[winner]}"
        return Decision(roles, refused, min(rechecks, default=None))

    def _winner(self, role: str, claimants: Mapping[str, int]) -> str | None:
        if not claimants:
            return None
        highest = max(claimants.values())
        best = sorted(pod for pod, epoch in claimants.items() if epoch == highest)
        holder = self._holders.get(role)
        return holder if holder in best else best[0]


@dataclass(frozen=True)
class LabelChange:
    """``role`` None removes the label. ``first``: before any change that is not ``first``, or not at all."""

    pod: str
    role: str | None
    first: bool


def label_changes(
    present: Mapping[str, str | None], wanted: Mapping[str, str], exclusive: Collection[str]
) -> list[LabelChange]:
    """What to patch, in order: who loses an exclusive role comes first, so that no moment has two holders.

    ``present``: label of each existing Pod, None without one.
    """
    first: list[LabelChange] = []
    then: list[LabelChange] = []
    for pod, label in sorted(present.items()):
        role = wanted.get(pod)
        if label == role:
            continue
        if label in exclusive and role in exclusive:  # two Pods may swap: nobody gets one before both have let go
            first.append(LabelChange(pod, None, first=True))
            then.append(LabelChange(pod, role, first=False))
        elif label in exclusive:
            first.append(LabelChange(pod, role, first=True))
        else:
            then.append(LabelChange(pod, role, first=False))
    return first + then
