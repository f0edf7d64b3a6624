"""Carries out one tool: steps in order, their modifiers, the result. ``api.tools`` says what each field means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agent.document import Sequence, Step, Tool, Toolbox
from agent.process.reaper import Reaper
from agent.settings import PathRefusedError, Settings
from agent.tooling.actions import Actions, Engine
from agent.tooling.connections import ConnectionPool
from agent.tooling.failure import (
    LONGEST_PICKED,
    EngineError,
    LoginRefusedError,
    Mask,
    StepError,
    ToolError,
    picked,
    shown,
)
from agent.tooling.names import Scope
from agent.tooling.secrets import Secrets
from agent.tooling.trace import Trace
from language.expressions import ExpressionError, expression, filled
from language.filters import Failure, word

_DEEPEST = 16
"""Sequences that call each other."""
_TURN = 0.02
"""Seconds."""
_FAILURES = (StepError, ExpressionError)
"""Of a step. What came back may lack a field that an expression asks for: the step failed then, like any other."""


@dataclass(frozen=True)
class Outcome:
    """``values``: the result, each as the text that a caller outside gets, secrets masked; ``result``: as it is."""

    values: Mapping[str, str]
    result: Any


@dataclass
class Interpreter:
    """What all runs of tools in one agent share."""

    settings: Settings
    secrets: Secrets
    reaper: Reaper
    engine: Engine | None = None
    """Agent 1, in agent 2."""

    async def run(
        self,
        name: str,
        toolbox: Toolbox,
        known: Mapping[str, Any],
        *,
        arguments: Mapping[str, str] | None = None,
        pool: ConnectionPool | None = None,
        line: Callable[[str], None] | None = None,
        waits: Callable[[], object] | None = None,
        traced: bool = False,
        whole: bool = False,
    ) -> Outcome:
        """``known``: names such as ``node`` and ``peers``. Kept connections live in ``pool``, or end with the run.
        ``waits`` is called before each wait for somebody who does not answer within a moment. ``traced``: ``line``
        also gets what each step did; ``whole``: however long it is.

        Raises ToolError.
        """
        tool = toolbox.tools[name]
        own_pool = ConnectionPool() if pool is None else pool
        scope = Scope({**known, "arg": dict(arguments or {})}, toolbox.vars, self.secrets)
        trace = Trace(self._masked(line), self.secrets.mask, whole) if traced and line is not None else Trace()
        actions = Actions(
            self.settings,
            self.reaper,
            toolbox.connections,
            own_pool,
            line or _nothing,
            waits or _nothing,
            trace,
            self.engine,
        )
        deadline = asyncio.get_running_loop().time() + tool.timeout
        run = _Run(actions, toolbox.sequences, deadline)
        try:
            await run.steps(tool.steps, scope)
            run.position = "its result"
            result = filled(tool.result, scope)
            trace.found({"result": result})
            return Outcome(self.secrets.masked(_values(result)), result)
        except TimeoutError as error:
            late = f"tool {name}, {run.position}: not finished within the tool's {tool.timeout:g} s"
            raise ToolError(late, self._known(tool, scope), asked=_asked(run, tool)) from error
        except (StepError, ExpressionError, PathRefusedError, OSError, ValueError) as error:
            failed = self.secrets.mask(f"tool {name}, {run.position}: {error}")
            refused = isinstance(error, LoginRefusedError)
            raise ToolError(failed, self._known(tool, scope), login_refused=refused, asked=_asked(run, tool)) from error
        except Exception as error:
            # Nobody has thought of it. A tool that fails is told to whoever waits for it; any other error is told to
            # nobody, and the last report of the node would go on to be taken for its state.
            failed = self.secrets.mask(f"tool {name}, {run.position}: {type(error).__name__}: {error}")
            raise ToolError(failed, self._known(tool, scope), asked=_asked(run, tool)) from error
        finally:
            if pool is None:
                own_pool.close()

    def _masked(self, line: Callable[[str], None]) -> Callable[[str], None]:
        return lambda text: line(self.secrets.mask(text))

    def _known(self, tool: Tool, scope: Scope) -> Mapping[str, str]:
        """The results for which all has been found by now."""
        values: dict[str, str] = {}
        for key, written in tool.result.items() if isinstance(tool.result, Mapping) else ():
            with suppress(Exception):  # of what has failed already: the first error is told
                values |= _values({key: filled(written, scope)})
        return self.secrets.masked(values)


def _nothing(*_: object) -> None:
    """Where nobody watches."""


@dataclass
class _Run:
    actions: Actions
    sequences: Mapping[str, Sequence]
    deadline: float
    position: str = "before its first step"
    depth: int = 0
    turn: float = 0.0
    """When others have theirs."""
    asked: bool = False
    """Whether a step with ``asks: true`` has begun, and none with ``asks: false`` has succeeded since."""
    clock: Callable[[], float] = field(init=False)

    def __post_init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.turn = self.clock() + _TURN

    async def steps(self, steps: tuple[Step, ...], scope: Scope, within: str = "") -> None:
        """Raises TimeoutError where the tool's time is up; a step that ends before by itself needs no timer for it."""
        for number, step in enumerate(steps, start=1):
            if self._due():
                await self._others()
            self.position = f"{within}step {number} {step.name!r}" if step.name else f"{within}step {number}"
            trace = self.actions.trace
            if step.when and not expression(step.when)(scope):
                trace.passed_over(self.position, step)
                await self.steps(step.else_, scope, f"{self.position}, else, ")
                continue
            trace.begins(self.position, step)
            work = self._attempt(step, scope) if step.plain else self._carry_out(step, scope)
            if not step.longest or step.longest <= self.deadline - self.clock():
                await work
            else:
                async with asyncio.timeout_at(self.deadline):
                    await work

    def _due(self) -> bool:
        """Whether it is time for others, or the tool's own is up."""
        now = self.clock()
        return now > self.turn or now >= self.deadline

    async def _others(self) -> None:
        """Steps that wait for nobody, many times over, must neither outlast the tool nor keep the agent from all
        else."""
        if self.clock() >= self.deadline:
            raise TimeoutError
        await asyncio.sleep(0)
        self.turn = self.clock() + _TURN

    async def _carry_out(self, step: Step, scope: Scope) -> None:
        position = self.position
        try:
            if step.for_each:
                await self._each(step, scope)
            elif step.first_of:
                await self._repeated(step, scope, lambda: self._first(step, scope))
            else:
                await self._repeated(step, scope, lambda: self._attempt(step, scope))
        except _FAILURES as error:
            if not step.optional and not step.on_failure:
                raise
            failure = _failure(error)
            self.actions.trace.failed(error)
            scope.found |= dict.fromkeys(step.as_, failure) | {"error": failure.error}
            await self.steps(step.on_failure, scope, f"{position}, onFailure, ")

    async def _each(self, step: Step, scope: Scope) -> None:
        """``into`` names the list of what the items gave; of an optional step without those that failed, of a step that
        fails those before."""
        gathered: list[Any] = []
        position = self.position
        try:
            for item in _items(step.for_each, scope):
                self.position = position
                if self._due():
                    await self._others()
                with scope.item(item):
                    try:
                        await self._repeated(step, scope, lambda: self._attempt(step, scope))
                    except _FAILURES:
                        if not step.optional:
                            raise
                        continue
                values = [scope.found[name] for name in step.as_]
                gathered.append(values[0] if len(values) == 1 else values)
        finally:
            if step.into:
                scope.found[step.into] = gathered

    async def _first(self, step: Step, scope: Scope) -> None:
        failures: list[str] = []
        position = self.position
        for item in _items(step.first_of, scope):
            self.position = position
            if self._due():
                await self._others()
            try:
                with scope.item(item):
                    await self._attempt(step, scope)
                scope.found["item"] = item
                return
            except _FAILURES as error:
                failures.append(f"{item}: {error}")
        raise StepError("none succeeded: " + "; ".join(failures) if failures else "none succeeded: the list is empty")

    async def _repeated(self, step: Step, scope: Scope, attempt: Callable[[], Awaitable[None]]) -> None:
        """Until it succeeds and ``until`` holds, where there is an ``until``; else once."""
        if not step.until:
            return await attempt()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + step.within
        position = self.position
        while True:
            self.position = position
            failure: StepError | ExpressionError
            try:
                await attempt()
                held = expression(step.until)(scope)
                self.actions.trace.judged("until", step.until, held)
                if held:
                    return None
                failure = _unmet(f"waited for {step.until}", step, scope)
            except _FAILURES as error:
                failure = error
            if loop.time() + step.every >= deadline:
                raise StepError(f"{failure} (tried for {step.within:g} s)") from failure
            await asyncio.sleep(step.every)

    async def _attempt(self, step: Step, scope: Scope) -> None:
        self.asked = self.asked or step.asks is True
        await self._act(step, scope)
        self.asked = self.asked and step.asks is not False

    async def _act(self, step: Step, scope: Scope) -> None:
        try:
            value = await self._value(step, scope)
        except StepError as error:
            said = picked(step.error, scope.secrets.mask(error.answer))
            if said is None or isinstance(error, LoginRefusedError):
                raise
            raise StepError(f"{error.saying} {shown(said, scope.secrets.mask, LONGEST_PICKED)}") from error
        found = _apart(step.as_, value, scope.secrets.mask) if len(step.as_) > 1 else dict.fromkeys(step.as_, value)
        scope.found |= found
        trace = self.actions.trace
        trace.found(found)
        if not step.expect:
            return
        held = expression(step.expect)(scope)
        trace.judged("expect", step.expect, held)
        if not held:
            raise _unmet(f"expected {step.expect}", step, scope)

    async def _value(self, step: Step, scope: Scope) -> Any:
        if step.steps:
            await self.steps(step.steps, scope, f"{self.position}, ")
            return None
        if step.set is not None:
            for name, written in step.set.items():
                scope.found[name] = filled(written, scope)
                self.actions.trace.found({name: scope.found[name]})
            return None
        if step.fail is not None:
            raise StepError(str(filled(step.fail, scope)))
        if step.call is not None:
            return await self._call(step, step.call, scope)
        if step.waits or step.write is not None:
            return await self.actions.carry_out(step, scope)
        return None

    async def _call(self, step: Step, name: str, scope: Scope) -> Any:
        sequence = self.sequences.get(name)
        if sequence is None:
            raise StepError(f"there is no sequence {name!r}")
        if self.depth >= _DEEPEST:
            raise StepError(f"sequences call each other more than {_DEEPEST} deep, {name!r} among them")
        inner, position = scope.inner(filled(step.with_, scope)), self.position
        self.depth += 1
        try:
            await self.steps(sequence.steps, inner, f"{position}, {name}, ")
            result = filled(sequence.result, inner)
        finally:
            self.depth -= 1
        self.position = position
        return result


