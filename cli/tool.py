"""``mw tool``: one tool of the plugin on one node, run by agent 2 there, step by step for whoever writes the plugin.

By kubectl, as ``mw connect``: who may run programs in the Pod's container may have its agent run a tool. What changes
the engine is run only with ``--force``: the platform goes by what it has told the engine itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.tools import ToolName
from cli.session import CommandError

_ONLY_LOOK = frozenset(
    {
        ToolName.READY,
        ToolName.GET_ROLE,
        ToolName.GET_VERSION,
        ToolName.READ_CONFIG,
        ToolName.TAKES_WRITES,
        ToolName.FOLLOWERS,
        ToolName.SAFE_TO_STOP,
        ToolName.SETTLED,
    }
)


def check(tool: str, *, force: bool) -> None:
    """Raises CommandError for a tool that is not run by hand, or not without ``force``."""
    if tool in (ToolName.PRE_START, ToolName.BOOTSTRAP):
        raise CommandError(f"{tool} runs before a start of the engine, in its container; its lines are in: mw logs")
    name, _, part = tool.partition(".")  # of a long tool
    if name in set(ToolName) - _ONLY_LOOK and part != "poll" and not force:
        raise CommandError(f"{tool} changes what the platform goes by; run it with --force where that is meant")


def arguments(given: Sequence[str]) -> Mapping[str, str]:
    """Of ``NAME=VALUE`` words. Raises CommandError."""
    wrong = [word for word in given if "=" not in word or word.startswith("=")]
    if wrong:
        raise CommandError(f"{wrong[0]!r} is no argument of a tool; write NAME=VALUE, such as seconds=5")
    return dict(word.split("=", 1) for word in given)


def command(tool: str, given: Mapping[str, str], *, trace: bool, whole: bool = False) -> list[str]:
    """What runs in the tools' container."""
    words = [f"{name}={value}" for name, value in given.items()]
    return ["/agent/bin/agent", "tool", tool, *(["--trace=full"] if whole else ["--trace"] if trace else []), *words]
