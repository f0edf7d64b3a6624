"""``python -m trial``: runs tools of a node document with an engine that plays recorded answers.

For ``mw plugin test``, at an author's desk: a JSON list of cases on stdin, a JSON list of what became of each on
stdout. The interpreter, the protocols and the expressions are those of every Pod; only who answers is another, and the
clock jumps over waits.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from agent.documents import parse
from agent.nodefiles import node_names
from agent.process.reaper import Reaper
from agent.record import Record
from agent.settings import Settings
from agent.tooling import actions, http
from agent.tooling.answers import RespAnswer
from agent.tooling.connections import ConnectionPool, Exchange
from agent.tooling.failure import StepError, ToolError, answered
from agent.tooling.http import Response
from agent.tooling.interpreter import Interpreter
from agent.tooling.names import Scope
from agent.tooling.program import Program
from agent.tooling.protocols import resp
from agent.tooling.protocols.sql import Refusal, SqlAnswer
from agent.tooling.secrets import Secrets
from language.expressions import ExpressionError, filled


class _Skipping(selectors.DefaultSelector):
    """Nobody but the clock is ever waited for, so it jumps."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.skipped += timeout
        return super().select(0 if timeout is not None else None)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Skipping()
        super().__init__(self._clock)

    def time(self) -> float:
        return time.monotonic() + self._clock.skipped


@dataclass
class RecordedEngine(ConnectionPool):
    """No engine: it answers as was recorded, and keeps what it was asked. ``own``: answers that the case itself has,
    which come first in ``answers``."""

    answers: Sequence[Mapping[str, Any]] = ()
    own: int = 0
    asked: list[Any] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)

    def at_once(self, request: Exchange) -> bool:
        return False

    async def exchange(self, request: Exchange) -> None:
        await asyncio.sleep(0)
        if isinstance(request.answer, SqlAnswer):
            self._statements(request.answer)
            return
        if not isinstance(request.answer, RespAnswer):
            text = request.send.decode()
            found = self._answer("tcp", text.strip(), request.address)
            request.answer.take(str(found["reply"]).encode())
            return
        reader = resp.Reader()
        reader.feed(request.send)
        for command in reader.replies:
            found = self._answer("resp", command, request.address)
            request.answer.take(_encoded(found["reply"]))

    def _statements(self, answer: SqlAnswer) -> None:
        for text in answer.statements.texts:
            found = self._answer(answer.kind, text.split(), answer.address)
            if answer.answered(_rows(found["reply"])):
                return

    async def program(self, _: Reaper, program: Program) -> str:
        found = self._answer("run", list(program.argv), "")
        if found.get("exitCode", 0) not in program.exit_codes:
            said = f"{program.argv[0]} ended with exit code {found['exitCode']}, saying"
            raise answered(said, _text(found["reply"]), program.mask)
        return _text(found["reply"])

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: str) -> Response:
        address, slash, path = url.removeprefix("http://").partition("/")
        found = self._answer("http", f"{method} {slash}{path}", address)
        return Response(int(found.get("status", 200)), _text(found["reply"]))

    def _answer(self, kind: str, what: Any, address: str) -> dict[str, Any]:
        """Raises StepError where it is recorded that nobody answers, and where nothing is recorded."""
        self.asked.append(what)
        for number, each in enumerate(self.answers):
            if kind in each and _begins(what, each[kind]) and each.get("from") in (None, "", address):
                asked = self.times[number] = self.times.get(number, 0) + 1
                if each.get("fails"):
                    raise StepError(f"{address or what[0]}: {each['fails']}")
                replies = each.get("replies") or [each.get("reply")]
                return {**each, "reply": replies[min(asked, len(replies)) - 1]}
        words = what if isinstance(what, str) else " ".join(map(str, what))
        self.missing.append(f"{kind} {words!r}" + (f" to {address}" if address else ""))
        raise StepError(f"no answer is recorded for {self.missing[-1]}")

    def unasked(self) -> list[int]:
        return [number for number in range(self.own) if number not in self.times]


@dataclass
class RecordedProcess:
    """No agent 1: what it is asked for is kept among what the engine was asked, as ``restart`` or ``reload HUP``."""

    asked: list[Any]

    async def restart(self) -> None:
        self.asked.append("restart")

    async def reload(self, name: str) -> None:
        self.asked.append(f"reload {name}")


def _begins(what: Any, recorded: Any) -> bool:
    """``what``: a line, or words: of a command, of a program, of a statement, which is recorded as a text."""
    if isinstance(what, str):
        return bool(what == str(recorded).strip())
    words = recorded.split() if isinstance(recorded, str) else [_word(each) for each in recorded]
    return [_word(each) for each in what[: len(words)]] == words


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rows(value: Any) -> list[dict[str, Any]] | Refusal:
    if isinstance(value, Mapping):
        refusal = Refusal(str(value.get("error", value)), str(value.get("sqlstate", "")), int(value.get("errno", 0)))
        return refusal if "error" in value else [dict(value)]
    return [dict(row) for row in value or ()]


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _encoded(value: Any) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, Mapping):
        return f"-{value.get('error', value)}\r\n".encode()
    if isinstance(value, list | tuple):
        return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return b":%d\r\n" % value
    data = str(value).replace("\r\n", "\n").replace("\n", "\r\n").encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


async def tried(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What became of one run of one tool."""
    secrets = folder / "secrets"
    secrets.mkdir()
    for name, value in case["secrets"].items():
        (secrets / name).write_text(value, encoding="utf-8")
    data = folder / "middleware"
    data.mkdir()
    places = {"MW_DATA_DIR": data, "MW_SCRIPTS_DIR": folder / "scripts", "MW_SECRETS_DIR": secrets}
    settings = Settings.from_environment({name: str(path) for name, path in places.items()})
    bundle = parse(case["sources"], "the example's document")
    record = None if case["first"] else Record(app_uid=bundle.document.node.app_uid, **case["last"])
    names = node_names(bundle, record, lead=case["lead"])
    known = Scope(names, bundle.document.toolbox.vars, Secrets(secrets))
    try:
        with known.with_secrets():
            answers = filled(case["answers"], known)
    except ExpressionError as error:
        return {
            "values": {},
            "failure": f"the recorded answers: {error}",
            "asked": [],
            "missing": [],
            "unasked": [],
            "written": {},
        }
    engine = RecordedEngine(answers=answers, own=case["own"])
    interpreter = Interpreter(settings, Secrets(secrets), Reaper(), RecordedProcess(engine.asked))
    values: Mapping[str, str] = {}
    failure = ""
    with ExitStack() as replaced:
        replaced.enter_context(mock.patch.object(actions, "run_program", engine.program))
        replaced.enter_context(mock.patch.object(http, "request", engine.request))
        try:
            toolbox = bundle.document.toolbox
            outcome = await interpreter.run(case["tool"], toolbox, names, arguments=case["arguments"], pool=engine)
            values = outcome.values
        except ToolError as error:
            failure, values = str(error), error.values
    files = sorted(path for path in data.rglob("*") if path.is_file())
    return {
        "values": dict(values),
        "failure": failure,
        "asked": engine.asked,
        "missing": engine.missing,
        "unasked": engine.unasked(),
        "written": {f"/middleware/{path.relative_to(data)}": path.read_text(encoding="utf-8") for path in files},
    }


def main() -> None:
    results = []
    for case in json.load(sys.stdin):
        loop = _Loop()
        try:
            with tempfile.TemporaryDirectory() as folder:
                results.append(loop.run_until_complete(tried(case, Path(folder))))
        finally:
            loop.close()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
