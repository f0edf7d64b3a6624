"""The node document as the agents see it: the same shapes as ``api.node``, ``api.plugin`` and ``api.tools``,
unvalidated.

Semantics are written there; here are the fields, and what follows from them, found out once for all runs. The platform
has validated the document before it was rendered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
    login_refused: str | None = None


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
    collect: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 5.0
    optional: bool = False
    repeat: Repeat | None = None
    for_each: tuple[Any, ...] | str | None = None
    first_of: tuple[str, ...] | None = None

    @cached_property
    def plain(self) -> bool:
        """It is carried out once, and its failure is the tool's."""
        return self.repeat is None and self.for_each is None and self.first_of is None and not self.optional

    @cached_property
    def waits(self) -> bool:
        """For somebody else."""
        return self.tcp is not None or self.run is not None or self.http is not None

    @cached_property
    def when_once(self) -> tuple[tuple[str, str], ...]:
        """What is asked before the step: of ``forEach`` all that holds for each item or for none, as nothing is done
        then. ``firstOf`` fails where it passes over every item. Without a loop everything is asked here: ``${item}`` is
        what an earlier ``firstOf`` has chosen, and an unknown name fails the tool."""
        if self.for_each is None and self.first_of is None:
            return tuple(self.when.items())
        once = tuple((text, pattern) for text, pattern in self.when.items() if "${item" not in text)
        return () if self.first_of is not None and len(once) < len(self.when) else once

    @cached_property
    def when_each(self) -> tuple[tuple[str, str], ...]:
        """What is asked for each item: all, as what the last one has captured may count."""
        return tuple(self.when.items()) if len(self.when_once) < len(self.when) else ()

    @cached_property
    def longest(self) -> float:
        """Seconds after which its own time-out has ended it; infinite where that is not known beforehand."""
        if self.repeat is not None or isinstance(self.for_each, str):
            return math.inf
        times = self.for_each if self.for_each is not None else self.first_of
        return (1 if times is None else len(times)) * self.timeout if self.waits else 0.0


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

    @cached_property
    def assignable(self) -> tuple[str, ...]:
        """Names to which a step may give a value."""
        return tuple(_assignable(self.steps))


def _assignable(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        if step.expect is not None:
            yield from re.compile(step.expect).groupindex
        yield from step.collect
        if step.set is not None:
            yield from step.set
        if step.http is not None:
            yield from step.http.json_paths
        if step.first_of is not None:
            yield "item"


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
    tools: Mapping[str, Tool] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    writable_roles: tuple[str, ...] = ()
    monitor_interval: float = 0.5
    lease: Lease | None = None
    members: tuple[Member, ...] = ()
    engines: tuple[EngineVersion, ...] = ()

    def members_among(self, words: str) -> int:
        """How many of the other nodes are named, by address or name, among ``words``: strangers do not count, nor does
        one twice."""
        named = set(words.split())
        return sum(1 for member in self.members if member.address in named or member.name in named)
