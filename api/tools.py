"""The tool language of a plugin: what the agents do with an engine, without code.

A component's tool file is plain YAML, never templated: ``connections`` to the engine and its peers, ``vars`` (named
expressions), ``sequences`` (steps that tools call) and ``tools``. Expressions are Jinja2's; the agent evaluates them
at the moment of use. ``when``, ``expect``, ``until``, ``forEach``, ``firstOf``, ``only`` and ``vars`` are bare
expressions; every other text may hold expressions in ``{{ }}``, and is a value of its own type where it is one of them
alone.

What expressions know: what templates of files know (docstring of ``api.plugin``), and ``node.first`` (until this node's
engine has once run in this App), ``node.lead`` (in the one start by which the platform wants this node to begin as
primary), ``last`` (``role``, ``position``, ``epoch`` of the agent's own record on the volume), ``arg`` (of the call),
``item`` (of the loop), what earlier steps named with ``as``, ``into`` and ``set``, and, where they can reach neither a
command line nor a log, ``secret.NAME`` and ``alsoValid.NAME``, the second password that is valid while passwords are
changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from api.app import Scalar
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
    BOOTSTRAP = "bootstrap"
    """Before the first start of an engine on an empty volume, by agent 1, in the engine's container, after ``preStart``
    and with the files written: make the data, users and databases in ``arg.directory``. That becomes the tool's
    ``directory`` when all of it has succeeded; a try that did not is removed by the next. Where the component has a
    writable role only the node that may begin as first primary does it, and none once the App has run: the others get
    the data from it."""
    FOLLOWERS = "followers"
    """On a node whose engine waits for its lease: asks the other nodes' engines whom they follow. Result ``followers``:
    addresses or names of those that follow this node still, none of which was detached."""
    READ_CONFIG = "readConfig"
    RELOAD_CONFIG = "reloadConfig"
    """Arguments: the dynamic parameters that changed, by name. Not run where a restart follows, unless it says
    ``beforeRestart: true``."""
    VALIDATE_CONFIG = "validateConfig"
    """On one node, before a Reconfigure changes anything: the engine's own check of the new files. Arguments: by the
    path of each file that is written anew before each start, the path at which the new one lies meanwhile
    (``arg['/middleware/conf/my.cnf']``). Its failure refuses the Reconfigure, with its sentence. It must not touch the
    engine that runs, nor its data."""
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
    SAFE_TO_STOP = "safeToStop"
    """On a node that serves and is about to be stopped by plan: succeeds when it may stop now (replicas in sync, quorum
    without it). While it fails the operation waits, and says its sentence."""
    BEFORE_STOP = "beforeStop"
    """On the same node, when ``safeToStop`` has succeeded, and before it is asked once more: give away what others can
    take over at once, such as leadership. A start of the engine must take back what it does."""
    SETTLED = "settled"
    """On a node that serves again after a planned stop: succeeds when its component has recovered, so that the next
    node's turn may come."""
    AFTER_ROLL = "afterRoll"
    """On one node of a component, when the last of those that had to be stopped serves again: preferred leaders back,
    say."""
    LEAVE = "leave"
    """On a node that is about to be removed and holds no writable role: give away whatever only it has. It succeeds
    only when nothing is lost with the node and its volume; where it fails, the node stays."""
    FORGET = "forget"
    """On the nodes that stay, of every component, one after another, arguments ``node``, ``address`` and ``id`` of
    the one that was removed: drop what is remembered of it."""
    ACCEPT_CREDENTIALS = "acceptCredentials"
    """The engine lets in whoever has ``secret.NAME`` or ``alsoValid.NAME``, until ``retireCredentials``. An
    engine that can hold one password only has neither of the two."""
    USE_CREDENTIALS = "useCredentials"
    """What the engine itself logs in with at its peers is ``secret.NAME``, which all of them accept. Of an engine
    that holds one password only: it is changed here. Result ``restart``: ``true`` where the engine takes it at a start
    only; it is restarted then."""
    RETIRE_CREDENTIALS = "retireCredentials"
    """The engine lets in whoever has ``secret.NAME``, and nobody else."""
    BACKUP = "backup"
    RESTORE = "restore"


