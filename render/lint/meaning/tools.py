"""Tools that the platform needs of a component, and results that it reads: ``vresion`` would be read by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from api.plugin import ComponentDefinition
from api.tools import LONGEST, Tool, ToolName
from render.lint.tool_files import ToolFile
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem, listing, near

FAILOVER_TOOLS = (ToolName.FENCE, ToolName.UNFENCE, ToolName.DETACH, ToolName.FAILOVER, ToolName.FOLLOW)
"""By which the platform replaces a lost primary."""


def tool_problems(bundle: PluginBundle, definition: ComponentDefinition, file: ToolFile) -> Iterator[Problem]:
    written, tools = file.names("tools"), file.box.tools
    roles = [role.name for role in definition.roles]
    yield from _too_long(file, tools)
    if ToolName.READY not in written:
        yield file.problem(("tools",), "tool 'ready' is missing; without it nobody knows when a node serves")
    if roles and ToolName.GET_ROLE not in written:
        yield file.problem(("tools",), f"tool 'getRole' is missing, but roles are declared ({listing(roles)})")
    get_role = tools.get(ToolName.GET_ROLE)
    if get_role is not None and "role" not in results(get_role):
        yield file.problem(("tools", "getRole"), "tool 'getRole' has no result 'role'; write result: {role: …}")
    for topology in bundle.plugin.spec.topologies if takes_over(definition) else ():
        if topology.failover != "platform" or definition.name not in [each.name for each in topology.components]:
            continue
        missing = [name for name in FAILOVER_TOOLS if name not in written]
        if missing:
            message = f"topology {topology.name!r} has failover: platform, but these tools are missing"
            yield file.problem(("tools",), f"{message}: {listing(missing)}")
        if get_role is not None and "position" not in results(get_role):
            message = "tool 'getRole' has no result 'position', by which failover: platform chooses who takes over"
            yield file.problem(("tools", "getRole"), message)


def takes_over(definition: ComponentDefinition) -> bool:
    """Whether there is a primary to replace."""
    return any(role.writable and role.exclusive for role in definition.roles)


def results(tool: Tool) -> set[str]:
    """The names of what it gives, where it names them."""
    return {str(name) for name in tool.result} if isinstance(tool.result, Mapping) else set()


def _too_long(file: ToolFile, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """What the platform would cut off in the middle."""
    for name, tool in tools.items():
        most = LONGEST.get(name)
        if most is not None and tool.timeout > most:
            message = f"tool {name!r} may take {tool.timeout:g} s, but the platform waits for it for {most:g} s"
            yield file.problem(("tools", name, "timeout"), f"{message}; give it a timeout of at most {most:g}")


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
    {
        ToolName.GET_VERSION: "version",
        ToolName.FOLLOWERS: "followers",
        ToolName.TAKES_WRITES: "writes",
    }
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
