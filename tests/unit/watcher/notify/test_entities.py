"""Which Apps' workflows are begun again."""

from __future__ import annotations

from typing import Any

import pytest

from api.names import FINALIZER
from watcher.notify.entities import missing, needs_entity


def app(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "demo", "name": name, **metadata}}


def test_only_those_whose_workflow_does_not_run() -> None:
    running = {"main/app/demo/a", "other/app/demo/b"}
    assert missing([app("a"), app("b")], running, "main") == [app("b")], "another installation's is not its own"


@pytest.mark.parametrize(
    ("metadata", "needed"),
    [
        ({}, True),
        ({"deletionTimestamp": "now", "finalizers": [FINALIZER]}, True),
        ({"deletionTimestamp": "now", "finalizers": ["somebody/else"]}, False),
    ],
)
def test_an_app_needs_its_workflow_until_its_deletion_has_ended(metadata: dict[str, Any], needed: bool) -> None:
    assert needs_entity(app("a", **metadata)) == needed
