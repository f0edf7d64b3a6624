"""Names of a tool's result: ``vresion`` would be read by nobody, and what the platform waits for would never come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from api.tools import Tool, ToolName
from render.lint.tool_files import ToolFile
from render.plugin.problems import Problem, listing, near

READ: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        ToolName.READY: frozenset({"unsaved", "volatile", "follows", "failoverOff"}),
        ToolName.GET_ROLE: frozenset({"role", "epoch", "position", "followers"}),
        ToolName.GET_VERSION: frozenset({"version"}),
        ToolName.FOLLOWERS: frozenset({"followers"}),
        ToolName.TAKES_WRITES: frozenset({"writes", "refusal"}),
        ToolName.FENCE: frozenset({"position"}),
        ToolName.DETACH: frozenset({"position"}),
        ToolName.USE_CREDENTIALS: frozenset({"restart"}),
    }
)
"""What the platform reads of each, as ``ToolName`` says it."""
_NEEDED: Mapping[str, str] = MappingProxyType(
    {ToolName.GET_VERSION: "version", ToolName.FOLLOWERS: "followers", ToolName.TAKES_WRITES: "writes"}
)
"""Without which the tool says nothing. Of ``getRole`` the rendered tools are asked."""


def result_problems(file: ToolFile) -> Iterator[Problem]:
    for name, tool in file.box.tools.items():
        wrong = False
        for problem in _unread(file, name, tool) if name in READ else ():
            wrong = wrong or not problem.warns
            yield problem
        needed = _NEEDED.get(name)
        missing = tool.result is None or (isinstance(tool.result, Mapping) and needed not in tool.result)
        if needed is not None and missing and not wrong:
            yield file.problem(
                ("tools", name), f"tool {name!r} has no result {needed!r}; write result: {{{needed}: …}}"
            )


def _unread(file: ToolFile, name: str, tool: Tool) -> Iterator[Problem]:
    for key in tool.result if isinstance(tool.result, Mapping) else ():
        if key in READ[name]:
            continue
        hint = near(str(key), READ[name])
        message = f"the platform reads no result {key!r} of {name}{hint or f'; it reads {listing(READ[name])}'}"
        yield file.problem(("tools", name, "result", str(key)), message, warns=not hint)
