"""Histories as files: compressed, without what no replay reads, under names that a new recording does not change."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from tests.workflows.cluster import INSTALLATION
from tests.workflows.running import NAMESPACE

FOLDER = Path(__file__).parent / "histories"
SUFFIX = ".json.gz"
RECORD_TO = "MW_RECORD_HISTORIES"
"""Environment variable: the folder to which ``tests/workflows`` writes all that its workflows did."""
_NEEDLESS = frozenset({"identity", "stackTrace", "requestId", "taskId", "workerVersion"})
"""Which machine recorded it, and where that had the source, is besides nobody's business."""


def named(histories: Iterable[WorkflowHistory]) -> dict[str, WorkflowHistory]:
    """By the workflow's id and, after the first, by the number of its run: a run's own id is another each time."""
    runs: Counter[str] = Counter()
    found = {}
    for history in sorted(histories, key=lambda each: each.events[0].event_time.ToNanoseconds()):
        runs[history.workflow_id] += 1
        number = runs[history.workflow_id]
        app, *rest = history.workflow_id.removeprefix(f"{INSTALLATION}/app/{NAMESPACE}/").split("/")
        name = ".".join([app, *(rest[1:] if rest[:1] == [f"uid-{app}"] else rest)])
        found[name if number == 1 else f"{name}.run-{number}"] = history
    return found


def write(history: WorkflowHistory, folder: Path, name: str) -> None:
    """The same bytes for the same history."""
    text = json.dumps(_stripped(history.to_json_dict()), separators=(",", ":"), sort_keys=True)
    (folder / f"{name}{SUFFIX}").write_bytes(gzip.compress(text.encode(), mtime=0))


def read(path: Path) -> WorkflowHistory:
    """What ``write`` has written."""
    raw = json.loads(gzip.decompress(path.read_bytes()))
    started = raw["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(started["workflowId"], raw)


def _stripped(raw: Any) -> Any:
    if isinstance(raw, dict):
        if raw.get("kind") == "TASK_QUEUE_KIND_STICKY":  # named after one worker
            return {}
        return {key: _stripped(value) for key, value in raw.items() if key not in _NEEDLESS}
    return [_stripped(each) for each in raw] if isinstance(raw, list) else raw
