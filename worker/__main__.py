"""``python -m worker``: connects with patience, runs workflows and activities, ends gracefully on SIGTERM.

One stop in some hundreds has not ended in temporalio 1.35: nothing polled any more, no activity ran, and
``finalize_shutdown`` of the SDK's core did not answer. After ``STOPS_WITHIN`` the process ends without it: a worker
that lingers keeps its Pod, or its certificates, from being replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from prometheus_client import start_http_server
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker

from activities.dependencies import Platform, watches
from activities.interceptors.callers import Callers
from activities.interceptors.heartbeats import Heartbeats
from activities.interceptors.instrumentation import Instrumentation
from activities.interceptors.retry_status import RetryStatus
from activities.plugins import Plugins
from activities.registry import all_activities
from activities.terminated_pods import TerminatedPods
from api.group import AgentBundle
from api.operations import ACTIVITY_QUEUE, WORKFLOW_QUEUE
from clients.agents import Agents
from clients.errors import KubernetesError
from clients.first_of import first_of
from clients.image_volumes import mounts_agents
from clients.kubernetes import Kubernetes
from clients.temporal import connect, tls_changed, tls_files
from clients.tls.certificates import KeyPair
from worker.certificates import authority_changed, certificates, keep_renewed
from worker.logs import configure_logs
from worker.settings import Settings
from workflows.registry import ALL_WORKFLOWS
from workflows.temporal.sandbox import PRODUCTION

log = logging.getLogger("worker")

GRACE = timedelta(seconds=20)
"""For running activities after SIGTERM, within the Pod's 45 s. The SDK's default is 0."""
STOPS_WITHIN = 40.0
"""Seconds for all of the stop. A role that is on its way is moved to its end, which may take longer than ``GRACE``."""
MOST_ACTIVITIES = 200
"""Most of them wait; those that work are bounded by the API server's own limits."""
HEARTBEAT_THROTTLE = timedelta(seconds=1)
"""The SDK would send only every 16 s of a 20 s time-out, and a cancellation arrives with the answer."""
LOST_WORKER = timedelta(seconds=2)
"""A worker that was killed leaves the next task of each workflow that it had in memory to itself; after this long
anybody may take it. The SDK's default is 10 s, in which a failover would stand still. One that is only slow costs a
replay."""


def runtime_for(settings: Settings) -> Runtime:
    """With metrics of the platform and, at the next port, of the Temporal SDK."""
    if not settings.metrics_port:
        return Runtime.default()
    start_http_server(settings.metrics_port)
    address = f"0.0.0.0:{settings.metrics_port + 1}"
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))


async def _certificates(settings: Settings, kubernetes: Kubernetes) -> tuple[KeyPair, Path]:
    while True:
        try:
            return await certificates(settings, kubernetes)
        except KubernetesError as error:
            log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(2)


def workers(client: Client, platform: Platform) -> list[Worker]:
    """One for each queue, so that activities that wait never keep a workflow from being decided."""
    return [
        Worker(
            client,
            task_queue=WORKFLOW_QUEUE,
            workflows=ALL_WORKFLOWS,
            workflow_runner=PRODUCTION,
            sticky_queue_schedule_to_start_timeout=LOST_WORKER,
            graceful_shutdown_timeout=GRACE,
        ),
        Worker(
            client,
            task_queue=ACTIVITY_QUEUE,
            activities=all_activities(platform),
            interceptors=[Instrumentation(), Callers(platform.installation), Heartbeats(), RetryStatus(platform)],
            max_concurrent_activities=MOST_ACTIVITIES,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=GRACE,
        ),
    ]


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Runs until cancelled, or until the certificate for Temporal or the authority is another: the process then starts
    anew. ``stopping`` is set when it begins to end."""
    runtime = runtime_for(settings)
    async with contextlib.AsyncExitStack() as stack:
        kubernetes = await stack.enter_async_context(await Kubernetes.connect())
        authority, tls_directory = await _certificates(settings, kubernetes)
        renewal = asyncio.create_task(keep_renewed(kubernetes), name="client certificate")
        stack.callback(renewal.cancel)
        tls = tls_files()
        client = await connect(runtime=runtime)
        agents = Agents(tls_directory)
        stack.push_async_callback(agents.close)
        deployments, pods = watches(kubernetes)
        await stack.enter_async_context(deployments)
        await stack.enter_async_context(pods)
        mounted = await mounts_agents(kubernetes, settings.agent_delivery)
        platform = Platform(
            kubernetes=kubernetes,
            agents=agents,
            temporal=client,
            plugins=Plugins(kubernetes),
            deployments=deployments,
            pods=pods,
            terminated_pods=TerminatedPods(pods),
            authority=authority,
            installation=settings.installation,
            agent=AgentBundle(image=settings.agent_image, mounted=mounted),
        )
        agent = platform.agent.model_dump()
        log.info("running", extra={"queues": [WORKFLOW_QUEUE, ACTIVITY_QUEUE], "agent": agent})
        for worker in workers(client, platform):
            await stack.enter_async_context(worker)
        stack.callback(stopping.set)
        await first_of(tls_changed(tls), authority_changed(settings, authority))


async def run(settings: Settings) -> bool:
    """Until SIGTERM or SIGINT; then it takes no new work and lets activities end within ``GRACE``. False where it has
    not stopped in time: what is left does not heed a cancellation either."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    serving = asyncio.create_task(serve(settings, stopping))

    def stop() -> None:
        stopping.set()
        serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    begins = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, begins}, return_when=asyncio.FIRST_COMPLETED)
    begins.cancel()
    await asyncio.wait({serving}, timeout=STOPS_WITHIN)
    if not serving.done():
        log.error("not stopped after %g s: the Temporal SDK does not end; the process ends without it", STOPS_WITHIN)
        return False
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    log.info("stopped")
    return True


def main() -> None:
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        sys.exit(f"worker: {error}")
    configure_logs(settings.log_level)
    with asyncio.Runner() as runner:
        if not runner.run(run(settings)):
            # Past all that waits for tasks and threads: it would wait for what does not end.
            logging.shutdown()
            os._exit(1)


if __name__ == "__main__":
    main()
