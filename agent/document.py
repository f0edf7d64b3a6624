"""The node document as the agents see it: the same shapes as ``api.node``, ``api.plugin`` and ``api.tools``,
unvalidated.

Semantics are written there; here are the fields, and what follows from them, found out once for all runs. The platform
has validated the document before it was rendered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SCHEMA = 1
DOCUMENT_KEY = "node.json"


@dataclass(frozen=True)
class RunAction:
    argv: tuple[Any, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    exit_codes: tuple[int, ...] = (0,)
    parse: str = "text"


@dataclass(frozen=True)
class TcpAction:
    send: str = ""
    end: str | None = None
    parse: str = "text"


@dataclass(frozen=True)
class HttpAction:
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    status: tuple[int, ...] = (200,)
    parse: str = "text"


@dataclass(frozen=True)
class WriteAction:
    path: str
    content: str
    mode: str = "0640"


@dataclass(frozen=True)
class RestartAction:
    """Nothing has to be said about it."""


@dataclass(frozen=True)
class ReloadAction:
    signal: str = "HUP"


@dataclass(frozen=True)
class Step:
    name: str = ""
    when: str = ""
    resp: tuple[Any, ...] | None = None
    mysql: Any = None
    postgresql: Any = None
    tcp: TcpAction | None = None
    http: HttpAction | None = None
    run: RunAction | None = None
    write: WriteAction | None = None
    restart: RestartAction | None = None
    reload: ReloadAction | None = None
    set: Mapping[str, Any] | None = None
    fail: str | None = None
    call: str | None = None
    steps: tuple[Step, ...] = ()
    to: str = ""
    at: str = ""
    reply: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    refusals: str = "fail"
    with_: Mapping[str, Any] = field(default_factory=dict, metadata={"key": "with"})
    as_: tuple[str, ...] = field(default=(), metadata={"key": "as"})
    into: str = ""
    expect: str = ""
    until: str = ""
    otherwise: str = ""
    error: str = ""
    every: float = 0.5
    within: float = 30.0
    for_each: str = ""
    first_of: str = ""
    optional: bool = False
    timeout: float = 5.0
    else_: tuple[Step, ...] = field(default=(), metadata={"key": "else"})
    on_failure: tuple[Step, ...] = ()
    asks: bool | None = None

    @cached_property
    def plain(self) -> bool:
        """It is carried out once, and its failure is the tool's."""
        return not (self.until or self.for_each or self.first_of or self.optional or self.on_failure)

    @cached_property
    def waits(self) -> bool:
        """For somebody else."""
        own = (self.resp, self.mysql, self.postgresql, self.tcp, self.http, self.run, self.restart, self.reload)
        return any(each is not None for each in own)

    @cached_property
    def longest(self) -> float:
        """Seconds after which its own time-out has ended it; infinite where that is not known beforehand."""
        if self.until or self.for_each or self.first_of or self.steps or self.call or self.on_failure:
            return math.inf
        return self.timeout if self.waits else 0.0


@dataclass(frozen=True)
class Connection:
    """``resp``, ``mysql``, ``postgresql``, ``tcp`` or ``http``: an address; ``login``: of RESP the words after AUTH;
    ``user``, ``password``, ``database``: of SQL."""

    resp: str | None = None
    mysql: str | None = None
    postgresql: str | None = None
    tcp: str | None = None
    http: str | None = None
    login: tuple[str, ...] = ()
    user: str = ""
    password: str = ""
    database: str = ""
    keep: bool = False

    @cached_property
    def address(self) -> str:
        return self.resp or self.mysql or self.postgresql or self.tcp or self.http or ""


@dataclass(frozen=True)
class Sequence:
    """Steps with a name of their own; ``result``: what ``call`` gives."""

    steps: tuple[Step, ...]
    result: Any = None


@dataclass(frozen=True)
class Undo:
    tool: str
    after: str


@dataclass(frozen=True)
class Tool:
    steps: tuple[Step, ...]
    timeout: float = 10.0
    result: Any = None
    directory: str = ""
    undo: Undo | None = None


@dataclass(frozen=True)
class Toolbox:
    """A component's tool file."""

    tools: Mapping[str, Tool] = field(default_factory=dict)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    sequences: Mapping[str, Sequence] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    signal: str = "TERM"
    timeout: float = 30.0


@dataclass(frozen=True)
class Process:
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/middleware"
    directories: tuple[str, ...] = ()
    pid_files: tuple[str, ...] = ()
    start_seconds: float = 1.0
    stop: Stop = field(default_factory=Stop)


@dataclass(frozen=True)
class NodeIdentity:
    app: str
    app_uid: str
    namespace: str
    component: str
    group: str
    name: str
    address: str
    ordinal: int


@dataclass(frozen=True)
class NodeFile:
    path: str
    source: str
    write: str = "always"
    mode: str = "0640"


@dataclass(frozen=True)
class Lease:
    seconds: float
    followers: int


@dataclass(frozen=True)
class Member:
    """Another node of the component."""

    name: str
    address: str


@dataclass(frozen=True)
class EngineVersion:
    version: str
    upgrades_from: tuple[str, ...] | None = None


@dataclass(frozen=True)
class NodeDocument:
    revision: int
    node: NodeIdentity
    process: Process
    schema: int = SCHEMA
    hold: bool = False
    files: tuple[NodeFile, ...] = ()
    toolbox: Toolbox = field(default_factory=Toolbox)
    names: Mapping[str, Any] = field(default_factory=dict)
    """What expressions know of App, component and configuration (``render.manifests.node.template_context``)."""
    roles: tuple[str, ...] = ()
    writable_roles: tuple[str, ...] = ()
    monitor_interval: float = 0.5
    lease: Lease | None = None
    members: tuple[Member, ...] = ()
    engines: tuple[EngineVersion, ...] = ()

    @property
    def tools(self) -> Mapping[str, Tool]:
        return self.toolbox.tools

    def members_among(self, words: str) -> int:
        """How many of the other nodes are named, by address or name, among ``words``: strangers do not count, nor does
        one twice."""
        named = set(words.split())
        return sum(1 for member in self.members if member.address in named or member.name in named)
