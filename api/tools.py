"""The declarative tool language of a plugin: what the agents do with an engine, without code.

A tool is a list of steps. The platform renders its YAML with Jinja2 (node addresses, options); what only the running
node knows is written ``${name}`` and filled in by the agent: ``${node.name}``, ``${node.address}``, ``${node.first}``
(``true`` until this node's engine has once run in this App), ``${node.lead}`` (``true`` in the one start by which the
platform wants this node to begin as primary), ``${last.role}``, ``${last.position}``, ``${last.epoch}`` (the agent's
own record on the volume), ``${secret.NAME}``, ``${arg.NAME}``, ``${item}`` inside ``forEach``/``firstOf``, and
whatever an earlier step captured or set. ``$${`` is a literal ``${``. An unknown name fails the tool with that name.

``${secret.NAME.also}`` is the second password that is valid while passwords are changed, at other times the same one.
Secrets are allowed in ``tcp.send``, ``http.headers``, ``http.body``, ``write.content`` and ``run.env``; never in
``run.argv``, where every process of the Pod could read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from api.meta import Model


class ToolName(StrEnum):
    """The terms the platform knows; a plugin may add others of its own, called by name through ``Run``.

    All but ``ready`` may be missing. Each must do no harm when it is run again: a worker that died is followed by
    another that begins the step anew.
    """

    READY = "ready"
    GET_ROLE = "getRole"
    GET_VERSION = "getVersion"
    """Result ``version``: what the running engine says; an upgrade asks for it before it goes on to the next node."""
    PRE_START = "preStart"
    """Result ``role``, where it can say so: the role with which the engine begins. Where the platform replaces a lost
    primary, one that was writable and does not say that it begins with another role waits for the lease."""
    FOLLOWERS = "followers"
    """On a node whose engine waits for its lease: asks the other nodes' engines whom they follow. Result ``followers``:
    addresses or names of those that follow this node still, none of which was detached."""
    READ_CONFIG = "readConfig"
    RELOAD_CONFIG = "reloadConfig"
    """Arguments: the dynamic parameters that changed, by name."""
    TAKES_WRITES = "takesWrites"
    """Run every 2 s on each node that runs: whether the engine takes writes, asked of the engine without writing
    anything. Result ``writes``: ``accepted``, ``refused`` (no other node would do better) or ``refusedHere`` (another
    may; also of a replica that could not take writes); anything else: not known. ``refusal``: the engine's words."""
    FENCE = "fence"
    """On the writable node, argument ``seconds``: from now on, for so long or until ``unfence``, no write is
    acknowledged. ``seconds`` is a whole number. Result ``position``: how far a successor must have come."""
    UNFENCE = "unfence"
    PREPARE_FAILOVER = "prepareFailover"
    """On a candidate, before the fence: whatever ``failover`` needs and what takes time. Harmless where no failover
    follows."""
    DETACH = "detach"
    """On a replica: stop following, stay read-only. Result ``position``: how far it came. Fails on a node that must not
    take over: that never had the primary's data, or is just copying it."""
    FAILOVER = "failover"
    """On a candidate, argument ``from`` (address of the node that was writable): become writable."""
    FOLLOW = "follow"
    """On every other node, one that was writable or detached among them, argument ``primary`` (address of the node
    that is writable now): follow it, lift the fence, and disconnect clients that take this node for writable. Also
    where the node follows it already. Its success settles an ``undo`` of ``fence``."""
    JOIN = "join"
    """On every node of a component that has new ones, these ready: whatever their peers do not notice by themselves."""
    LEAVE = "leave"
    """On a node that is about to be removed and holds no writable role: give away whatever only it has. It succeeds
    only when nothing is lost with the node and its volume; where it fails, the node stays."""
    FORGET = "forget"
    """On the nodes that stay, of every component, one after another, arguments ``node`` and ``address`` of one that
    was removed: drop what is remembered of it."""
    ACCEPT_CREDENTIALS = "acceptCredentials"
    """The engine lets in whoever has ``${secret.NAME}`` or ``${secret.NAME.also}``, until ``retireCredentials``. An
    engine that can hold one password only has neither of the two."""
    USE_CREDENTIALS = "useCredentials"
    """What the engine itself logs in with at its peers is ``${secret.NAME}``, which all of them accept. Of an engine
    that holds one password only: it is changed here. Result ``restart``: ``true`` where the engine takes it at a start
    only; it is restarted then."""
    RETIRE_CREDENTIALS = "retireCredentials"
    """The engine lets in whoever has ``${secret.NAME}``, and nobody else."""
    BACKUP = "backup"
    RESTORE = "restore"


LONGEST: Mapping[str, float] = MappingProxyType(
    {
        ToolName.GET_VERSION: 20.0,
        ToolName.READ_CONFIG: 20.0,
        ToolName.RELOAD_CONFIG: 120.0,
        ToolName.PREPARE_FAILOVER: 45.0,
        ToolName.FENCE: 15.0,
        ToolName.UNFENCE: 15.0,
        ToolName.DETACH: 3.0,
        ToolName.FAILOVER: 15.0,
        ToolName.FOLLOW: 15.0,
        ToolName.ACCEPT_CREDENTIALS: 30.0,
        ToolName.USE_CREDENTIALS: 30.0,
        ToolName.RETIRE_CREDENTIALS: 30.0,
    }
)
"""Seconds for which the platform waits for a tool, where clients wait meanwhile, or a look at all nodes does. A plugin
with a longer ``timeout`` is refused at its installation. ``join``, ``leave`` and ``forget`` are waited for as long as
their own ``timeout`` says; the agents bound what they run by themselves."""


