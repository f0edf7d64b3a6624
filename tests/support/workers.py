"""Which of the run's parallel workers this process is, so that no two take the same ports or addresses.

pytest-xdist names its workers gw0, gw1, … in the environment; a run without it is the only worker.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")


def worker_number() -> int:
    """0 for the first worker, and for a run of one process."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def worker_count() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def share(values: Sequence[Value]) -> Sequence[Value]:
    """This worker's part of ``values``: the parts of all workers are disjoint and of about one size."""
    return values[worker_number() :: worker_count()]
