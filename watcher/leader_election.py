"""Leader election by a Lease: of several replicas one acts.

Not the library's own: that one never releases the Lease, has no deadline on its calls, and so lets a leader whose API
server hangs act on past its time.

1. A candidate watches ``renewTime`` change by its own clock, CLOCK_BOOTTIME, which goes on while the machine is
   suspended: a leader that wakes up must know that its time is over. Only after ``duration`` seconds without a change
   does it take the Lease. Clocks of two machines are never compared.
2. The leader renews every ``period`` seconds. When the last success is ``deadline`` seconds old its work is cancelled,
   ``duration - deadline`` seconds before anybody else may begin.
3. Work that does not end within that margin ends the process: a second leader must not find it still acting.
4. A clean exit releases the Lease, so that the successor begins at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clients.errors import AlreadyExistsError, ConflictError, KubernetesError
from clients.kubernetes import Kubernetes
from clients.resources import LEASE, Manifest

log = logging.getLogger(__name__)

_CALL_SECONDS = 3.0
_ENDED_LATE = 3
"""Exit code of a process whose work outlived its leadership."""


@dataclass(frozen=True)
class Timing:
    """Seconds. Short enough that roles follow soon after a leader's sudden death, long enough for a busy API server."""

    duration: float = 10.0
    deadline: float = 7.0
    period: float = 1.5


def boot_time() -> float:
    """Seconds since the machine started, those in which it was suspended among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LostLeaseError(Exception):
    """Another replica has the Lease, or it could not be renewed in time."""


class LeaderElection:
    """One candidate. ``identity`` is the Pod's name: a restarted container goes on where its predecessor, which is
    certainly dead, stopped."""

    def __init__(
        self, kubernetes: Kubernetes, namespace: str, name: str, identity: str, clock: Callable[[], float] = boot_time
    ) -> None:
        self._kubernetes = kubernetes
        self._namespace, self._name, self._identity = namespace, name, identity
        self._timing, self._clock = Timing(), clock
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0
        self._renewed = 0.0

    @property
    def held(self) -> bool:
        """Whether nobody else may act now. What must not happen beside another leader asks this at once before: of a
        machine that was suspended, tasks go on in any order."""
        return self._clock() < self._renewed + self._timing.deadline

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Waits for the Lease, then runs ``work`` until it ends or the Lease is lost (LostLeaseError)."""
        await self._acquire()
        log.info("leading", extra={"identity": self._identity})
        task = asyncio.ensure_future(work())
        renewal = asyncio.create_task(self._keep(), name="lease")
        try:
            await asyncio.wait({task, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if renewal.done():
                await self._end(task)
                renewal.result()
            await task
        finally:
            for each in (task, renewal):
                each.cancel()
            await self._end(task)
            with contextlib.suppress(asyncio.CancelledError, LostLeaseError):
                await renewal
            await asyncio.shield(self._release())

    async def _end(self, task: asyncio.Future[None]) -> None:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=self._timing.duration - self._timing.deadline)
        if not done:
            log.critical("work goes on after the lease was lost; ending the process")
            os._exit(_ENDED_LATE)

    async def _acquire(self) -> None:
        while True:
            try:
                if await self._try_acquire():
                    return
            except (KubernetesError, TimeoutError) as error:
                log.warning("the lease cannot be read or taken: %s", error)
            await asyncio.sleep(self._timing.period)

    async def _try_acquire(self) -> bool:
        started = self._clock()
        async with asyncio.timeout(_CALL_SECONDS):
            lease = await self._kubernetes.get(LEASE, self._name, self._namespace)
            if lease is None:
                with contextlib.suppress(AlreadyExistsError):
                    await self._kubernetes.create(self._manifest({}, transitions=0))
                    self._renewed = started
                    return True
                return False
            spec = lease.get("spec") or {}
            holder = str(spec.get("holderIdentity") or "")
            seen = (holder, str(spec.get("renewTime") or ""))
            if seen != self._seen:
                self._seen, self._seen_at = seen, started
            expired = started - self._seen_at > float(spec.get("leaseDurationSeconds") or self._timing.duration)
            if holder and holder != self._identity and not expired:
                return False
            transitions = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
            return await self._write(lease, transitions, started)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._timing.period)
            left = self._renewed + self._timing.deadline - self._clock()
            if left <= 0:
                raise LostLeaseError(f"the lease could not be renewed for {self._timing.deadline:.0f} s")
            try:
                async with asyncio.timeout(min(_CALL_SECONDS, left)):
                    await self._renew(self._clock())
            except (KubernetesError, TimeoutError) as error:
                log.warning("the lease could not be renewed yet: %s", error or "no answer in time")

    async def _renew(self, started: float) -> None:
        lease = await self._kubernetes.get(LEASE, self._name, self._namespace)
        spec = (lease or {}).get("spec") or {}
        if lease is None or spec.get("holderIdentity") != self._identity:
            raise LostLeaseError(f"the lease belongs to {spec.get('holderIdentity') or 'nobody'}")
        await self._write(lease, int(spec.get("leaseTransitions") or 0), started)

    async def _write(self, lease: Manifest, transitions: int, started: float) -> bool:
        try:
            await self._kubernetes.replace(self._manifest(lease, transitions))
        except ConflictError:
            return False  # somebody else was faster; the next look shows who
        self._renewed = started
        return True

    async def _release(self) -> None:
        """Best effort: after ``duration`` seconds it is free anyway."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                lease = await self._kubernetes.get(LEASE, self._name, self._namespace)
                if lease and (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                    lease["spec"]["holderIdentity"] = ""
                    await self._kubernetes.replace(lease)
        except (KubernetesError, TimeoutError) as error:
            log.info("the lease was not released: %s", error)

    def _manifest(self, lease: Manifest, transitions: int) -> Manifest:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        known: dict[str, Any] = lease.get("spec") or {}
        own = known.get("holderIdentity") == self._identity
        metadata = {"name": self._name, "namespace": self._namespace}
        if lease:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._timing.duration),
                "acquireTime": known.get("acquireTime") if own else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