FOLLOWS_NOBODY = "nobody"
"""What ``ready`` gives as ``follows`` of a replica that follows none."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
LongSeconds = Annotated[float, Field(gt=0, le=86_400)]
"""Of tools and their steps: what moves data away from a node may take hours."""


class RunAction(Model):
    """Runs a program without a shell; fails on another exit code. Its standard output is what ``expect`` sees."""

    argv: list[str] = Field(min_length=1)
    env: dict[str, str] = {}
    stdin: str | None = None
    exit_codes: list[int] = [0]

    @model_validator(mode="after")
    def _no_secret_in_argv(self) -> Self:
        for word in self.argv:
            if "${secret." in word:
                raise ValueError(
                    f"argv {word!r} holds a secret; pass it by env or stdin, where other processes cannot read it"
                )
        return self


class TcpAction(Model):
    """Sends ``send`` (escapes such as ``\\r\\n`` come from YAML) and reads until ``expect`` matches or the deadline
    passes.

    ``address`` is ``host:port`` or ``unix:/path``. With ``keep`` the agent keeps the connection for the next poll of
    the same tool and sends ``login`` only when it opens one. Without ``expect`` it reads until the peer closes.
    The answer to the login is read until ``loginExpect`` matches. Where ``loginRefused`` matches, the engine does not
    accept what the App's Secret holds, and the App says so; any other answer is a fault like any other.
    """

    address: str
    send: str = ""
    keep: bool = False
    login: str = ""
    login_expect: Pattern | None = None
    login_refused: Pattern | None = None

    @model_validator(mode="after")
    def _refused_is_read(self) -> Self:
        if self.login_refused is not None and self.login_expect is None:
            raise ValueError("loginRefused needs loginExpect: without it the answer to the login is not read")
        return self


class HttpAction(Model):
    """One request; ``expect`` sees the body. ``json`` maps a variable to a dotted path into a JSON body."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    status: list[int] = [200]
    json_paths: dict[str, str] = Field(default={}, alias="json")


class WriteAction(Model):
    """Writes a file below ``/middleware`` atomically (temporary file, fsync, rename)."""

    path: str
    content: str
    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")] = "0640"


class Repeat(Model):
    """Repeats a failing step until it succeeds; the tool's own deadline still holds."""

    every: Seconds = 0.5
    timeout: LongSeconds = 30.0


class Step(Model):
    """Exactly one action, with modifiers.

    ``when`` maps a text with ``${...}`` to a regular expression that must match it fully; all must hold, else the
    step is skipped. ``expect`` must match the action's output (``re.search``, MULTILINE); its named groups become
    variables. ``table`` is applied with ``finditer``: its groups ``key`` and ``value`` become entries of the tool's
    result table. ``collect`` maps a variable to a pattern: all that its first group (or it) matched in the output,
    parted by blanks. ``optional`` turns a failure into "not captured". ``forEach`` runs the step for each item;
    ``firstOf`` stops at the first item that succeeds, sets ``${item}`` to it for the steps after, and fails where none
    does (unless optional).
    """

    name: str = ""
    run: RunAction | None = None
    tcp: TcpAction | None = None
    http: HttpAction | None = None
    write: WriteAction | None = None
    set: dict[str, str] | None = None
    fail: str | None = None
    when: dict[str, Pattern] = {}
    expect: Pattern | None = None
    table: Pattern | None = None
    collect: dict[str, Pattern] = {}
    timeout: LongSeconds = 5.0
    optional: bool = False
    repeat: Repeat | None = None
    for_each: list[Any] | str | None = None
    first_of: list[str] | None = None

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        actions = [n for n in ("run", "tcp", "http", "write", "set", "fail") if getattr(self, n) is not None]
        if len(actions) != 1:
            found = ", ".join(actions) or "none"
            raise ValueError(f"a step has exactly one of run, tcp, http, write, set, fail; found {found}")
        return self


class Undo(Model):
    """``tool`` is run by the agent itself, ``after`` seconds (a text, ``${arg.NAME}`` is known), until it succeeds.

    What is due is on the volume before the tool runs, so an agent that is killed leaves it to the next one. Whoever
    runs ``tool`` successfully before that settles it."""

    tool: str
    after: str


class Tool(Model):
    """``result`` maps result names to texts with ``${...}`` (for getRole: ``role``, and where the engine has them
    ``epoch`` and ``position``, numbers, and ``followers``, addresses or names parted by blanks; ``role`` passes through
    ``roles`` first; for ready: ``unsaved``, a sentence while the volume has less than the engine, ``volatile``,
    ``true`` where it has less at any moment, ``follows``, the address that a replica follows, or ``nobody``, and
    ``failoverOff``, a sentence while the engine's own failover could not replace a primary). ``timeout`` bounds the
    whole tool."""

    timeout: LongSeconds = 10.0
    steps: list[Step] = Field(min_length=1)
    result: dict[str, str] = {}
    roles: dict[str, str] = {}
    """Engine's word -> role name of the plugin (``slave: replica``)."""
    undo: Undo | None = None
    """For what must not outlive a caller that died, where the engine has no time limit of its own. Starts when the tool
    ends, well or not; another run of the tool starts it anew."""