def _failure(error: StepError | ExpressionError) -> Failure:
    if isinstance(error, EngineError):
        return Failure(str(error), sqlstate=error.sqlstate, errno=error.errno, message=error.message)
    return Failure(str(error))


def _asked(run: _Run, tool: Tool) -> bool | None:
    """Whether what ``tool`` was to bring about may come though it failed; None where none of its steps tells."""
    return run.asked if _says_who_asks(tool.steps, run.sequences, frozenset()) else None


def _says_who_asks(steps: tuple[Step, ...], sequences: Mapping[str, Sequence], seen: frozenset[str]) -> bool:
    for step in steps:
        if step.asks:
            return True
        inner = (*step.steps, *step.else_, *step.on_failure)
        if step.call and step.call not in seen and step.call in sequences:
            seen |= {step.call}
            inner += sequences[step.call].steps
        if _says_who_asks(inner, sequences, seen):
            return True
    return False


def _apart(names: tuple[str, ...], value: Any, mask: Mask) -> dict[str, Any]:
    if not isinstance(value, list | tuple):
        raise StepError(f"as: names {len(names)} values, but it gives no list: {shown(str(value), mask)}")
    if len(value) != len(names):
        raise StepError(f"it gives {len(value)} values, and as: names {len(names)}")
    return dict(zip(names, value, strict=True))


