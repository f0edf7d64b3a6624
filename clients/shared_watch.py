"""One watch and one cache for everybody in the process who waits for objects of a kind.

Hundreds of waiting activities each polling the API server would be its heaviest client; a shared watch costs one
connection and wakes a waiter when an object that concerns it changes. The cache may lag, never go back: it is for
waking up and for counting, and who is about to change something reads live state first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeVar

from clients.errors import GoneError, KubernetesError, UnavailableError
from clients.kubernetes import Kubernetes
from clients.resources import Manifest, Resource

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace and name."""

log = logging.getLogger(__name__)

WATCH_SECONDS = 50.0
"""Length of one watch request. Short, because it bounds how long a silently dead connection goes unnoticed, and
cheap to resume from the last resourceVersion."""
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 10.0


class Change(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True)
class WatchEvent:
    """``object`` is the new object; of a deletion the last one known. ``before`` is what the cache held, if
    anything."""

    change: Change
    object: Manifest
    before: Manifest | None


@dataclass(eq=False)
class _Waiter:
    labels: Mapping[str, str]
    namespace: str | None
    wake: asyncio.Event

    def concerns(self, manifest: Manifest) -> bool:
        metadata = manifest["metadata"]
        if self.namespace is not None and metadata.get("namespace") != self.namespace:
            return False
        own = metadata.get("labels") or {}
        return all(own.get(key) == value for key, value in self.labels.items())


class SharedWatch:
    """List and watch of one kind. Use as ``async with``; the handlers get each change in order and must not block."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        trim: Callable[[Manifest], None] | None = None,
    ) -> None:
        """``labels`` and ``fields`` are selectors in the API server's syntax; ``namespace`` None: the whole cluster.

        ``trim`` removes in place what nobody in this process reads before an object is kept; it still sees
        ``managedFields``, which are never kept.
        """
        self.resource = resource
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._trim = trim
        self._cache: dict[Key, Manifest] = {}
        self._waiters: set[_Waiter] = set()
        self._handlers: list[Callable[[WatchEvent], None]] = []
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._contact = 0.0

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"watch {self.resource.plural}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def synced(self, timeout: float) -> None:
        """Returns once the first list is in the cache. Raises TimeoutError after ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            await self._synced.wait()

    @property
    def silent_for(self) -> float:
        """Seconds since the API server last answered: beyond about ``WATCH_SECONDS`` the cache is stale."""
        return asyncio.get_running_loop().time() - self._contact

    def get(self, namespace: str, name: str) -> Manifest | None:
        return self._cache.get((namespace, name))

    def list(self, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Manifest]:
        """Cached objects, of one namespace and with all of ``labels`` where given."""
        probe = _Waiter(labels or {}, namespace, self._synced)
        return [manifest for manifest in self._cache.values() if probe.concerns(manifest)]

    def subscribe(self, handler: Callable[[WatchEvent], None]) -> None:
        """Calls ``handler`` for each later change, a relist's differences included. It must return at once."""
        self._handlers.append(handler)

    async def wait_for(
        self,
        predicate: Callable[[], T | None],
        timeout: float,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> T:
        """The predicate's first answer that is not None; asked now, and after each change of an object selected.

        Raises TimeoutError after ``timeout`` seconds. The predicate reads this cache; several objects may change
        between two calls of it.
        """
        waiter = _Waiter(labels or {}, namespace, asyncio.Event())
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await self._synced.wait()
                while True:
                    waiter.wake.clear()
                    answer = predicate()
                    if answer is not None:
                        return answer
                    await waiter.wake.wait()
        finally:
            self._waiters.discard(waiter)

    async def _run(self) -> None:
        version, backoff = "", FIRST_BACKOFF
        while True:
            try:
                if not version:
                    version = await self._relist()
                    backoff = FIRST_BACKOFF
                async for change, manifest in self._kubernetes.watch(
                    self.resource,
                    self._namespace,
                    version,
                    labels=self._labels,
                    fields=self._fields,
                    seconds=WATCH_SECONDS * random.uniform(0.8, 1.0),  # noqa: S311 - spreads reconnects, no secret
                ):
                    self._touch()
                    backoff = FIRST_BACKOFF
                    version = manifest["metadata"]["resourceVersion"]
                    if change != "BOOKMARK":
                        self._changed(Change(change), manifest)
                self._touch()
                continue
            except GoneError:
                log.info("resourceVersion expired, listing again", extra={"kind": self.resource.kind})
                version = ""
                continue
            except (KubernetesError, TimeoutError) as error:
                log.warning("watch interrupted: %s", error, extra={"kind": self.resource.kind})
                named = error.retry_after if isinstance(error, UnavailableError) else None
            except asyncio.CancelledError:
                raise
            except Exception:
                # A bug in one object's handling must not end the watch that everybody waits on.
                log.exception("watch failed", extra={"kind": self.resource.kind})
                version, named = "", None
            await asyncio.sleep(named or backoff * random.uniform(0.5, 1.0))  # noqa: S311
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def _relist(self) -> str:
        items, version = await self._kubernetes.list(
            self.resource, self._namespace, labels=self._labels, fields=self._fields
        )
        self._touch()
        listed = {_key(item): item for item in items}
        for key in [key for key in self._cache if key not in listed]:
            self._changed(Change.DELETED, self._cache[key])
        for key, item in listed.items():
            known = self._cache.get(key)
            if known is not None and known["metadata"].get("uid") != item["metadata"].get("uid"):
                self._changed(Change.DELETED, known)
                known = None
            if known is None:
                self._changed(Change.ADDED, item)
            elif known["metadata"].get("resourceVersion") != item["metadata"].get("resourceVersion"):
                self._changed(Change.MODIFIED, item)
        if not self._synced.is_set():
            self._synced.set()
            self._wake(listed.values())
        return version

    def _touch(self) -> None:
        self._contact = asyncio.get_running_loop().time()

    def _changed(self, change: Change, manifest: Manifest) -> None:
        if self._trim is not None:
            self._trim(manifest)
        manifest["metadata"].pop("managedFields", None)  # the larger half of many objects, and nobody here reads it
        key = _key(manifest)
        before = self._cache.get(key)
        if change is Change.DELETED:
            self._cache.pop(key, None)
        else:
            self._cache[key] = manifest
        event = WatchEvent(change, manifest, before)
        for handler in self._handlers:
            try:
                handler(event)
            except Exception:
                log.exception("a watch handler failed", extra={"kind": self.resource.kind, "object": key[1]})
        self._wake([manifest, *([before] if before is not None else [])])

    def _wake(self, manifests: Iterable[Manifest]) -> None:
        changed = list(manifests)
        for waiter in self._waiters:
            if any(waiter.concerns(manifest) for manifest in changed):
                waiter.wake.set()


def _key(manifest: Manifest) -> Key:
    metadata = manifest["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata["name"])