LONGEST: Mapping[str, float] = MappingProxyType(
    {
        ToolName.GET_VERSION: 20.0,
        ToolName.READ_CONFIG: 20.0,
        ToolName.RELOAD_CONFIG: 120.0,
        ToolName.VALIDATE_CONFIG: 60.0,
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

LONG_PARTS = ("start", "poll", "cancel")
LONG_TOOLS = frozenset({ToolName.JOIN, ToolName.LEAVE, ToolName.AFTER_ROLL})
"""Which of the platform's tools may be long: those that it waits for while the engine serves as before. The parts of a
plugin's own are run by hand (``mw tool APP NODE NAME.start``), and whoever does that watches it."""
LONGEST_CANCEL = 10.0
"""Seconds for ``cancel``: a Failover may be waiting for the end of the operation."""


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


Expression = Annotated[str, Field(min_length=1)]
"""Bare, without braces."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Statement = Annotated[str, Field(min_length=1)]
Statements = Statement | Annotated[list[Statement], Field(min_length=1)]
Parse = Literal["text", "lines", "keyValue", "json"]


class RunAction(Model):
    """Runs a program without a shell; fails on another exit code. Gives its standard output, as ``parse`` says."""

    argv: list[Scalar] = Field(min_length=1)
    env: dict[str, str] = {}
    stdin: str | None = None
    exit_codes: list[int] = [0]
    parse: Parse = "text"


class TcpAction(Model):
    """Sends ``send`` and reads until ``end`` matches, or until the peer closes. For protocols of lines."""

    send: str = ""
    end: Pattern | None = None
    parse: Parse = "text"


class HttpAction(Model):
    """One request; gives ``status`` and ``body``."""

    path: Annotated[str, Field(pattern=r"^/")]
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE"] = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    status: list[int] = [200]
    parse: Parse = "text"


class RestartAction(Model):
    """Restarts the engine with its present files; the step waits until it runs again. Refused in ``preStart``, which
    comes before there is an engine."""


class ReloadAction(Model):
    """Sends the signal to the engine's main process, which then reads its files anew. Refused in ``preStart``."""

    signal: Literal["HUP", "USR1", "USR2"] = "HUP"


class WriteAction(Model):
    """Writes a file below ``/middleware`` atomically (temporary file, fsync, rename)."""

    path: str
    content: str
    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")] = "0640"


class Step(Model):
    """Exactly one action, with modifiers."""

    name: str = ""
    when: Expression | None = None
    """Else the step is passed over, or ``else`` carried out."""

    resp: list[Any] | None = Field(default=None, min_length=1)
    """A command, or a list of commands that are sent together: their replies. Redis' protocol."""
    mysql: Statements | None = None
    """A statement of MySQL or MariaDB, or a list of them that are carried out one after another: of each its rows, a
    list of maps with typed values."""
    postgresql: Statements | None = None
    """The same of PostgreSQL."""
    tcp: TcpAction | None = None
    http: HttpAction | None = None
    run: RunAction | None = None
    write: WriteAction | None = None
    restart: RestartAction | None = None
    """Its ``timeout`` holds for the stop, the start and all that ``preStart`` waits for."""
    reload: ReloadAction | None = None
    set: dict[Name, Any] | None = None
    fail: str | None = None
    """The step fails with this sentence."""
    call: Name | None = None
    """A sequence of this file; gives its result."""
    steps: list[Step] | None = None

    to: Name | None = None
    """Connection; by default the first of the action's kind."""
    at: str | None = None
    """What ``{{ at }}`` is in the connection's address."""
    reply: list[Literal["plain", "info", "fields", "table", "rows"]] | None = None
    """How the replies of ``resp`` are taken apart, where the command does not tell."""
    args: dict[Name, Any] = {}
    """Of ``mysql`` and ``postgresql``: ``:NAME`` in a statement is this value, quoted as the engine has it, and
    ``:"NAME"`` this identifier."""
    refusals: Literal["fail", "value"] = "fail"
    """``value``: what the engine refuses is no failure of the step; the reply tests true for ``is failed``. Of SQL it
    has ``sqlstate``, ``errno`` (MySQL's number) and ``message``, and the statements after it are carried out."""
    with_: dict[Name, Any] = Field(default={}, alias="with")
    """Arguments of ``call``: ``arg.NAME`` in the sequence."""

    as_: Annotated[list[Name], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)] = Field(
        default=[], alias="as"
    )
    """Names the action's value; several names take a list apart."""
    into: Name | None = None
    """With ``forEach``: names the list of what the items gave."""
    expect: Expression | None = None
    """Must hold after the action, or the step has failed."""
    until: Expression | None = None
    """The step is repeated until it succeeds and this holds."""
    otherwise: str | None = Field(default=None, min_length=1)
    """The sentence with which the step fails where ``expect`` or ``until`` does not hold; it knows what they know."""
    error: Pattern | None = None
    """Where in a long answer the engine says what is wrong: its first group, or all that it matches, is what a failure
    shows of the answer. Without it, or where it is not found, the answer's beginning."""
    every: Seconds = 0.5
    within: LongSeconds = 30.0
    for_each: Expression | None = None
    first_of: Expression | None = None
    """Stops at the first item with which the step succeeds; ``item`` stays for the steps after it."""
    optional: bool = False
    """A failure is a value: ``as`` names it, and ``error`` is its sentence. Where an engine of SQL refused, ``as`` also
    has ``sqlstate``, ``errno`` and ``message``."""
    timeout: LongSeconds = 5.0
    else_: list[Step] = Field(default=[], alias="else")
    on_failure: list[Step] = []
    asks: bool | None = None
    """In ``failover``. ``true``: from this step on another node may become writable, though the tool fails. ``false``:
    once this step has succeeded it does not any more. Before the first of them the tool has changed nothing."""

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        given = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a step has exactly one of {', '.join(ACTIONS)}; found {', '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _commands(self) -> Self:
        if self.resp is None:
            return self
        several = [isinstance(each, list) for each in self.resp]
        if any(several) and not all(several):
            raise ValueError("resp: is one command (a list of words) or several (a list of lists), not both in one")
        commands = self.resp if all(several) else [self.resp]
        if not all(commands):
            raise ValueError("resp: a command has at least one word")
        if self.reply is not None and len(self.reply) != len(commands):
            raise ValueError(f"reply: says {len(self.reply)} of {len(commands)} commands; give one for each")
        if all(several) and len(self.as_) not in (0, 1, len(commands)):
            raise ValueError(
                f"as: has {len(self.as_)} names for {len(commands)} replies; give each a name, or one for all"
            )
        return self

    @model_validator(mode="after")
    def _statements(self) -> Self:
        given = self.mysql if self.mysql is not None else self.postgresql
        if given is None:
            if self.args:
                raise ValueError("args: is what is put into statements of mysql and postgresql; leave it out")
            return self
        if isinstance(given, list) and len(self.as_) not in (0, 1, len(given)):
            raise ValueError(
                f"as: has {len(self.as_)} names for {len(given)} statements; give each a name, or one for all"
            )
        return self

    @model_validator(mode="after")
    def _modifiers(self) -> Self:
        if self.for_each is not None and self.first_of is not None:
            raise ValueError("forEach and firstOf exclude each other; give one of them")
        if self.into is not None and (self.for_each is None or not self.as_):
            raise ValueError("into: names what forEach gathers of as; give both, or leave it out")
        if self.with_ and self.call is None:
            raise ValueError("with: are arguments of call; leave it out")
        if self.else_ and self.when is None:
            raise ValueError("else: needs a when")
        if self.otherwise is not None and self.expect is None and self.until is None:
            raise ValueError("otherwise: is what a step says whose expect or until does not hold; give one of them")
        if self.error is not None and not self.as_ and self.steps is None and self.call is None:
            silent = next((name for name in _SILENT if getattr(self, name) is not None), None)
            if silent is not None:
                raise ValueError(f"error: is searched in an answer, and {silent} gets none; leave it out")
        return self


_SILENT = ("write", "restart", "reload", "set", "fail")
CONNECTED = ("resp", "mysql", "postgresql", "tcp", "http")
"""Actions that need a connection, each one of its kind."""
ACTIONS = (*CONNECTED, "run", "write", "restart", "reload", "set", "fail", "call", "steps")


class Connection(Model):
    """One of ``resp``, ``mysql``, ``postgresql``, ``tcp`` and ``http``: ``host:port`` or ``unix:/path``. With ``keep``
    the agent keeps the connection for the next poll of the same tool."""

    resp: str | None = None
    mysql: str | None = None
    """The Unix socket counts as safe; over TCP nothing is encrypted but the password."""
    postgresql: str | None = None
    """A Unix socket is named as a file: ``unix:/middleware/run/.s.PGSQL.5432``."""
    tcp: str | None = None
    http: str | None = None
    login: list[str] = []
    """Of ``resp``: the words after AUTH."""
    user: str | None = None
    """Of ``mysql`` and ``postgresql``, which need it; so are the next two."""
    password: str | None = None
    """Without it the server must know the user by its socket: ``peer``, ``unix_socket``."""
    database: str | None = None
    """By default PostgreSQL takes the one with the user's name, MySQL none."""
    keep: bool = False

    @model_validator(mode="after")
    def _one_protocol(self) -> Self:
        given = [name for name in CONNECTED if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a connection has exactly one of {', '.join(CONNECTED)}; found {', '.join(given) or 'none'}"
            )
        if self.login and self.resp is None:
            raise ValueError("login: is known for resp only; mysql and postgresql have user and password")
        return self

    @model_validator(mode="after")
    def _account(self) -> Self:
        of_sql = self.mysql is not None or self.postgresql is not None
        if of_sql and not self.user:
            raise ValueError("user: is missing; name with whom mysql or postgresql is asked")
        for name in ("user", "password", "database"):
            if not of_sql and getattr(self, name) is not None:
                raise ValueError(f"{name}: is known for mysql and postgresql only")
        return self


class Sequence(Model):
    """Steps that tools and other sequences call. They see ``arg``, and nothing that the caller found."""

    steps: list[Step] = Field(min_length=1)
    result: Any = None


class Undo(Model):
    """``tool`` is run by the agent itself, ``after`` seconds, until it succeeds.

    What is due is on the volume before the tool runs, so an agent that is killed leaves it to the next one. Whoever
    runs ``tool`` successfully before that settles it."""

    tool: str
    after: str
    when: Expression | None = None
    """Known when the node is rendered, as ``only``: without it there is no undo."""


class Part(Model):
    """``start`` or ``cancel`` of a long tool. ``timeout`` bounds it, and not what it sets going."""

    timeout: Seconds = 10.0
    steps: list[Step] = Field(min_length=1)


STANDINGS = ("idle", "running", "done", "failed")


class Standing(Model):
    """What ``poll`` says of a long tool; each is a value or an expression in ``{{ }}``."""

    state: str
    """``idle`` (nothing of it runs, and it is not done), ``running``, ``done``, or ``failed`` (its last run has ended
    without being done, and ``message`` says why)."""
    progress: str | float
    """Per cent, 0 to 100; as fine as the engine can tell. Only a higher number than before counts as progress."""
    eta: str | float | None = None
    """Seconds that are left by the engine's own estimate; for people."""
    message: str = ""
    """A sentence for people: ``12 of 30 partitions moved``."""


class Poll(Model):
    """Asks the engine how far a long tool is, and changes nothing."""

    timeout: Annotated[float, Field(gt=0, le=20)] = 10.0
    every: Annotated[float, Field(ge=1, le=300)] = 5.0
    """Seconds between two questions: more where a question costs much, as a program that takes seconds to start."""
    steps: list[Step] = Field(min_length=1)
    result: Standing


class Tool(Model):
    """``result`` maps result names to values (for getRole: ``role``, and where the engine has them ``epoch`` and
    ``position``, and ``followers``, addresses or names; for ready: ``unsaved``, a sentence while the volume
    has less than the engine, ``volatile``, true where it has less at any moment, ``follows``, the address that a
    replica follows, or ``nobody``, and ``failoverOff``, a sentence while the engine's own failover could not replace a
    primary). ``timeout`` bounds the whole tool.

    A ``position``, of getRole, fence and detach alike, says how far the data have come: a whole number (an offset), a
    list of them of which the first that differs decides (``[timeline, offset]``), or a set (``SOURCE:1-5:7,OTHER:1-3``,
    as MySQL's GTIDs), of which the one that contains the other is ahead. Of two sets that each have what the other has
    not neither is: they have diverged, and only a person decides between them. Empty, 0: not known.

    A long tool has ``start``, ``poll`` and ``cancel`` in place of ``steps``: the engine carries it on by itself, for as
    long as it takes. No time bounds it; the absence of progress for ``stalls`` seconds does."""

    only: Expression | None = None
    """Where it does not hold the component has no such tool. It knows what templates of files know."""
    timeout: LongSeconds = 10.0
    steps: list[Step] = Field(default=[], min_length=1)
    result: Any = None
    start: Part | None = None
    """Sets it going in the engine, and ends at once. Run only where ``poll`` says ``idle`` or ``failed``; when it has
    ended ``poll`` has to say something else within 10 s."""
    poll: Poll | None = None
    cancel: Part | None = None
    """Ends the run in the engine, which stays usable; does no harm where nothing runs. Run when the operation is ended
    before the tool is done."""
    stalls: LongSeconds = 600.0
    """An operator decides then whether it is waited for again, or ended."""
    before_restart: bool | None = None
    """``reloadConfig`` only: whether it is run where a restart of the engine with its new files follows. By default it
    is not: the start reads the dynamic parameters too, and an engine that reads its whole file anew would fail at what
    it takes at a start only. ``true`` for an engine that keeps them elsewhere than in a file that each start reads, and
    for a tool that gives them to the engine by name and so hears of a bad value before the restart."""
    once: Literal["component"] | None = None
    """``join`` and ``forget``: one node of the component is enough, any that succeeds. Else all are asked."""
    directory: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] | None = None
    """Of ``bootstrap``: where the data are to be, below ``/middleware``."""
    undo: Undo | None = None
    """For what must not outlive a caller that died, where the engine has no time limit of its own. Starts when the tool
    ends, well or not; another run of the tool starts it anew."""

    @model_validator(mode="after")
    def _short_or_long(self) -> Self:
        missing = [name for name in LONG_PARTS if getattr(self, name) is None]
        if len(missing) == len(LONG_PARTS):
            if not self.steps:
                raise ValueError("steps: a tool has at least one step; or start, poll and cancel, if it takes hours")
            if "stalls" in self.model_fields_set:
                raise ValueError("stalls: is for a tool with start, poll and cancel; give those, or leave it out")
            return self
        if missing:
            raise ValueError(f"a long tool has start, poll and cancel; add {' and '.join(missing)}")
        if self.poll is not None and self.stalls < 2 * self.poll.every:
            raise ValueError(f"stalls: is less than two polls, which are {self.poll.every:g} s apart; allow more time")
        for name in ("steps", "result", "timeout", "undo", "directory"):
            if name in self.model_fields_set:
                raise ValueError(f"{name}: has no meaning beside start, poll and cancel; leave it out")
        return self


class Toolbox(Model):
    """A component's tool file."""

    extends: str | None = None
    """Another tool file of the plugin: what has the same name here stands in its place, the rest is taken over."""
    connections: dict[Name, Connection] = {}
    vars: dict[Name, Scalar] = {}
    sequences: dict[Name, Sequence] = {}
    tools: dict[Annotated[str, Field(pattern=r"^[^.]+$")], Tool] = {}
