"""Every stored history replays on the present workflows: a worker that is upgraded goes on with what runs.

What the present workflows do themselves is replayed by ``tests/workflows`` as soon as they have done it.
"""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowHistory

from api.operations import COMPONENT_WORKFLOW, ENTITY_WORKFLOW, GROUP_WORKFLOW, OperationType
from tests.replay.replaying import replayed
from tests.replay.stored import FOLDER, read

RELEASES = sorted(path.name for path in FOLDER.iterdir())


def histories(release: str) -> list[WorkflowHistory]:
    return [read(path) for path in (FOLDER / release).iterdir()]


@pytest.mark.parametrize("release", RELEASES)
async def test_replays(release: str) -> None:
    assert not await replayed(histories(release))


@pytest.mark.parametrize("release", RELEASES)
def test_every_kind_of_workflow_is_stored(release: str) -> None:
    """Each operation, and its children."""
    started = [each.events[0].workflow_execution_started_event_attributes for each in histories(release)]
    kinds = {each.workflow_type.name for each in started}
    assert kinds >= {ENTITY_WORKFLOW, COMPONENT_WORKFLOW, GROUP_WORKFLOW, *OperationType}


def test_only_releases_are_stored_from_which_one_may_upgrade() -> None:
    assert 1 <= len(RELEASES) <= 2, "see docs/versioning.md"
