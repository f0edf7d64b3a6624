"""Long tools: what the engine carries on by itself for hours. Looked at, begun and cancelled by calls that end at once.

The engine is the only memory of such a run: no file of ours could say whether it goes on. So a beginning polls first,
and ``start`` runs only where nothing is under way. Callers come again when they, or this agent, were killed in the
middle. Of one tool only one call begins or cancels at a time, and it ends when the engine shows what came of it. So no
second run begins beside the first.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Outcome
from proto import agent_pb2 as pb

SHOWN_WITHIN = 10.0
"""Seconds after ``start`` in which ``poll`` has to tell of the run."""
_ASK_EVERY = 0.2
_STATES = {
    "idle": pb.LONG_TOOL_IDLE,
    "running": pb.LONG_TOOL_RUNNING,
    "done": pb.LONG_TOOL_DONE,
    "failed": pb.LONG_TOOL_FAILED,
}
_STARTS = frozenset({pb.LONG_TOOL_IDLE, pb.LONG_TOOL_FAILED})
Arguments = Mapping[str, str]


def part(tool: str, name: str) -> str:
    """As the document calls it."""
    return f"{tool}.{name}"


def long_tool(name: str, tools: Collection[str]) -> tuple[str, str]:
    """Which long tool is started or cancelled by the tool ``name``, and which of the two; empty where none is."""
    tool, _, verb = name.rpartition(".")
    return (tool, verb) if tool and verb in ("start", "cancel") and part(tool, "poll") in tools else ("", "")


class LongTools:
    """``run`` runs one tool of the document; ToolError where it failed."""

    def __init__(self, run: Callable[[str, Arguments], Awaitable[Outcome]]) -> None:
        self._run = run
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def poll(self, tool: str, arguments: Arguments) -> pb.LongToolStatus:
        try:
            return _standing(tool, (await self._run(part(tool, "poll"), arguments)).values)
        except ToolError as error:
            return pb.LongToolStatus(message=str(error))

    async def begin(self, tool: str, arguments: Arguments) -> pb.LongToolStatus:
        """``refused`` where it could not be started; ``message`` says why."""
        async with self._one_at_a_time[tool]:
            standing = await self.poll(tool, arguments)
            if standing.state not in _STARTS:
                return standing
            return await self._changed(tool, "start", arguments, _STARTS)

    async def cancel(self, tool: str, arguments: Arguments) -> pb.LongToolStatus:
        """Unasked whether it runs: what cannot be seen may run, and to cancel what does not run does no harm."""
        async with self._one_at_a_time[tool]:
            return await self._changed(tool, "cancel", arguments, {pb.LONG_TOOL_RUNNING})

    async def _changed(
        self, tool: str, name: str, arguments: Arguments, before: Collection[pb.LongToolState.ValueType]
    ) -> pb.LongToolStatus:
        """Runs the part, and waits until the engine shows it: a call that came before would take the run for none."""
        try:
            await self._run(part(tool, name), arguments)
        except ToolError as error:
            return pb.LongToolStatus(refused=True, message=str(error))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SHOWN_WITHIN
        while True:
            standing = await self.poll(tool, arguments)
            if standing.state and standing.state not in before:
                return standing
            if loop.time() >= deadline:
                return _unshown(tool, name, standing)
            await asyncio.sleep(_ASK_EVERY)


def _unshown(tool: str, name: str, standing: pb.LongToolStatus) -> pb.LongToolStatus:
    """A run that fails at once has failed; of any other the poll does not tell."""
    if not standing.state or standing.state == pb.LONG_TOOL_FAILED:
        return standing
    state = next(word for word, each in _STATES.items() if each == standing.state)
    message = f"tool {part(tool, name)} succeeded, but {part(tool, 'poll')} says {state!r} {SHOWN_WITHIN:g} s later"
    return pb.LongToolStatus(refused=True, message=f"{message}: {standing.message}" if standing.message else message)


def _standing(tool: str, said: Mapping[str, str]) -> pb.LongToolStatus:
    """Raises ToolError where it is no answer to the question."""
    name, state = part(tool, "poll"), said.get("state", "")
    if state not in _STATES:
        raise ToolError(f"tool {name}, its result: state is {state!r}; it has to be one of {', '.join(_STATES)}")
    progress = _number(name, "progress", said.get("progress", "")) or 0.0
    if progress > 100:
        raise ToolError(f"tool {name}, its result: progress is {progress:g}; 100 is the most, as it is per cent")
    eta = _number(name, "eta", said.get("eta", ""))
    return pb.LongToolStatus(state=_STATES[state], progress=progress, eta=eta, message=said.get("message", ""))


def _number(name: str, field: str, text: str) -> float | None:
    """None where nothing is said. Raises ToolError."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ToolError(f"tool {name}, its result: {field} is {text!r}; it has to be a number, and not below 0")
    return number
