"""`mw tool`: what may be run by hand, and what runs in the Pod for it."""

from __future__ import annotations

import pytest

from api.tools import ToolName
from cli import tool
from cli.session import CommandError


@pytest.mark.parametrize(
    "name", ["fence", "failover", "follow", "reloadConfig", "leave", "beforeStop", "leave.start", "leave.cancel"]
)
def test_what_changes_the_engine_wants_force(name: str) -> None:
    with pytest.raises(CommandError, match=f"{name} changes what the platform goes by; run it with --force"):
        tool.check(name, force=False)
    tool.check(name, force=True)


@pytest.mark.parametrize(
    "name", ["ready", "getRole", "getVersion", "readConfig", "takesWrites", "slowlog", "leave.poll"]
)
def test_what_only_looks_and_a_plugins_own_tools_are_run(name: str) -> None:
    tool.check(name, force=False)


@pytest.mark.parametrize("name", [ToolName.PRE_START, ToolName.BOOTSTRAP])
def test_a_tool_of_the_start_is_not_run_by_hand(name: str) -> None:
    with pytest.raises(CommandError, match="before a start of the engine"):
        tool.check(name, force=True)


def test_arguments_are_words_of_their_own() -> None:
    words = tool.command("fence", tool.arguments(["seconds=5", "why=a b=$(c)"]), trace=True)
    assert words == ["/agent/bin/agent", "tool", "fence", "--trace", "seconds=5", "why=a b=$(c)"]


@pytest.mark.parametrize("word", ["seconds", "=5"])
def test_an_argument_without_a_name_is_refused(word: str) -> None:
    with pytest.raises(CommandError, match="write NAME=VALUE"):
        tool.arguments([word])
