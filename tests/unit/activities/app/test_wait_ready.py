"""A node of which Kubernetes complains for long is stuck; one that is only slow is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from temporalio.exceptions import ApplicationError

from activities.agents.node_state import NodeState
from activities.app.wait_ready import NodeWaiter
from activities.dependencies import Platform
from api.steps import ErrorType, Target

TARGET = Target("library", "books", "uid-1", "hash", "Upgrade", "")
AFTER = 45.0


def stuck_at(said: Sequence[tuple[float, str]], *, after: float | None = AFTER) -> float | None:
    """When it gives up, where Kubernetes says this at these times. None: never."""
    waiter = NodeWaiter(cast(Platform, None), TARGET, "wait", ["x"])
    for now, reason in said:
        try:
            waiter._give_up([NodeState("x", False, reason)], now, after)
        except ApplicationError:
            return now
    return None


def test_it_ends_the_step_for_good_with_what_kubernetes_said() -> None:
    waiter = NodeWaiter(cast(Platform, None), TARGET, "wait", ["x"])
    waiter._give_up([NodeState("x", False, "no such image")], 1000.0, AFTER)
    with pytest.raises(ApplicationError, match="x: no such image") as raised:
        waiter._give_up([NodeState("x", False, "no such image")], 1000.0 + AFTER, AFTER)
    assert (raised.value.type, raised.value.non_retryable) == (ErrorType.NODE_STUCK, True)


def every(seconds: float, until: float, *reasons: str) -> list[tuple[float, str]]:
    """The reasons by turns."""
    return [(1000 + n * seconds, reasons[n % len(reasons)]) for n in range(int(until / seconds) + 1)]


def test_a_standing_complaint_is_given_up_in_time() -> None:
    assert stuck_at(every(2, 120, "no such image")) == pytest.approx(1000 + AFTER, abs=2)


def test_other_words_for_the_same_trouble_do_not_begin_anew() -> None:
    found = stuck_at(every(2, 120, "ErrImagePull: no such tag", "ImagePullBackOff: back-off 10s"))
    assert found == pytest.approx(1000 + AFTER, abs=2)


def test_a_short_silence_between_two_complaints_is_no_cure() -> None:
    found = stuck_at(every(5, 300, "crashes (1 restart)", "", "crashes (2 restarts)", ""))
    assert found is not None
    assert found == pytest.approx(1000 + AFTER, abs=10)


def test_a_node_that_is_only_slow_is_waited_for() -> None:
    assert stuck_at(every(2, 3600, "")) is None


def test_a_complaint_that_has_passed_is_forgotten() -> None:
    before = [(1000 + n, "cannot be scheduled") for n in range(0, 40, 2)]
    quiet = [(1040 + n, "") for n in range(0, 60, 2)]
    again = [(1100 + n, "cannot be scheduled") for n in range(0, 40, 2)]
    assert stuck_at([*before, *quiet, *again]) is None


def test_where_nothing_was_asked_for_it_waits_without_end() -> None:
    """A first Deploy waits for an image for as long as it takes."""
    assert stuck_at(every(2, 3600, "no such image"), after=None) is None
