"""Carries out one tool: steps in order, their modifiers, the result. ``api.tools`` says what each field means.

Beyond what is written there: ``forEach`` may be a list of texts or of objects (``${item.FIELD}``), the word
``arguments`` (each argument of the call, by name, as ``${item.name}`` and ``${item.value}``) or any other text,
filled in and split at white space. ``when`` is asked once per step, or for each item where it mentions ``${item``.
Values inside ``expect``, ``table`` and ``collect`` patterns are filled in literally.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.document import HttpAction, RunAction, Step, TcpAction, Tool, WriteAction
from agent.process.reaper import Reaper
from agent.settings import PathRefusedError, Settings
from agent.storage import write_atomically
from agent.tooling import http
from agent.tooling.failure import LoginRefusedError, StepError, ToolError, shown
from agent.tooling.program import Program, run_program
from agent.tooling.tcp import ConnectionPool, Exchange, Found
from agent.tooling.variables import Secrets, UnknownNameError, Variables

ARGUMENTS = "arguments"


class _Unset(str):
    """Of a name that a step may give a value; empty until then, and told from one that was found to be empty."""

    __slots__ = ()


_UNSET = _Unset()


@dataclass(frozen=True)
class Outcome:
    """``values``: the result table and ``result``, secrets masked. ``variables``: every captured name, as it is."""

    values: Mapping[str, str]
    variables: Mapping[str, str]


@dataclass
class Interpreter:
    """What all runs of tools in one agent share."""

    settings: Settings
    secrets: Secrets
    reaper: Reaper

    async def run(
        self,
        name: str,
        tool: Tool,
        known: Mapping[str, str],
        *,
        arguments: Mapping[str, str] | None = None,
        pool: ConnectionPool | None = None,
        line: Callable[[str], None] | None = None,
        waits: Callable[[], object] | None = None,
    ) -> Outcome:
        """``known``: names such as ``node.name``. Kept connections live in ``pool``, or end with the run. ``waits`` is
        called before each wait for somebody who does not answer within a moment.

        Raises ToolError.
        """
        own_pool = ConnectionPool() if pool is None else pool
        names = dict.fromkeys(tool.assignable, _UNSET) | dict(known)
        names |= {f"arg.{key}": value for key, value in (arguments or {}).items()}
        deadline = asyncio.get_running_loop().time() + tool.timeout
        run = _Run(
            self,
            Variables(names, self.secrets),
            arguments or {},
            own_pool,
            line or _nothing,
            deadline,
            waits or _nothing,
        )
        position = "before its first step"
        try:
            for number, step in enumerate(tool.steps, start=1):
                position = f"step {number} {step.name!r}" if step.name else f"step {number}"
                await run.step(step)
            position = "its result"
            return self._outcome(tool, run)
        except TimeoutError as error:
            late = f"tool {name}, {position}: not finished within the tool's {tool.timeout:g} s"
            raise ToolError(late, self._known(tool, run)) from error
        except (StepError, UnknownNameError, PathRefusedError, OSError, re.error, ValueError) as error:
            failed = self.secrets.mask(f"tool {name}, {position}: {error}")
            refused = isinstance(error, LoginRefusedError)
            raise ToolError(failed, self._known(tool, run), login_refused=refused) from error
        finally:
            if pool is None:
                own_pool.close()

    def _known(self, tool: Tool, run: _Run) -> Mapping[str, str]:
        """The results for which all has been found by now."""
        found = {name: value for name, value in run.variables.known.items() if value is not _UNSET}
        variables, values = Variables(found, self.secrets), {}
        for key, text in tool.result.items():
            with suppress(UnknownNameError):
                values[key] = variables.fill(text)
        return self.secrets.masked(values)

    def _outcome(self, tool: Tool, run: _Run) -> Outcome:
        result = {key: run.variables.fill(text) for key, text in tool.result.items()}
        if "role" in result:
            result["role"] = tool.roles.get(result["role"], result["role"])
        return Outcome(self.secrets.masked(run.table | result), dict(run.variables.known) | result)


def _nothing(*_: object) -> None:
    """Where nobody watches."""


@dataclass
class _Run:
    shared: Interpreter
    variables: Variables
    arguments: Mapping[str, str]
    pool: ConnectionPool
    line: Callable[[str], None]
    deadline: float
    waits: Callable[[], object]
    table: dict[str, str] = field(default_factory=dict)

    async def step(self, step: Step) -> None:
        """Raises TimeoutError where the tool's time is up; a step that ends before by itself needs no timer for it."""
        if not self._hold(step.when_once):
            return
        work = self._attempt(step) if step.plain else self._carry_out(step)
        if not step.longest or step.longest <= self.deadline - asyncio.get_running_loop().time():
            await work
        else:
            async with asyncio.timeout_at(self.deadline):
                await work

    async def _carry_out(self, step: Step) -> None:
        if step.for_each is not None:
            for item in self._items(step.for_each):
                with self._item(item):
                    if self._hold(step.when_each):
                        await self._guarded(step, lambda: self._attempt(step))
        elif step.first_of is not None:
            await self._guarded(step, lambda: self._first(step))
        else:
            await self._guarded(step, lambda: self._attempt(step))

    def _hold(self, conditions: tuple[tuple[str, str], ...]) -> bool:
        fill, pattern = self.variables.fill, self.variables.pattern
        return all(pattern(wanted).fullmatch(fill(text)) for text, wanted in conditions)

    async def _guarded(self, step: Step, attempt: Callable[[], Awaitable[None]]) -> None:
        try:
            if step.repeat is None:
                await attempt()
            else:
                await _repeated(step.repeat.every, step.repeat.timeout, attempt)
        except StepError:
            if not step.optional:
                raise

    async def _first(self, step: Step) -> None:
        failures: list[str] = []
        for text in step.first_of or ():
            item = self.variables.fill(text)
            before = self.variables.known.get("item", "")
            self.variables.known["item"] = item
            try:
                if not self._hold(step.when_each):
                    raise StepError("passed over by when")
                await self._attempt(step)
                return
            except StepError as error:
                failures.append(f"{item}: {error}")
                self.variables.known["item"] = before
        raise StepError("none succeeded: " + "; ".join(failures) if failures else "none succeeded: the list is empty")

    async def _attempt(self, step: Step) -> None:
        if step.tcp is not None:
            exchange = self._exchange(step.tcp, step.expect)
            output, match = self.pool.at_once(exchange) or await self._exchanged(step, exchange)
        else:
            output, match = await self._in_time(step) if step.waits else self._at_once(step), None
        if step.expect is not None:
            if match is None:
                pattern = self.variables.pattern(step.expect)
                match = pattern.search(output)
                if match is None:
                    raise StepError(f"expected /{pattern.pattern}/, answered {shown(output)}")
            self.variables.known |= {name: value or "" for name, value in match.groupdict().items()}
        if step.table is not None:
            for entry in self.variables.pattern(step.table).finditer(output):
                groups = entry.groupdict()
                self.table[groups.get("key") or ""] = groups.get("value") or ""
        for name, text in step.collect.items():
            pattern = self.variables.pattern(text)
            self.variables.known[name] = " ".join(m[min(1, pattern.groups)] or "" for m in pattern.finditer(output))

    async def _exchanged(self, step: Step, exchange: Exchange) -> Found:
        self.waits()
        try:
            async with asyncio.timeout(step.timeout):
                return await self.pool.exchange(exchange)
        except TimeoutError as error:
            expect = exchange.login_expect if exchange.logging_in else exchange.expect
            wanted = "the end of the connection" if expect is None else f"/{expect.pattern}/"
            late = f"expected {wanted} from {exchange.address} within {step.timeout:g} s"
            raise StepError(f"{late}, answered {shown(exchange.answer)}") from error

    async def _in_time(self, step: Step) -> str:
        self.waits()
        try:
            async with asyncio.timeout(step.timeout):
                return await self._act(step)
        except TimeoutError as error:
            raise StepError(f"not finished within {step.timeout:g} s") from error

    async def _act(self, step: Step) -> str:
        if step.run is not None:
            return await self._program(step.run)
        assert step.http is not None
        return await self._http(step.http)

    def _at_once(self, step: Step) -> str:
        if step.write is not None:
            self._write(step.write)
        elif step.set is not None:
            for name, text in step.set.items():
                self.variables.known[name] = self.variables.fill(text)
        elif step.fail is not None:
            raise StepError(self.variables.fill(step.fail))
        return ""

    def _exchange(self, action: TcpAction, expect: str | None) -> Exchange:
        fill = self.variables.fill
        return Exchange(
            address=fill(action.address),
            send=fill(action.send, secrets=True),
            login=partial(fill, action.login, secrets=True),
            login_expect=self._pattern(action.login_expect),
            login_refused=self._pattern(action.login_refused),
            expect=self._pattern(expect),
            keep=action.keep,
        )

    def _pattern(self, text: str | None) -> re.Pattern[str] | None:
        return None if text is None else self.variables.pattern(text)

    async def _program(self, action: RunAction) -> str:
        fill = self.variables.fill
        program = Program(
            argv=[fill(word) for word in action.argv],
            env={name: fill(value, secrets=True) for name, value in action.env.items()},
            stdin=None if action.stdin is None else fill(action.stdin, secrets=True),
            exit_codes=action.exit_codes,
            directory=str(self.shared.settings.data_dir),
            line=lambda text: self.line(self.shared.secrets.mask(text)),
        )
        return await run_program(self.shared.reaper, program)

    async def _http(self, action: HttpAction) -> str:
        fill = self.variables.fill
        headers = {name: fill(value, secrets=True) for name, value in action.headers.items()}
        url = fill(action.url)
        response = await http.request(action.method, url, headers, fill(action.body, secrets=True))
        if response.status not in action.status:
            wanted = " or ".join(str(status) for status in action.status)
            raise StepError(f"{url}: expected status {wanted}, answered {response.status}, {shown(response.body)}")
        if action.json_paths:
            self.variables.known |= _json_values(response.body, action.json_paths)
        return response.body

    def _write(self, action: WriteAction) -> None:
        path = self.shared.settings.locate(self.variables.fill(action.path))
        if not path.is_relative_to(self.shared.settings.data_dir):
            raise PathRefusedError(f"path {action.path!r} is refused: write works below /middleware only")
        write_atomically(path, self.variables.fill(action.content, secrets=True).encode(), int(action.mode, 8))

    def _items(self, items: tuple[Any, ...] | str) -> list[Any]:
        if isinstance(items, tuple):
            return list(items)
        if items == ARGUMENTS:
            return [{"name": name, "value": self.arguments[name]} for name in sorted(self.arguments)]
        return list(self.variables.fill(items).split())

    @contextmanager
    def _item(self, item: Any) -> Iterator[None]:
        if isinstance(item, Mapping):
            names = {f"item.{key}": self.variables.fill(_text(value)) for key, value in item.items()}
        else:
            names = {"item": self.variables.fill(_text(item))}
        before = {name: self.variables.known[name] for name in names if name in self.variables.known}
        self.variables.known |= names
        try:
            yield
        finally:
            for name in names:
                self.variables.known.pop(name, None)
            self.variables.known |= before


async def _repeated(every: float, timeout: float, attempt: Callable[[], Awaitable[None]]) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            return await attempt()
        except StepError as error:
            if asyncio.get_running_loop().time() + every >= deadline:
                raise StepError(f"{error} (tried for {timeout:g} s)") from error
        await asyncio.sleep(every)


def _json_values(body: str, paths: Mapping[str, str]) -> dict[str, str]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise StepError(f"expected JSON, answered {shown(body)}") from error
    values: dict[str, str] = {}
    for name, path in paths.items():
        found: Any = document
        for key in path.split("."):
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise StepError(f"expected {path!r} in the JSON answer, answered {shown(body)}")
        values[name] = _text(found)
    return values


def _text(value: Any) -> str:
    """A scalar as the engine would write it: ``true``, not ``True``."""
    return value if isinstance(value, str) else json.dumps(value)
