"""Tools of hours: what an author may have got wrong about them is found before they reach a node."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.render.support import found_by_lint as found
from tests.unit.render.support import with_tools

STEPS: dict[str, Any] = {"steps": [{"set": {"a": "b"}}]}
POLL: dict[str, Any] = STEPS | {"result": {"state": "running", "progress": 40}}
LEAVE: dict[str, Any] = {"start": STEPS, "poll": POLL, "cancel": STEPS}


def said(**tools: Any) -> str:
    return found(tools_yaml=with_tools(yaml.safe_dump(tools, sort_keys=False)))


def polling(result: dict[str, Any]) -> dict[str, Any]:
    return LEAVE | {"poll": STEPS | {"result": result}}


def test_a_tool_of_hours_has_no_mistake() -> None:
    assert said(leave=LEAVE | {"stalls": 3600}, reassign=LEAVE) == ""


@pytest.mark.parametrize(
    ("tool", "sentence"),
    [
        ({"start": STEPS}, "a long tool has start, poll and cancel; add poll and cancel"),
        (LEAVE | STEPS, "steps: has no meaning beside start, poll and cancel; leave it out"),
        (LEAVE | {"stalls": 5}, "stalls: is less than two polls, which are 5 s apart; allow more time"),
        (LEAVE | {"timeout": 7200}, "timeout: has no meaning beside start, poll and cancel; leave it out"),
        (STEPS | {"stalls": 60}, "stalls: is for a tool with start, poll and cancel; give those, or leave it out"),
        ({"timeout": 3}, "steps: a tool has at least one step; or start, poll and cancel, if it takes hours"),
        (LEAVE | {"cancel": STEPS | {"timeout": 60}}, "cancel may take 60 s, but a Failover may be waiting for it"),
        (polling({"state": "finished", "progress": 1}), "state 'finished', which is none"),
        (polling({"state": "{{ 'done' if 1 else 'runing' }}", "progress": 1}), "state 'runing', which is none"),
        (polling({"state": "running"}), "tools.leave.poll.result.progress"),
        (polling({"state": "running", "progress": "{{ moved }}"}), "nothing is called 'moved' here"),
        (LEAVE | {"start": {"steps": [{"set": {"a": "{{ movd }}"}}]}}, "nothing is called 'movd' here"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_by_its_field(tool: dict[str, Any], sentence: str) -> None:
    assert sentence in said(leave=tool)


def test_what_others_wait_for_may_not_take_hours() -> None:
    assert "tool 'fence' may not be long, since others wait for it; give it steps" in said(fence=LEAVE)
    undone = STEPS | {"undo": {"tool": "leave", "after": "3"}}
    assert "leave takes hours; name a tool with steps" in said(leave=LEAVE, custom=undone)


def test_a_tool_with_a_name_like_a_part_of_one_is_refused() -> None:
    assert "tools.leave.poll" in said(**{"leave.poll": STEPS})
