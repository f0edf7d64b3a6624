"""What a tier of tests took, written for ``tests.run``: each test's seconds with its fixtures, and how it ended.

A pytest plugin (``-p tests.support.report``) that is silent unless ``MW_TEST_REPORT`` names a file.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

FILE = "MW_TEST_REPORT"


@dataclass
class Tier:
    """One run of pytest. ``seconds`` are by test, set-up and tear-down of what it shares with others included."""

    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Tier:
        """Empty where pytest ended before it wrote anything."""
        return cls(**json.loads(file.read_text())) if file.exists() else cls()


class _Recorder:
    def __init__(self, file: Path) -> None:
        self._file, self._tier = file, Tier()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("@")[0]
        self._tier.seconds[name] = self._tier.seconds.get(name, 0.0) + report.duration
        if report.failed and name not in self._tier.failed:
            self._tier.failed.append(name)

    def pytest_sessionfinish(self) -> None:
        self._file.write_text(json.dumps(asdict(self._tier)))


def pytest_configure(config: pytest.Config) -> None:
    file = os.environ.get(FILE)
    if file and not hasattr(config, "workerinput"):  # the run's first process hears of every worker's tests
        config.pluginmanager.register(_Recorder(Path(file)))
