"""A reconnecting client that writes without pause and remembers what was acknowledged, and what WAIT acknowledged;
between the writes it reads what it has written before."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Self

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from tests.e2e.support.kube import eventually
from tests.support.stalls import stalled

RETRY = 0.05
"""Seconds between attempts while the service refuses."""
READ_EVERY = 10
"""Writes."""


def never() -> Retry:
    """Else the library tries a command ten times more, with pauses, before it tells: its time, not the service's."""
    return Retry(NoBackoff(), 0)


def again() -> Retry:
    """Its own way, for whoever only wants an answer."""
    return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)


@dataclass
class Outage:
    """A time without an acknowledged write, in seconds of the monotonic clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def outages(times: Sequence[float], since: float, least: float) -> list[Outage]:
    """The times of at least so many seconds between two acknowledged writes, as far as they end after ``since``."""
    found = [Outage(before, after) for before, after in pairwise(times) if after > since]
    return [each for each in found if each.seconds >= least]


@dataclass
class AcknowledgedWriter:
    """Writes ``<prefix>:<n> = n`` through one address (a Service) until stopped; use as a context manager."""

    host: str
    password: str
    port: int = 6379
    prefix: str = "write"
    wait_replicas: int = 1
    pause: float = 0.005
    logs_in: bool = False
    """Anew for each write: who is connected stays so, whatever becomes of the password."""
    refused: int = 0
    """Logins that were."""
    timeout: float = 2.0
    """Seconds that it waits for an answer before it comes back through the Service."""
    acknowledged: set[int] = field(default_factory=set)
    replicated: set[int] = field(default_factory=set)
    times: list[float] = field(default_factory=list)
    """When each of them was acknowledged."""
    outages: list[Outage] = field(default_factory=list)
    misread: set[int] = field(default_factory=set)
    """Acknowledged, and not there when read meanwhile."""
    errors: int = 0
    """Neither here nor in ``error_windows`` is what failed as the machine stood still: the client gave up, not who was
    asked."""
    error_windows: list[float] = field(default_factory=list)
    """Seconds from a first error until a write was acknowledged again."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=f"writer-{self.prefix}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=15)

    def connect(self) -> redis.Redis:
        return redis.Redis(
            host=self.host,
            port=self.port,
            password=self.password,
            socket_timeout=self.timeout,
            retry=never(),
            socket_connect_timeout=1,
            decode_responses=True,
        )

    def _run(self) -> None:
        number, last, failing = 0, time.monotonic(), 0.0
        client: redis.Redis | None = None
        while not self._stop.is_set():
            number += 1
            asked = time.monotonic()
            try:
                client = client or self.connect()
                client.set(f"{self.prefix}:{number}", number)
                self.acknowledged.add(number)
                now = time.monotonic()
                self.times.append(now)
                if now - last > 0.5:
                    self.outages.append(Outage(last, now))
                last = now
                if failing:
                    self.error_windows.append(now - failing)
                    failing = 0.0
                if number % READ_EVERY == 0:
                    self._read_earlier(client, number)
                if self.wait_replicas and int(client.wait(self.wait_replicas, 500)) >= self.wait_replicas:
                    self.replicated.add(number)
                if self.logs_in:
                    client.close()
                    client = None
                self._stop.wait(self.pause)
            except (redis.RedisError, OSError) as error:
                self.refused += isinstance(error, redis.AuthenticationError)
                if not stalled(asked):
                    self.errors += 1
                    failing = failing or time.monotonic()
                if client is not None:
                    client.close()
                client = None
                self._stop.wait(RETRY)

    def _read_earlier(self, client: redis.Redis, now: int) -> None:
        earlier = now // 2
        if earlier in self.acknowledged and client.get(f"{self.prefix}:{earlier}") != str(earlier):
            self.misread.add(earlier)

    def lost(self, numbers: set[int]) -> set[int]:
        """Which of ``numbers`` cannot be read back now. A node of which an agent was killed just now may be without
        its Service for a moment."""
        ordered = sorted(numbers)
        found: set[int] = set()
        for start in range(0, len(ordered), 500):
            keys = ordered[start : start + 500]
            values = eventually("what was written can be read", partial(self._read, keys), timeout=60)
            found |= {n for n, value in zip(keys, values, strict=True) if value == str(n)}
        return numbers - found

    def _read(self, keys: list[int]) -> list[bytes | str | None]:
        client = self.connect()
        try:
            values: list[bytes | str | None] = client.mget([f"{self.prefix}:{n}" for n in keys])
            return values
        finally:
            client.close()
