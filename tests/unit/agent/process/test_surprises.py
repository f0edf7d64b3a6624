"""What nobody has thought of in a preparation or a start is one more try, not the end of agent 1."""

from __future__ import annotations

from typing import Any

import pytest

from proto import agent_pb2 as pb
from tests.unit.agent.support import Manager, Node

_JSON = "print('[' * 100000 + ']' * 100000)"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"process": {"directories": ["a\0b"]}}, "null byte"),
        ({"process": {"command": ["/bin/echo", "a\0b"]}}, "null byte"),
        (
            {"tools": {"preStart": {"steps": [{"run": {"argv": ["/usr/bin/env", "python3", "-c", _JSON],
                                                       "parse": "json"}}]}}},
            "expected JSON",
        ),
    ],
)  # fmt: skip
async def test_a_surprise_before_the_start_is_tried_again(
    node: Node, manager: Manager, changes: dict[str, Any], said: str
) -> None:
    node.mount(node.document(**changes))
    agent = node.start_manager()
    status = await manager.reaches(pb.BACKOFF)
    assert said in status.message
    node.mount(node.document(revision=2))
    await manager.reaches(pb.RUNNING)
    assert agent.poll() is None
