"""Steps that restart or signal the engine are refused where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from render.plugin.templates import TemplateFailure
from tests.unit.plugins.support import files, wanted

TOOLS = """\
sequences:
  inner: {steps: [{when: "true", steps: [{restart: {}, timeout: 60}]}]}
  outer: {steps: [{set: {a: b}, onFailure: [{call: inner}]}, {call: outer}]}
tools:
  ready: {steps: [{call: outer}, {reload: {signal: USR1}}]}
"""


def rendered(tools: str) -> str:
    """What is wrong with these tools of a Redis server; empty: nothing."""
    of = wanted("redis", "standalone", redis_server=1)
    given = {**of.bundle.files, of.components[0].definition.tools: tools}
    try:
        files(replace(of, bundle=replace(of.bundle, files=given)), "redis-server")
    except TemplateFailure as failure:
        return str(failure)
    return ""


def test_a_tool_beside_the_engine_may_restart_and_signal_it() -> None:
    assert rendered(TOOLS) == ""


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ("[{restart: {}}]", "restart"),
        ("[{when: x, fail: nobody, else: [{reload: {}}]}]", "reload"),
        ("[{call: outer}]", "restart"),
    ],
)
def test_pre_start_may_not_not_even_by_a_sequence(steps: str, refused: str) -> None:
    said = rendered(TOOLS + f"  preStart: {{steps: {steps}}}\n")
    assert f"line 6: tools.preStart: {refused} is for an engine that runs; preStart comes before it starts" in said


def test_only_signals_that_reload_can_be_sent() -> None:
    assert "'HUP', 'USR1' or 'USR2'" in rendered("tools: {ready: {steps: [{reload: {signal: KILL}}]}}\n")
