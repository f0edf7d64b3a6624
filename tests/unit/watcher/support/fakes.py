"""An API server and agents in memory: the watcher's own connections, watches and streams run against them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc

from clients.agents import AgentError, AgentTarget
from clients.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    KubernetesError,
    NotFoundError,
    UnavailableError,
)
from clients.resources import Resource, resource_of
from proto import agent_pb2
from tests.unit.watcher.support import rights

Manifest = dict[str, Any]


class FakeKubernetes:
    """Objects with resourceVersions, conflicts and watches, as the API server has them; fake because a real one takes
    seconds to start and cannot be told to fail at one call. It allows what the chart allows ``who``."""

    who = "watcher"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Manifest] = {}
        self.calls: list[tuple[str, str, Any]] = []
        self.fail: Callable[[str, str], KubernetesError | None] = lambda verb, name: None
        self.admission: Callable[[Manifest], KubernetesError | None] = lambda manifest: None
        """What the API server has against an object that is tried."""
        self._version = 1000
        self._queues: list[tuple[Resource, asyncio.Queue[tuple[str, Manifest]]]] = []
        self._removed: list[tuple[int, str, Manifest]] = []

    # What tests do

    def put(self, manifest: Manifest) -> Manifest:
        """Creates or replaces, as somebody else."""
        key = self._key(manifest)
        change = "MODIFIED" if key in self.objects else "ADDED"
        return self._store(key, copy.deepcopy(manifest), change)

    def remove(self, manifest: Manifest) -> None:
        key = self._key(manifest)
        gone = self.objects.pop(key)
        self._version += 1
        self._removed.append((self._version, key[0], gone))
        self._publish(key[0], "DELETED", gone)

    def get_now(self, kind: str, namespace: str, name: str) -> Manifest:
        return self.objects[kind, namespace, name]

    # What the watcher calls

    async def serves(self, resource: Resource) -> bool:
        return True

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", **_: Any
    ) -> tuple[Sequence[Manifest], str]:
        rights.check(self.who, "list", resource)
        found = [
            manifest
            for (kind, where, _name), manifest in self.objects.items()
            if kind == resource.kind and namespace in (None, where) and _selected(manifest, labels)
        ]
        return copy.deepcopy(found), str(self._version)

    async def watch(
        self, resource: Resource, namespace: str | None, version: str, **_: Any
    ) -> AsyncIterator[tuple[str, Manifest]]:
        rights.check(self.who, "watch", resource)
        queue: asyncio.Queue[tuple[str, Manifest]] = asyncio.Queue()
        for (kind, where, _name), manifest in self.objects.items():
            newer = int(manifest["metadata"]["resourceVersion"]) > int(version)
            if newer and kind == resource.kind and namespace in (None, where):
                queue.put_nowait(("MODIFIED", copy.deepcopy(manifest)))
        for removed, kind, manifest in self._removed:
            if (
                removed > int(version)
                and kind == resource.kind
                and namespace in (None, manifest["metadata"]["namespace"])
            ):
                queue.put_nowait(("DELETED", copy.deepcopy(manifest)))
        entry = (resource, queue)
        self._queues.append(entry)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.remove(entry)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Manifest | None:
        rights.check(self.who, "get", resource)
        self._checked("get", name, None)
        return copy.deepcopy(self.objects.get((resource.kind, namespace or "", name)))

    async def create(self, manifest: Manifest, *, dry_run: bool = False, **_: Any) -> Manifest:
        rights.check(self.who, "create", resource_of(manifest))
        key = self._key(manifest)
        if dry_run:
            if (refusal := self.admission(manifest)) is not None:
                raise refusal
            return copy.deepcopy(manifest)
        self._checked("create", key[2], manifest)
        if key in self.objects:
            raise AlreadyExistsError("creating", 409, "AlreadyExists", key[2])
        made = copy.deepcopy(manifest)
        made["metadata"] = {"uid": f"uid-{self._version}", **made["metadata"]}
        return self._store(key, made, "ADDED")

    async def replace(self, manifest: Manifest) -> Manifest:
        key = self._key(manifest)
        rights.check(self.who, "update", resource_of(manifest))
        self._checked("replace", key[2], manifest)
        self._check_version(key, manifest["metadata"].get("resourceVersion"))
        return self._store(key, copy.deepcopy(manifest), "MODIFIED")

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        change: Mapping[str, Any],
        *,
        subresource: str | None = None,
        **_: Any,
    ) -> Manifest:
        rights.check(self.who, "patch", resource, subresource)
        self._checked("patch", name, change)
        key = (resource.kind, namespace or "", name)
        if key not in self.objects:
            raise NotFoundError("patching", 404, "NotFound", name)
        wanted = dict(change)
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        if version is not None:
            self._check_version(key, version)
        after = _merged(self.objects[key], wanted)
        _check_frozen(self.objects[key], after)
        return self._store(key, after, "MODIFIED")

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, uid: str = "", version: str = "", **_: Any
    ) -> bool:
        rights.check(self.who, "delete", resource)
        self._checked("delete", name, uid)
        found = self.objects.get((resource.kind, namespace or "", name))
        if found is None:
            return False
        metadata = found["metadata"]
        if (uid and metadata.get("uid") != uid) or (version and metadata["resourceVersion"] != version):
            raise ConflictError("deleting", 409, "Conflict", "it is another by now")
        self.remove(found)
        return True

    async def apply(self, manifest: Manifest, *, subresource: str | None = None, **_: Any) -> Manifest:
        key = self._key(manifest)
        rights.check(self.who, "patch", resource_of(manifest), subresource)
        self._checked("apply", key[2], manifest)
        if key not in self.objects:
            raise NotFoundError("applying", 404, "NotFound", key[2])
        live = self.objects[key]
        conditions = {c["type"]: c for c in (live.get("status") or {}).get("conditions") or []}
        conditions |= {c["type"]: c for c in manifest["status"].get("conditions") or []}
        status = {**(live.get("status") or {}), **manifest["status"], "conditions": list(conditions.values())}
        return self._store(key, {**live, "status": status}, "MODIFIED")

    def _checked(self, verb: str, name: str, body: Any) -> None:
        error = self.fail(verb, name)
        if error is not None:
            raise error
        self.calls.append((verb, name, body))

    def _check_version(self, key: tuple[str, str, str], version: str | None) -> None:
        if key not in self.objects:
            raise NotFoundError("updating", 404, "NotFound", key[2])
        if self.objects[key]["metadata"]["resourceVersion"] != version:
            raise ConflictError("updating", 409, "Conflict", "the object has been modified")

    def _key(self, manifest: Manifest) -> tuple[str, str, str]:
        metadata = manifest["metadata"]
        return resource_of(manifest).kind, str(metadata.get("namespace") or ""), str(metadata["name"])

    def _store(self, key: tuple[str, str, str], manifest: Manifest, change: str) -> Manifest:
        self._version += 1
        manifest["metadata"] = {**manifest["metadata"], "resourceVersion": str(self._version)}
        self.objects[key] = manifest
        self._publish(key[0], change, manifest)
        return copy.deepcopy(manifest)

    def _publish(self, kind: str, change: str, manifest: Manifest) -> None:
        for resource, queue in self._queues:
            if resource.kind == kind:
                queue.put_nowait((change, copy.deepcopy(manifest)))


class Administrators(FakeKubernetes):
    """Reached with a person's rights, who may do everything."""

    who = ""


