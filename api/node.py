"""The node document: what the platform tells the agents of one node, as ``node.json`` in the node's ConfigMap.

The ConfigMap also holds each rendered file under its ``source`` key. Agents parse the document with plain dataclasses
and ignore fields they do not know, so a platform one version newer is still understood; ``schema`` changes when it is
not. Mounted at ``/etc/middleware``; the App's credentials at ``/etc/middleware-secrets`` (one file each), the agents'
TLS Secret at ``/etc/middleware-tls`` (tls.crt, tls.key, ca.crt). Agent state lives on the node's volume in
``/middleware/.agent`` (lock, record of the last role, answered requests, pushed documents).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.meta import Model
from api.plugin import Process
from api.tools import Toolbox

SCHEMA = 1
DOCUMENT_KEY = "node.json"


class NodeIdentity(Model):
    app: str
    app_uid: str
    """A record on the volume that was written under another uid belongs to a deleted App of the same name."""
    namespace: str
    component: str
    group: str
    name: str
    address: str
    ordinal: int


class NodeFile(Model):
    """Where the agent writes the ConfigMap key ``source``; what a template left to
    ``atStart`` is filled in at each start."""

    path: str
    source: str
    write: Literal["always", "once"]
    mode: str


class Lease(Model):
    """Where the platform replaces a lost primary: a node with a writable role stops taking writes (tool ``fence``)
    ``seconds`` after the last renewal.

    The platform renews by call; the node's own replicas by following: ``getRole`` says in ``followers`` who was heard
    from within the last 2 s, and ``followers`` of the document's ``members`` among them are enough.
    """

    seconds: float
    followers: int


class Member(Model):
    """Another node of the component."""

    name: str
    address: str


class EngineVersion(Model):
    """A runtime version of the plugin. ``upgradesFrom``: the versions whose data its engine may be given; without it,
    those of every version but a higher one."""

    version: str
    upgrades_from: list[str] | None = None


class NodeDocument(Model):
    schema_: int = Field(default=SCHEMA, alias="schema")
    revision: int
    """Grows with every change; of the mounted and a pushed document the higher revision wins."""
    hold: bool = False
    """Do not start the engine by itself: the platform first looks at the volumes, or takes a replaced primary in again,
    then pushes a document without hold."""
    node: NodeIdentity
    process: Process
    files: list[NodeFile]
    toolbox: Toolbox
    names: dict[str, Any] = {}
    """What expressions of tools know: what templates of files know."""
    roles: list[str] = []
    writable_roles: list[str] = []
    monitor_interval: float = 0.5
    lease: Lease | None = None
    members: list[Member] = []
    """Who may count as this node's follower."""
    engines: list[EngineVersion] = []
    """All that the plugin has: by them agent 1 decides whether the engine of its Pod may be given the volume. Which of
    them is in the Pod the Pod says: this document may be the next one's already."""
