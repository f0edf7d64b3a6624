"""The plugin's own tests, ``tests/*.yaml``: recorded answers of an engine, and what a tool must make of them.

``mw plugin test`` runs them with the agent's interpreter and an engine that only plays the answers: no cluster, no
container and no engine are needed, and waits take no time.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from api.app import Scalar
from api.meta import Model

KINDS = ("resp", "mysql", "postgresql", "tcp", "http", "run")
_STATEMENTS = ("mysql", "postgresql")


class RecordedAnswer(Model):
    """What somebody answered to one request. Texts may hold expressions in ``{{ }}``, which know what tools know."""

    from_: str | None = Field(default=None, alias="from")
    """The address that was asked, as ``{{ node.address }}:6379``; without it whoever is asked answers so."""
    resp: list[Scalar] | None = Field(default=None, min_length=1)
    """The words with which the command begins."""
    mysql: str | None = None
    """The words with which the statement begins, its values filled in; also of ``postgresql``."""
    postgresql: str | None = None
    tcp: str | None = None
    """The line that was sent, without blanks at its ends."""
    http: str | None = None
    """Method and path: ``GET /status``."""
    run: list[Scalar] | None = Field(default=None, min_length=1)
    """The words with which the program's command line begins."""

    reply: Any = None
    """Of ``resp`` a text, a number, a list, null or ``{error: …}``; of ``mysql`` and ``postgresql`` a list of rows,
    each a map, one row, or ``{error: …, sqlstate: …, errno: …}``; else a text: the answer, the body, the output."""
    replies: list[Any] = []
    """Instead of ``reply``: one for each time it is asked; the last stays."""
    status: int = 200
    """Of ``http``."""
    exit_code: int = 0
    """Of ``run``."""
    fails: str = ""
    """Nobody answers; this is why."""

    @model_validator(mode="after")
    def _one_request(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"an answer is to exactly one of {', '.join(KINDS)}; found {', '.join(given) or 'none'}")
        if given[0] in _STATEMENTS:
            for reply in self.replies or [self.reply]:
                rows = reply if isinstance(reply, list) else [reply or {}]
                if not all(isinstance(row, dict) for row in rows):
                    raise ValueError(f"reply: of {given[0]} is a list of rows, each a map of columns; found {reply!r}")
        return self


class Remembered(Model):
    """What ``last`` is: the agent's record on the volume."""

    role: str = ""
    position: int | list[int] | str = 0
    """A number, a list of numbers, or a set such as ``SOURCE:1-5:7``."""
    epoch: int = 0


class TrialCase(Model):
    """One run of one tool."""

    name: Annotated[str, Field(min_length=1)]
    tool: str
    arguments: dict[str, Scalar] = {}
    last: Remembered = Remembered()
    first: bool = False
    """``node.first``: the engine of this node has never run in this App. Without it ``last`` counts."""
    lead: bool = False
    answers: list[RecordedAnswer] = []
    """Each must be asked for; what is asked must be among them, or among the file's."""

    result: dict[str, Any] | None = None
    """What of the result must be so."""
    fails: str = ""
    """The tool fails, and its sentence has this in it."""
    asks: list[list[Scalar] | str] = []
    """What must have been sent, in this order among other things: words of a command or a program, or a line; of a
    statement a text with its first words."""
    writes: dict[str, str] = {}
    """Files that are there afterwards, by path."""


class TrialFile(Model):
    """The node of an example App, and what is tried on it."""

    component: str
    topology: str | None = None
    runtime_version: str | None = None
    node: int = Field(default=1, ge=1)
    """Which of the component's nodes, by its id."""
    replicas: int | None = Field(default=None, ge=1)
    """Of the component; by default the topology's."""
    config: dict[str, Scalar] = {}
    answers: list[RecordedAnswer] = []
    """For all tests of the file; these need not be asked for."""
    tests: list[TrialCase] = Field(min_length=1)
