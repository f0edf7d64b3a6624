"""Prometheus metrics and health of the watcher, on one plain HTTP port: ``/metrics``, ``/livez``.

Served by the event loop itself, so that a hung loop fails the liveness probe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

LEADER = Gauge("middleware_watcher_leader", "1 while this replica holds the lease")
NODES = Gauge("middleware_nodes", "Nodes by readiness", ["namespace", "app", "state"])
ROLES = Gauge("middleware_node_role", "1 for each role that a node holds", ["namespace", "app", "node", "role"])
AS_WANTED = Gauge(
    "middleware_app_as_wanted", "1 while all that was observed of the App is as wanted", ["namespace", "app"]
)
PROBLEMS = Gauge("middleware_app_problems", "What is not as wanted now", ["namespace", "app", "reason"])
STREAMS = Gauge("middleware_watcher_agent_streams", "Role streams by state", ["state"])
STREAM_BREAKS = Counter("middleware_watcher_agent_stream_breaks", "Role streams that ended", ["reason"])
ROLE_CHANGES = Counter("middleware_watcher_role_changes", "Role labels changed", ["namespace", "app"])
ROLE_SECONDS = Histogram(
    "middleware_watcher_role_seconds",
    "From an agent's report to the labels that follow from it",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
WATCH_SILENCE = Gauge("middleware_watcher_watch_silence_seconds", "Since the API server last answered", ["kind"])
WATCH_EVENTS = Counter("middleware_watcher_watch_events", "Changes seen", ["kind"])
SIGNALS = Counter("middleware_watcher_signals", "Notices sent to workflows", ["kind"])
SIGNAL_FAILURES = Counter("middleware_watcher_signal_failures", "Notices that could not be sent yet")
ENTITIES_BEGUN = Counter("middleware_watcher_entities_begun", "Apps' workflows that did not run")
SUSPICIONS = Counter("middleware_watcher_suspicions", "Holders of a writable role found lost, and the like", ["reason"])
RENEWALS_FAILED = Counter("middleware_watcher_lease_renewals_failed", "Primaries' leases not renewed", ["reason"])
CLOCK_SKEW = Gauge("middleware_watcher_clock_skew_seconds", "An agent's clock, ahead of the watcher's", ["machine"])
STATUS_WRITES = Counter("middleware_watcher_status_writes", "Status written", ["kind"])


def forget(metric: Counter | Gauge, *labels: str) -> None:
    """Each App that there was would else stay a series for as long as the watcher lives."""
    with suppress(KeyError):
        metric.remove(*labels)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


@asynccontextmanager
async def served(port: int) -> AsyncIterator[None]:
    """Serves while the context lasts. Raises OSError where the port is taken."""
    application = web.Application()
    application.add_routes([web.get("/metrics", _metrics), web.get("/livez", _alive)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
