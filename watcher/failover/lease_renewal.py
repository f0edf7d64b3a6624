"""Renews the lease of each primary that the platform would replace, so that it stops taking writes when it cannot.

To a primary whose engine waits for a lease before it begins (``Holder.begins``), the lease is the word that it may: so
what the API server says of the App itself is asked first, not only what the caches say. A failover that names the node
in the App's status after its Pod was made is then seen, however far the caches are behind.

One call each second and each primary; every call has its own second, so one that hangs delays no other. Whether a
primary may have its lease is asked before each call, of what the caches say then.

An idle App costs one call per second for each such component; all else about failover is driven by events. Measured
on a 2-core machine, mutual TLS, connections kept: 2 ms of processor time for the call of one App, 1 ms each for 50,
which then take 5 % of a core.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import grpc

from clients.agents import AgentError, Agents, AgentTarget
from watcher import metrics
from watcher.cache.caches import ComponentKey

log = logging.getLogger(__name__)

PERIOD = 1.0
DEADLINE = 1.0
UNREACHED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""Codes that say nothing of the other side: it may not have been there."""


@dataclass(frozen=True)
class Holder:
    """A Pod that holds a writable exclusive role; ``begins``: held it last, and waits for the word that it may."""

    key: ComponentKey
    pod: str
    target: AgentTarget
    begins: bool = False


class LeaseRenewal:
    """Use as ``async with``. ``allowed`` is asked before each call; ``told`` hears after it whether the agent was
    reached, and when the call had begun."""

    def __init__(
        self,
        agents: Agents,
        allowed: Callable[[Holder], bool],
        told: Callable[[Holder, bool, float], None],
        held: Callable[[Holder], None] = lambda holder: None,
        may_begin: Callable[[Holder], Awaitable[bool]] | None = None,
    ) -> None:
        self._agents, self._allowed, self._told, self._held = agents, allowed, told, held
        self._may_begin = may_begin
        self._loops: dict[Holder, asyncio.Task[None]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._without: set[Holder] = set()

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._loops.values(), *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def keep(self, key: ComponentKey, holders: Collection[Holder]) -> None:
        """From now on these are the component's holders."""
        for holder in [holder for holder in self._loops if holder.key == key and holder not in holders]:
            self._loops.pop(holder).cancel()
            self._without.discard(holder)
        for holder in holders:
            if holder not in self._loops:
                self._loops[holder] = asyncio.create_task(self._keep(holder), name=f"lease of {holder.pod}")

    async def _keep(self, holder: Holder) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while holder not in self._without:
            if self._allowed(holder):
                call = asyncio.create_task(self._renew(holder), name=f"renewal for {holder.pod}")
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
            due = max(due + PERIOD, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _renew(self, holder: Holder) -> None:
        began = asyncio.get_running_loop().time()
        where = {"app": "/".join(holder.key[:2]), "pod": holder.pod}
        if holder.begins and (self._may_begin is None or not await self._may_begin(holder)):
            return
        try:
            answer = await self._agents.renew_lease(holder.target, timeout=DEADLINE)
        except AgentError as error:
            if error.code is grpc.StatusCode.UNIMPLEMENTED:
                log.warning("the agent is older than leases: none is renewed", extra=where)
                self._without.add(holder)
            else:
                metrics.RENEWALS_FAILED.labels(error.code.name.lower()).inc()
                log.info("lease not renewed: %s", error, extra=where)
            self._told(holder, error.code not in UNREACHED, began)
        else:
            if not answer.held:
                metrics.RENEWALS_FAILED.labels("not_held").inc()
                log.debug("no lease to renew: %s", answer.message, extra=where)
            self._told(holder, True, began)
            if answer.held:
                self._held(holder)
