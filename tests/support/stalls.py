"""Whether this machine stood still: a bound in seconds tells nothing of the product where it did.

A virtual machine that shares its host is not run for some seconds now and then, and its clocks go on. Then leases run
out, time-outs end and a Sentinel does nothing for half a minute, as they should. So a test that has a bound asks here
first: whoever was too late on a machine that stood still has shown nothing.
"""

from __future__ import annotations

import threading
import time

EVERY = 0.05
LEAST, LONG = 0.3, 1.0
"""Seconds. What is shorter may be a busy machine, which is no excuse."""


class Stalls:
    """Of one that is woken every ``EVERY`` seconds: when it was not."""

    def __init__(self, now: float) -> None:
        self._awake = now
        self._known: list[tuple[float, float]] = []

    def woken(self, now: float) -> None:
        if seconds := self._late(now):
            self._known.append((now, seconds))
        self._awake = now

    def longest(self, since: float, now: float) -> float:
        """Of those that ended after ``since``, the one that nobody was woken after yet among them."""
        return max([self._late(now), *(seconds for end, seconds in tuple(self._known) if end > since)])

    def _late(self, now: float) -> float:
        late = now - self._awake - EVERY
        return late if late > LEAST else 0.0


_stalls = Stalls(time.monotonic())


def _watch() -> None:
    while True:
        time.sleep(EVERY)
        _stalls.woken(time.monotonic())


threading.Thread(target=_watch, name="stalls", daemon=True).start()


def stood_still(since: float) -> float:
    """The longest time, in seconds, for which nothing ran here since then (``time.monotonic``)."""
    return _stalls.longest(since, time.monotonic())


def stalled(since: float) -> bool:
    """For whoever shares the machine with a whole cluster: whether it was so long that time-outs of seconds ran out."""
    return stood_still(since) > LONG


def grace(since: float) -> float:
    """Seconds that whoever waits for something adds where the machine stood still: time-outs ran out, and are begun
    anew."""
    return 30.0 if stood_still(since) > 0 else 0.0


def in_time(since: float, seconds: float) -> bool:
    """Whether less than ``seconds`` have gone by since then; not judged where the machine stood still."""
    return time.monotonic() - since < seconds or stood_still(since) > 0
