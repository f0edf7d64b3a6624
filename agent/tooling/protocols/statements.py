"""A step of SQL as one exchange: which protocol, which session, and the values that its answers are.

A protocol's module is loaded when a step first needs it: most nodes speak neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.tooling.connections import Exchange, Login
from agent.tooling.failure import Mask, StepError, shown
from agent.tooling.protocols.sql import Account, Refusal, SqlAnswer, Statements
from language.filters import Failure
from language.statements import statement

KINDS = ("mysql", "postgresql")


@dataclass(frozen=True)
class Asked:
    """``texts``: as the step has them, expressions filled in. ``go_on``: a refusal is a value."""

    kind: str
    texts: Sequence[str]
    args: Mapping[str, Any]
    go_on: bool = False

    def answer(self, address: str) -> SqlAnswer:
        """Raises StepError."""
        try:
            texts = [statement(self.kind, text, self.args) for text in self.texts]
        except ValueError as error:
            raise StepError(f"{self.kind}: {error}") from error
        values = [value for value in self.args.values() if isinstance(value, str)]
        statements = Statements(texts, self.go_on, values)
        if self.kind == "mysql":
            from agent.tooling.protocols import mysql

            return mysql.answer(address, statements)
        from agent.tooling.protocols import postgresql

        return postgresql.answer(address, statements)

    def login(self, address: str, account: Account, mask: Mask) -> Login:
        if self.kind == "mysql":
            from agent.tooling.protocols import mysql

            return mysql.login(address, account, mask)
        from agent.tooling.protocols import postgresql

        return postgresql.login(address, account, mask)

    def traced(self, mask: Mask) -> list[str]:
        """Each statement as it is written, and what is put in."""
        given = ", ".join(f"{name}={shown(str(value), mask)}" for name, value in self.args.items())
        return [f"{text} with {given}" if given else text for text in self.texts]


def exchange(answer: SqlAnswer, login: Callable[[], Login], session: tuple[str, str, float], keep: bool) -> Exchange:
    """``session``: user, database, and the seconds for which the server lets a statement run: others ask on others."""
    first = answer.asked(answer.statements.texts[0])
    return Exchange(answer.address, first, answer, login, keep, repr(session))


def values(answer: SqlAnswer, mask: Mask) -> list[Any]:
    """Of each statement its rows. Raises EngineError where the engine refuses one, unless the step takes that for a
    value."""
    found: list[Any] = []
    for number, reply in enumerate(answer.replies):
        if not isinstance(reply, Refusal):
            found.append(reply)
            continue
        error = answer.statements.error(answer.address, number, reply, mask)
        if not answer.statements.go_on:
            raise error
        found.append(Failure(str(error), sqlstate=error.sqlstate, errno=error.errno, message=error.message))
    # Where the server closed, the statements after that were not carried out.
    missing = len(answer.statements.texts) - len(found)
    return found + [Failure(f"{answer.address} closed the connection before this statement")] * missing
