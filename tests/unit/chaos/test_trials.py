"""What the trials of high availability compute from what they saw."""

from __future__ import annotations

import pytest

from tests.chaos.ha import cases, failure, summary
from tests.chaos.ha_faults import FAULTS
from tests.e2e.support.writer import outages


@pytest.mark.parametrize(
    ("times", "since", "expected"),
    [
        ([0.0, 0.1, 0.2], 0.0, []),
        ([0.0, 0.1, 2.1, 2.2], 0.05, [(0.1, 2.1)]),
        ([0.0, 2.0, 2.1, 2.2], 2.05, []),  # over before
        ([0.0, 2.0, 2.1], 1.0, [(0.0, 2.0)]),  # had begun before
        ([0.0, 1.0, 1.1, 3.0], 0.0, [(0.0, 1.0), (1.1, 3.0)]),
    ],
)
def test_outages_are_pauses_between_acknowledged_writes(
    times: list[float], since: float, expected: list[tuple[float, float]]
) -> None:
    assert [(each.start, each.end) for each in outages(times, since, 0.3)] == expected


def test_sentinels_own_faults_are_tried_with_sentinel_only() -> None:
    every = cases(("sentinel", "replication"), list(FAULTS), 2)
    assert ("sentinel", "killed-without-sentinels", 2) in every
    assert not [case for case in every if case[0] == "replication" and FAULTS[case[1]].sentinel]
    assert len(set(every)) == len(every)


def test_the_summary_tells_medians_worst_and_failures() -> None:
    one = {"topology": "sentinel", "fault": "engine-killed", "moved": False, "after": 0.0, "writes": 10, "lost": 1}
    waited = {"waited": 5, "lost_waited": 0, "problems": []}
    lines = [one | waited | {"round": number, "back": float(number), "without": 2.0} for number in (1, 2, 6)]
    broken = {"topology": "sentinel", "fault": "engine-killed", "round": 4, "failure": "it is not whole"}
    text = summary([*lines, broken])
    assert text.splitlines()[1].split() == ["sentinel", "engine-killed", "4", "0", "2.0", "6.0", "2.0", "2.0", "3", "0"]
    assert "FAILED sentinel engine-killed 4: it is not whole" in text
    assert text.endswith("4 cases, 1 failed; 30 acknowledged writes, 3 lost; 15 acknowledged by WAIT, 0 lost")
    assert failure(broken)
    assert not failure(lines[0])
