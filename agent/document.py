"""The node document as the agents see it: the same shapes as ``api.node``, ``api.plugin`` and ``api.tools``,
unvalidated.

Semantics are written there; here are only the fields. The platform has validated the document before it was rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
DOCUMENT_KEY = "node.json"


@dataclass(frozen=True)
class RunAction:
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    exit_codes: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class TcpAction:
    address: str
    send: str = ""
    keep: bool = False
    login: str = ""
    login_expect: str | None = None


@dataclass(frozen=True)
class HttpAction:
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    status: tuple[int, ...] = (200,)
    json_paths: Mapping[str, str] = field(default_factory=dict, metadata={"key": "json"})


@dataclass(frozen=True)
class WriteAction:
    path: str
    content: str
    mode: str = "0640"


@dataclass(frozen=True)
class Repeat:
    every: float = 0.5
    timeout: float = 30.0


@dataclass(frozen=True)
class Step:
    name: str = ""
    run: RunAction | None = None
    tcp: TcpAction | None = None
    http: HttpAction | None = None
    write: WriteAction | None = None
    set: Mapping[str, str] | None = None
    fail: str | None = None
    when: Mapping[str, str] = field(default_factory=dict)
    expect: str | None = None
    table: str | None = None
    count: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 5.0
    optional: bool = False
    repeat: Repeat | None = None
    for_each: tuple[Any, ...] | str | None = None
    first_of: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Undo:
    tool: str
    after: str


@dataclass(frozen=True)
class Tool:
    steps: tuple[Step, ...]
    timeout: float = 10.0
    result: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    undo: Undo | None = None


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
class NodeDocument:
    revision: int
    node: NodeIdentity
    process: Process
    schema: int = SCHEMA
    hold: bool = False
    files: tuple[NodeFile, ...] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    writable_roles: tuple[str, ...] = ()
    monitor_interval: float = 0.5
    lease: Lease | None = None