def _check_frozen(live: Manifest, after: Manifest) -> None:
    """As the API server does for a ConfigMap or Secret that is ``immutable``."""
    if live.get("immutable") and (after.get("data") != live.get("data") or not after.get("immutable")):
        raise InvalidError("writing", 422, "Invalid", "data: field is immutable when `immutable` is set")


def _selected(manifest: Manifest, selector: str) -> bool:
    own = manifest["metadata"].get("labels") or {}
    terms = [term.partition("=") for term in selector.split(",") if term]
    return all(own.get(key) == value if equals else key in own for key, equals, value in terms)


def _merged(live: Manifest, change: Mapping[str, Any]) -> Manifest:
    result = dict(live)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = _merged(result.get(key) or {}, value)
        else:
            result[key] = value
    return result


def unavailable() -> UnavailableError:
    return UnavailableError("calling", 503, "ServiceUnavailable", "the API server restarts")


class FakeAgents:
    """Streams that tests write into, and answers to calls, by node; fake because a real agent needs an engine to
    report on, and a network that can be cut."""

    def __init__(self) -> None:
        self._reports: dict[str, asyncio.Queue[agent_pb2.RoleReport | grpc.StatusCode]] = {}
        self._last: dict[str, agent_pb2.RoleReport] = {}
        self._sequence = 0
        self.targets: list[AgentTarget] = []
        self.renewed: list[tuple[str, float]] = []
        """Nodes whose lease was renewed, and when the call began."""
        self.statuses: dict[str, Callable[[], agent_pb2.ProcessStatus]] = {}
        self.refusing: dict[str, grpc.StatusCode] = {}
        """Nodes whose agents answer every call with this; DEADLINE_EXCEEDED takes its time."""
        self.refusing_renewal: dict[str, grpc.StatusCode] = {}

    def say(
        self,
        node: str,
        role: str,
        epoch: int = 0,
        *,
        process: int = agent_pb2.RUNNING,
        message: str = "",
        ready: bool = True,
        volume_full: bool = False,
        now: int = 0,
        **facts: Any,
    ) -> None:
        """``facts``: further fields of the report."""
        self._sequence += 1
        report = agent_pb2.RoleReport(
            node=node, role=role, epoch=epoch, sequence=self._sequence, incarnation="life", message=message,
            process=process, ready=ready, volume_full=volume_full, now=now, **facts,  # type: ignore[arg-type]
        )  # fmt: skip
        self._last[node] = report
        self._queue(node).put_nowait(report)

    def break_stream(self, node: str) -> None:
        self._queue(node).put_nowait(grpc.StatusCode.UNAVAILABLE)

    def hang(self, node: str) -> None:
        """As the client finds when nothing has come for its time."""
        self._queue(node).put_nowait(grpc.StatusCode.DEADLINE_EXCEEDED)

    def cut_off(self, node: str) -> None:
        """Nothing reaches it any more, and its stream does not end."""
        self.refusing[node] = grpc.StatusCode.DEADLINE_EXCEEDED

    async def watch_role(self, target: AgentTarget) -> AsyncIterator[agent_pb2.RoleReport]:
        self.targets.append(target)
        while True:
            report = await self._queue(target.node).get()
            if isinstance(report, grpc.StatusCode):
                raise AgentError(target, "WatchRole", report, "nothing came")
            yield report

    async def renew_lease(self, target: AgentTarget, *, timeout: float) -> agent_pb2.LeaseStatus:
        self.renewed.append((target.node, asyncio.get_running_loop().time()))
        await self._answers(target, "RenewLease", timeout, self.refusing_renewal.get(target.node))
        return agent_pb2.LeaseStatus(held=True)

    async def status(self, target: AgentTarget, *, timeout: float) -> agent_pb2.ProcessStatus:
        await self._answers(target, "GetStatus", timeout)
        return self.statuses.get(target.node, agent_pb2.ProcessStatus)()

    async def role(self, target: AgentTarget, *, timeout: float) -> agent_pb2.RoleReport:
        await self._answers(target, "GetRole", timeout)
        return self._last.get(target.node, agent_pb2.RoleReport(node=target.node))

    async def _answers(
        self, target: AgentTarget, call: str, timeout: float, refusal: grpc.StatusCode | None = None
    ) -> None:
        refusal = self.refusing.get(target.node, refusal)
        if refusal is grpc.StatusCode.DEADLINE_EXCEEDED:
            await asyncio.sleep(timeout)
        if refusal is not None:
            raise AgentError(target, call, refusal, "no answer")

    def _queue(self, node: str) -> asyncio.Queue[agent_pb2.RoleReport | grpc.StatusCode]:
        return self._reports.setdefault(node, asyncio.Queue())


async def eventually(probe: Callable[[], bool], timeout: float = 20.0) -> None:
    """Waits until ``probe`` is true; AssertionError after ``timeout`` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not probe():
        assert loop.time() < deadline, "waited in vain"
        await asyncio.sleep(0.01)
