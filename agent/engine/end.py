"""How an engine ended that nobody had asked to: the facts, and the one sentence in which they are told.

The sentence is in the state of agent 1 (``Status.message``), and from there in the App's status, its Events and the
message of an operation that waits for the node. Each other wording is another Event, so what differs from one end to
the next without saying more is left out.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

_KILLED = 128 + signal.SIGKILL
_TIMES = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))
_MI, _GI = 1 << 20, 1 << 30


@dataclass(frozen=True)
class End:
    """``exit_code``: 128+N for signal N. ``not_executed``: why its command could not even be begun. ``output``: its
    last words. ``memory_limit``: bytes, of the container, where that was what it was killed for."""

    program: str
    exit_code: int
    seconds: float = 0.0
    not_executed: str = ""
    output: str = ""
    out_of_memory: bool = False
    memory_limit: int = 0

    def sentence(self) -> str:
        """Without a full stop."""
        if self.not_executed:
            return f"cannot start {self.program}: {self.not_executed}"
        when = f"after {self.seconds:.0f} s" if self.seconds >= 1 else "within a second"
        ended = f"{Path(self.program).name} ended by itself {when} with exit code {self.exit_code}"
        if self.out_of_memory:
            limit = f"limit {quantity(self.memory_limit)}" if self.memory_limit else "the machine's, or the Pod's"
            return f"{ended}: out of memory ({limit})"
        # Whoever is killed has no time for a last word: what it said before is about something else.
        said = self.exit_code != _KILLED and self.output
        return f"{ended}, saying: {self.output}" if said else ended


def keeps_ending(failures: int, end: End) -> str:
    """A sentence over so many ends in a row."""
    at_least = max((times for times in _TIMES if times <= failures), default=failures)
    return f"keeps ending, {at_least} times or more in a row: {end.sentence()}"


def quantity(size: int) -> str:
    """Bytes as Kubernetes writes them. The kernel rounds a limit to whole pages, so not each is a round number."""
    if size % _GI == 0:
        return f"{size // _GI}Gi"
    return f"{size // _MI}Mi" if size % _MI == 0 else f"about {size / _MI:.0f}Mi"
