"""Every stored history replays on the present workflows: a worker that is upgraded goes on with what runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from api.operations import COMPONENT_WORKFLOW, ENTITY_WORKFLOW, GROUP_WORKFLOW, OperationType
from workflows.registry import ALL_WORKFLOWS

FOLDER = Path(__file__).parent / "histories"
HISTORIES = sorted(FOLDER.rglob("*.json"))
PRESENT = "0.3.0"


def stored(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_replays(path: Path) -> None:
    workflow_id = path.stem.split("@")[0].replace("~", "/")
    history = WorkflowHistory.from_json(workflow_id, stored(path))
    await Replayer(workflows=ALL_WORKFLOWS).replay_workflow(history)


def test_every_kind_of_workflow_is_stored() -> None:
    """Under the present release, which a worker that is upgraded comes from: each operation, and its children."""
    kinds = set()
    for path in (each for each in HISTORIES if PRESENT in each.relative_to(FOLDER).parts):
        started = json.loads(stored(path))["events"][0]["workflowExecutionStartedEventAttributes"]
        kinds.add(started["workflowType"]["name"])
    assert kinds >= {ENTITY_WORKFLOW, COMPONENT_WORKFLOW, GROUP_WORKFLOW, *OperationType}
