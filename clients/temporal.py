"""Temporal: connecting with patience, and the one way in which everybody wakes up an App's entity workflow."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.runtime import Runtime
from temporalio.service import RPCError, TLSConfig

from api.names import entity_workflow_id
from api.operations import (
    ENTITY_WORKFLOW,
    SEARCH_APP,
    SEARCH_NAMESPACE,
    SEARCH_PLUGIN,
    SIGNAL_NOTICE,
    SIGNAL_SUSPECT,
    WORKFLOW_QUEUE,
    AppReference,
    Notice,
    Suspicion,
)

log = logging.getLogger(__name__)

RPC_TIMEOUT = timedelta(seconds=10)
_LONGEST_BACKOFF = 10.0

TlsFiles = Mapping[str, bytes | None]
"""What is in ca.crt, tls.crt and tls.key; None for one that is absent."""


async def connect(
    address: str | None = None,
    namespace: str | None = None,
    *,
    runtime: Runtime | None = None,
    patience: float | None = None,
) -> Client:
    """Connects, trying again until it works or ``patience`` seconds are over (None: for ever).

    Defaults come from TEMPORAL_ADDRESS (else localhost:7233) and TEMPORAL_NAMESPACE (else ``default``); TLS from
    MW_TEMPORAL_TLS_DIR (ca.crt; tls.crt and tls.key for a client certificate) and MW_TEMPORAL_TLS_SERVER_NAME. Raises
    RuntimeError of the SDK when patience is over.
    """
    address = address or os.environ.get("TEMPORAL_ADDRESS", "localhost:7233")
    namespace = namespace or os.environ.get("TEMPORAL_NAMESPACE", "default")
    loop = asyncio.get_running_loop()
    deadline = None if patience is None else loop.time() + patience
    backoff = 0.5
    while True:
        try:
            client = await Client.connect(address, namespace=namespace, runtime=runtime, tls=_tls())
            await client.service_client.check_health(timeout=RPC_TIMEOUT)
            return client
        except (RuntimeError, RPCError) as error:
            if deadline is not None and loop.time() + backoff > deadline:
                raise
            log.warning("Temporal at %s does not answer yet: %s", address, error)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, _LONGEST_BACKOFF)


async def tls_changed(before: TlsFiles | None, every: float = 60.0) -> None:
    """Returns once the files for TLS are others than ``before`` and Temporal answers with them; never without TLS.

    A client keeps those that it was made with, so its process ends then, and starts anew with the new ones. While
    Temporal refuses them, or is down, the process is better off with the connection that it has. Replicas see a
    rotation in the same minute, so each waits for a time of its own: they should not all be away at once.
    """
    while True:
        await asyncio.sleep(every)
        try:
            if before is None or await asyncio.to_thread(tls_files) == before:
                continue
            await asyncio.sleep(random.uniform(0, 2 * every))  # noqa: S311 - no secret
            await connect(patience=0)
        except (RuntimeError, RPCError, OSError, ValueError) as error:  # ValueError: a key without its certificate
            log.error("Temporal cannot be reached with the changed files for TLS, going on with the old: %s", error)
            continue
        log.warning("the files for TLS with Temporal have changed: ending, to start anew with them")
        return


def _tls() -> TLSConfig | bool:
    files = tls_files()
    if files is None:
        return False
    return TLSConfig(
        server_root_ca_cert=files["ca.crt"],
        domain=os.environ.get("MW_TEMPORAL_TLS_SERVER_NAME") or None,
        client_cert=files["tls.crt"],
        client_private_key=files["tls.key"],
    )


def tls_files() -> TlsFiles | None:
    """Those that a connection made now would use; None where it uses no TLS. To be read before ``connect``, so that
    ``tls_changed`` misses nothing in between."""
    folder = os.environ.get("MW_TEMPORAL_TLS_DIR")
    if not folder:
        return None

    def read(name: str) -> bytes | None:
        path = Path(folder, name)
        return path.read_bytes() if path.exists() else None

    return {name: read(name) for name in ("ca.crt", "tls.crt", "tls.key")}


def search_attributes(reference: AppReference, plugin: str = "") -> TypedSearchAttributes:
    """What makes an App's workflows findable in the UI: ``MiddlewareApp = "x"``."""
    values = {SEARCH_APP: reference.app, SEARCH_NAMESPACE: reference.namespace, SEARCH_PLUGIN: plugin}
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(key), value) for key, value in values.items() if value]
    )


async def running_entities(client: Client) -> set[str]:
    """Workflow ids of all entities that run, whichever installation's. What began or ended in the last second or two
    may not be known yet. Raises RPCError."""
    query = f"WorkflowType = '{ENTITY_WORKFLOW}' AND ExecutionStatus = 'Running'"
    return {each.id async for each in client.list_workflows(query, rpc_timeout=RPC_TIMEOUT)}


async def notify_entity(
    client: Client, installation: str, reference: AppReference, notice: Notice, *, plugin: str = ""
) -> None:
    """Signals the App's entity, starting it where it does not run. Raises RPCError; sending twice does no harm."""
    await _signal_entity(client, installation, reference, SIGNAL_NOTICE, notice, plugin)


async def suspect_entity(
    client: Client, installation: str, reference: AppReference, suspicion: Suspicion, *, plugin: str = ""
) -> None:
    """As ``notify_entity``: what the watcher suspects of a node."""
    await _signal_entity(client, installation, reference, SIGNAL_SUSPECT, suspicion, plugin)


async def _signal_entity(
    client: Client, installation: str, reference: AppReference, signal: str, argument: Notice | Suspicion, plugin: str
) -> None:
    await client.start_workflow(
        ENTITY_WORKFLOW,
        reference,
        id=entity_workflow_id(installation, reference.namespace, reference.app),
        task_queue=WORKFLOW_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=signal,
        start_signal_args=[argument],
        search_attributes=search_attributes(reference, plugin),
        static_summary=f"App {reference.namespace}/{reference.app}",
        static_details="Runs this App's operations one at a time; current details say what it does now.",
        rpc_timeout=RPC_TIMEOUT,
    )