def _items(written: str, scope: Scope) -> list[Any]:
    """Raises StepError where it is no list."""
    found = expression(written)(scope)
    if isinstance(found, Mapping):
        return [{"name": name, "value": value} for name, value in found.items()]
    if isinstance(found, list | tuple | range):
        return list(found)
    raise StepError(f"{written} is no list, but {shown(str(found), scope.secrets.mask)}")


def _unmet(wanted: str, step: Step, scope: Scope) -> StepError:
    """In the author's own words where there are any."""
    if step.otherwise:
        return StepError(word(filled(step.otherwise, scope)))
    return StepError(f"{wanted}, but {_stands(step, scope)}")


def _stands(step: Step, scope: Scope) -> str:
    """What the step has found, for whoever reads why that was not enough."""
    mask, said = scope.secrets.mask, []
    for name in step.as_:
        value = str(scope.found.get(name))
        part = picked(step.error, mask(value))
        said.append(f"{name} says {shown(part, mask, LONGEST_PICKED)}" if part else f"{name} is {shown(value, mask)}")
    return "; ".join(said) or "it is not so"


def _values(result: Any) -> dict[str, str]:
    if not isinstance(result, Mapping):
        return {}
    return {str(key): _position(value) if key == "position" else _text(value) for key, value in result.items()}


def _position(value: Any) -> str:
    """A list of which a part is not known says nothing: what is left of it would be another position."""
    parts = [_text(each) for each in value] if isinstance(value, list | tuple) else [_text(value)]
    return " ".join(parts) if all(parts) else ""


def _text(value: Any) -> str:
    """As the caller's protocol has it: texts. Lists are parted by blanks; what is not known is empty."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(_text(each) for each in value)
    return "" if value is None or isinstance(value, Failure) else str(value)
