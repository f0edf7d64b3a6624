"""``python -m watcher``: waits for the Lease, then watches until it loses it, a part fails, or it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

from clients.agents import Agents
from clients.first_of import first_of
from clients.kubernetes import Kubernetes
from clients.temporal import tls_changed, tls_files
from watcher import logs, metrics
from watcher.cache.caches import AppKey, watched
from watcher.failover.detector import FailureDetector
from watcher.failover.suspicions import Suspicions
from watcher.leader_election import LeaderElection, LostLeaseError
from watcher.notify.cordons import Cordons
from watcher.notify.entities import Entities
from watcher.notify.notifier import Notifier
from watcher.roles.monitor import RoleMonitor
from watcher.roles.moved import MovedRoles
from watcher.roles.record import RoleRecorder
from watcher.roles.rules import RoleRules
from watcher.roles.stops import StopLabels
from watcher.settings import Settings
from watcher.status.metadata import MetadataWriter
from watcher.status.writer import StatusWriter

log = logging.getLogger("watcher")

LEASE_NAME = "middleware-watcher"


async def act(kubernetes: Kubernetes, settings: Settings, lease: LeaderElection) -> None:
    """All that the leader does; runs until cancelled. Its state is built anew each time."""
    metrics.LEADER.set(1)
    agents = Agents(settings.tls_directory)
    try:
        async with contextlib.AsyncExitStack() as stack:
            cluster = await stack.enter_async_context(watched(kubernetes))

            def changed(key: AppKey) -> None:
                recorder.add(key)
                writer.add(key)
                stops.add(key)

            rules = RoleRules(cluster)
            notifier = Notifier(cluster, settings.installation)
            monitor = RoleMonitor(cluster, agents, rules, changed)
            stops = StopLabels(cluster, monitor.said)
            suspicions = Suspicions(cluster, settings.installation, notifier.connected)
            failures = FailureDetector(cluster, agents, rules, suspicions, changed, lambda: lease.held)
            moved = MovedRoles(cluster, rules, monitor.epochs)
            monitor.listen(failures)
            monitor.listen(moved)
            recorder = RoleRecorder(cluster, monitor.epochs, failures.holders)
            writer = StatusWriter(cluster, monitor, rules, failures.notes, notifier.tell)
            metadata = MetadataWriter(cluster)
            cordons = Cordons(cluster, rules, notifier.tell)
            entities = Entities(cluster.apps.list, settings.installation, notifier.connected, notifier.tell)
            parts = (notifier, recorder, writer, metadata, suspicions, failures, moved, stops)
            for part in (*parts, monitor, cordons, entities):
                await stack.enter_async_context(part)
            log.info("watching", extra={"apps": len(cluster.apps.list()), "pods": len(cluster.pods.list())})
            await asyncio.Event().wait()
    finally:
        metrics.LEADER.set(0)
        await agents.close()


async def run(settings: Settings) -> None:
    async with metrics.served(settings.metrics_port), await Kubernetes.connect() as kubernetes:
        lease = LeaderElection(kubernetes, settings.namespace, LEASE_NAME, settings.identity)
        while True:
            try:
                await lease.lead(lambda: act(kubernetes, settings, lease))
            except LostLeaseError as error:
                log.warning("not leading any more: %s", error)


async def serve(settings: Settings) -> None:
    """Runs until cancelled, or until the client certificate for Temporal is another: the process then starts anew."""
    await first_of(tls_changed(tls_files()), run(settings))


async def main() -> int:
    try:
        settings = Settings.read()
    except ValueError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    logs.configure(settings.log_level)
    task = asyncio.create_task(serve(settings), name="watcher")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    log.info("ended")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
