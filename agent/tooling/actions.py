"""What a step does to the world, with everything filled in: each action gives a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.document import Connection, HttpAction, RunAction, Step, TcpAction, WriteAction
from agent.process.reaper import Reaper
from agent.settings import PathRefusedError, Settings
from agent.storage import write_atomically
from agent.tooling import http
from agent.tooling.answers import RespAnswer, TextAnswer, parsed, resp_login
from agent.tooling.connections import Answer, ConnectionPool, Exchange, Login
from agent.tooling.failure import Mask, RefusedError, StepError, answered, shown
from agent.tooling.names import Scope
from agent.tooling.program import Program, run_program
from agent.tooling.protocols import resp, statements
from agent.tooling.protocols.sql import Account
from agent.tooling.trace import Trace
from language.expressions import filled
from language.filters import Failure, word

_CONNECTED = ("resp", *statements.KINDS, "tcp", "http")


class Engine(Protocol):
    """Agent 1, as agent 2 reaches it; both raise RefusedError."""

    async def restart(self) -> None: ...

    async def reload(self, name: str) -> None: ...


@dataclass
class Actions:
    """Of one run of a tool. ``waits`` is called before each wait for somebody who does not answer within a moment,
    ``line`` with each line that a program prints."""

    settings: Settings
    reaper: Reaper
    connections: Mapping[str, Connection]
    pool: ConnectionPool
    line: Callable[[str], None]
    waits: Callable[[], object]
    trace: Trace
    engine: Engine | None = None

    async def carry_out(self, step: Step, scope: Scope) -> Any:
        """Raises StepError, ExpressionError, PathRefusedError or OSError."""
        if step.resp is not None:
            return await self._resp(step, step.resp, scope)
        for kind in statements.KINDS:
            if (written := getattr(step, kind)) is not None:
                return await self._sql(step, kind, written, scope)
        if step.tcp is not None:
            return await self._tcp(step, step.tcp, scope)
        if step.write is not None:
            return self._write(step.write, scope)
        self.waits()
        try:
            async with asyncio.timeout(step.timeout):
                if step.run is not None:
                    return await self._run(step.run, scope)
                if step.restart is not None or step.reload is not None:
                    return await self._engine(step)
                assert step.http is not None
                return await self._http(step, step.http, scope)
        except TimeoutError as error:
            raise StepError(f"not finished within {step.timeout:g} s") from error

    async def _resp(self, step: Step, written: tuple[Any, ...], scope: Scope) -> Any:
        several = bool(written) and isinstance(written[0], list | tuple)
        if any(isinstance(each, list | tuple) is not several for each in written):
            raise StepError("resp: write either the words of one command, or a list of commands, each a list of words")
        with scope.with_secrets():
            commands = [filled(each, scope) for each in (written if several else [list(written)])]
        connection, address = self._connection(step, scope)
        answer = RespAnswer(address, len(commands), scope.secrets.mask)
        for command in commands if self.trace.on else ():
            self.trace.sent(" ".join(map(str, command)), address)

        def login() -> Login | None:
            with scope.with_secrets():
                if not connection.login:
                    return None
                return resp_login(address, filled(connection.login, scope), scope.secrets.mask)

        await self._exchanged(
            step, Exchange(address, b"".join(map(resp.encoded, commands)), answer, login, connection.keep)
        )
        shapes = step.reply or tuple(resp.shape_of(command) for command in commands)
        values = [
            _reply(step, scope.secrets.mask, *each) for each in zip(commands, shapes, answer.replies, strict=False)
        ]
        return values if several else values[0]

    async def _sql(self, step: Step, kind: str, written: Any, scope: Scope) -> Any:
        connection, address = self._connection(step, scope)
        several = not isinstance(written, str)
        texts = [str(each) for each in filled(written if several else (written,), scope)]
        with scope.with_secrets():
            asked = statements.Asked(kind, texts, filled(step.args, scope), go_on=step.refusals == "value")
            user, database = (str(filled(each, scope)) for each in (connection.user, connection.database))
        for text in asked.traced(scope.secrets.mask) if self.trace.on else ():
            self.trace.sent(text, address)

        def login() -> Login:
            with scope.with_secrets():
                password = str(filled(connection.password, scope))
            account = Account(user, password, database, step.timeout, local=address.startswith("unix:"))
            return asked.login(address, account, scope.secrets.mask)

        answer = asked.answer(address)
        session = (user, database, step.timeout)
        await self._exchanged(step, statements.exchange(answer, login, session, connection.keep))
        values = statements.values(answer, scope.secrets.mask)
        return values if several else values[0]

    async def _tcp(self, step: Step, action: TcpAction, scope: Scope) -> Any:
        connection, address = self._connection(step, scope)
        with scope.with_secrets():
            send = str(filled(action.send, scope))
        answer = TextAnswer(address, action.end, scope.secrets.mask)
        if self.trace.on:
            self.trace.sent(send if self.trace.whole else shown(send, scope.secrets.mask), address)
        await self._exchanged(step, Exchange(address, send.encode(), answer, keep=connection.keep))
        return parsed(action.parse, answer.text, scope.secrets.mask)

    async def _exchanged(self, step: Step, exchange: Exchange) -> None:
        if self.pool.at_once(exchange):
            return
        self.waits()
        try:
            async with asyncio.timeout(step.timeout):
                await self.pool.exchange(exchange)
        except TimeoutError as error:
            login = exchange.logging_in
            answer: Answer = exchange.answer if login is None else login.answer
            to = "the login" if login is not None else "the request"
            late = f"{exchange.address} did not answer {to} within {step.timeout:g} s"
            raise StepError(f"{late}; so far it answered {answer.shown()}") from error

    def _connection(self, step: Step, scope: Scope) -> tuple[Connection, str]:
        """The one that ``to`` names, else the first of its kind."""
        kind = next(kind for kind in _CONNECTED if getattr(step, kind) is not None)
        found = self.connections.get(step.to) if step.to else None
        if found is None:
            found = next((each for each in self.connections.values() if getattr(each, kind) is not None), None)
        if found is None:
            raise StepError(f"the tool file declares no connection for {kind}")
        at = filled(step.at, scope) if step.at else None
        given = _WithAt(scope, at) if at is not None else scope
        return found, str(filled(found.address, given))

    async def _run(self, action: RunAction, scope: Scope) -> Any:
        argv = [word(each) for each in filled(action.argv, scope)]
        with scope.with_secrets():
            env = {name: word(value) for name, value in filled(action.env, scope).items()}
            stdin = None if action.stdin is None else str(filled(action.stdin, scope))
        if self.trace.on:
            self.trace.sent(" ".join(argv), "this container")
        program = Program(
            argv=argv,
            env=env,
            stdin=stdin,
            exit_codes=action.exit_codes,
            directory=str(self.settings.data_dir),
            line=lambda text: self.line(scope.secrets.mask(text)),
            mask=scope.secrets.mask,
        )
        return parsed(action.parse, await run_program(self.reaper, program), scope.secrets.mask)

    async def _http(self, step: Step, action: HttpAction, scope: Scope) -> Any:
        _, address = self._connection(step, scope)
        url = f"http://{address}{filled(action.path, scope)}"
        with scope.with_secrets():
            headers = {name: str(value) for name, value in filled(action.headers, scope).items()}
            body = str(filled(action.body, scope))
        self.trace.sent(action.method, url)
        response = await http.request(action.method, url, headers, body)
        if response.status not in action.status:
            wanted = " or ".join(str(status) for status in action.status)
            said = f"{url}: expected status {wanted}, answered {response.status},"
            raise answered(said, response.body, scope.secrets.mask)
        return {"status": response.status, "body": parsed(action.parse, response.body, scope.secrets.mask)}

    async def _engine(self, step: Step) -> None:
        if self.engine is None:
            raise StepError("there is no engine yet: restart and reload are for tools that run beside it")
        try:
            await (self.engine.restart() if step.reload is None else self.engine.reload(step.reload.signal))
        except RefusedError as error:
            raise StepError(str(error)) from error

    def _write(self, action: WriteAction, scope: Scope) -> None:
        path = self.settings.locate(str(filled(action.path, scope)))
        if not path.is_relative_to(self.settings.data_dir):
            raise PathRefusedError(f"path {action.path!r} is refused: write works below /middleware only")
        with scope.with_secrets():
            content = str(filled(action.content, scope))
        write_atomically(path, content.encode(), int(action.mode, 8))


class _WithAt:
    """The step's ``at``, as the connection's address sees it."""

    def __init__(self, scope: Scope, at: Any) -> None:
        self._scope, self._at = scope, at

    def __contains__(self, name: object) -> bool:
        return name == "at" or name in self._scope

    def get(self, name: str) -> Any:
        return self._at if name == "at" else self._scope.get(name)


def _reply(step: Step, mask: Mask, command: list[Any], shape: str, reply: Any) -> Any:
    """Raises StepError where the engine refuses, unless the step takes that for a value."""
    if isinstance(reply, resp.ReplyError):
        if step.refusals == "value":
            return Failure(reply.text)
        raise answered(f"{' '.join(str(word) for word in command[:2])}: the engine answers", reply.text, mask)
    try:
        return resp.SHAPES[shape](reply)
    except resp.ProtocolError as error:
        raise StepError(f"{' '.join(str(word) for word in command[:2])}: {error.shown(mask)}") from error
