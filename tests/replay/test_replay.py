"""Every stored history replays on the present workflows: a worker that is upgraded goes on with what runs."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from api.operations import COMPONENT_WORKFLOW, ENTITY_WORKFLOW, GROUP_WORKFLOW, OperationType
from workflows.registry import ALL_WORKFLOWS
from workflows.temporal.sandbox import WORKFLOW_RUNNER

FOLDER = Path(__file__).parent / "histories"
HISTORIES = sorted(FOLDER.rglob("*.json"))
PRESENT = "0.3.0"
WORKFLOWS = Path(__file__).parents[2] / "workflows"
UNREACHED: dict[str, str] = {}
"""Patches that no life can come to (``branches``) -> why."""


def stored(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_replays(path: Path) -> None:
    workflow_id = path.stem.split("@")[0].replace("~", "/")
    history = WorkflowHistory.from_json(workflow_id, stored(path))
    await Replayer(workflows=ALL_WORKFLOWS, workflow_runner=WORKFLOW_RUNNER).replay_workflow(history)


def of_present() -> Iterator[Path]:
    """Those of the present release, which a worker that is upgraded comes from."""
    return (each for each in HISTORIES if PRESENT in each.relative_to(FOLDER).parts)


def test_every_kind_of_workflow_is_stored() -> None:
    """Under the present release: each operation, and its children."""
    kinds = set()
    for path in of_present():
        started = json.loads(stored(path))["events"][0]["workflowExecutionStartedEventAttributes"]
        kinds.add(started["workflowType"]["name"])
    assert kinds >= {ENTITY_WORKFLOW, COMPONENT_WORKFLOW, GROUP_WORKFLOW, *OperationType}


def patches() -> set[str]:
    """Those that the workflows ask for, by name."""
    names = set()
    for path in WORKFLOWS.rglob("*.py"):
        for node in ast.walk(ast.parse(stored(path))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "patched":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}: which patch is it"
                names.add(str(node.args[0].value))
    return names


def test_every_patch_is_stored() -> None:
    """Else nothing would notice a change of what is done behind it, and a worker that is upgraded would get stuck."""
    markers = set()
    for path in of_present():
        for event in WorkflowHistory.from_json(path.stem, stored(path)).events:
            marker = event.marker_recorded_event_attributes
            if marker.marker_name == "core_patch":
                markers.add(json.loads(marker.details["patch-data"].payloads[0].data)["id"])
    assert patches() - markers == set(UNREACHED), "take its branch in tests/replay/branches.py, and record it"
