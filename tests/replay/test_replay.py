"""Every stored history replays on the present workflows: a worker that is upgraded goes on with what runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.registry import ALL_WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").rglob("*.json"))


def stored(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_replays(path: Path) -> None:
    workflow_id = path.stem.split("@")[0].replace("~", "/")
    history = WorkflowHistory.from_json(workflow_id, stored(path))
    await Replayer(workflows=ALL_WORKFLOWS).replay_workflow(history)


def test_every_kind_of_workflow_is_stored() -> None:
    kinds = set()
    for path in HISTORIES:
        started = json.loads(stored(path))["events"][0]["workflowExecutionStartedEventAttributes"]
        kinds.add(started["workflowType"]["name"])
    assert kinds >= {"App", "Deploy", "Repair", "Delete", "Component", "Group"}
