"""What more than one process writes about an App itself: Events on it, and the end of its finalizer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.names import API_VERSION, FINALIZER, app_labels
from clients.errors import AlreadyExistsError, ConflictError, KubernetesError
from clients.kubernetes import Kubernetes
from clients.resources import APP, EVENT, Manifest

log = logging.getLogger(__name__)
_MESSAGE_LIMIT = 1024
"""The API server's limit for an Event's message."""
_ATTEMPTS = 5


@dataclass(frozen=True)
class AppEvent:
    """``reason`` is one CamelCase word. Of the same ``about``, reason and message there is one Event with a count."""

    namespace: str
    app: str
    uid: str
    reason: str
    message: str
    warning: bool = False
    about: tuple[str, ...] = ()


async def write_event(kubernetes: Kubernetes, event: AppEvent, *, manager: str, instance: str) -> None:
    """``instance``: the process that reports it. An Event that cannot be written is logged, and fails nothing."""
    message = event.message
    if len(message) > _MESSAGE_LIMIT:
        message = message[: _MESSAGE_LIMIT - 1] + "…"
    # The name is made from the content, so that a repetition counts up one Event instead of adding another.
    key = "\n".join((event.uid, *event.about, event.reason, message))
    name = f"{event.app}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": event.namespace, "labels": app_labels(event.app)},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "App",
            "name": event.app,
            "namespace": event.namespace,
            "uid": event.uid,
        },
        "reason": event.reason,
        "message": message,
        "type": "Warning" if event.warning else "Normal",
        "source": {"component": manager},
        "reportingComponent": manager,
        "reportingInstance": instance,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        try:
            await kubernetes.create(manifest)
        except AlreadyExistsError:
            live = await kubernetes.get(EVENT, name, event.namespace) or {}
            change = {"lastTimestamp": now, "count": int(live.get("count") or 1) + 1}
            await kubernetes.patch(EVENT, name, event.namespace, change, manager=manager)
    except KubernetesError as error:
        log.warning("the Event %s could not be written: %s", event.reason, error, extra={"app": event.app})


async def drop_finalizer(kubernetes: Kubernetes, app: Manifest) -> None:
    """Takes the platform's finalizer off this very App. Raises TimeoutError where others change it without pause, and
    KubernetesError."""
    metadata = app["metadata"]
    name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
    for _ in range(_ATTEMPTS):
        finalizers = [each for each in app["metadata"].get("finalizers") or [] if each != FINALIZER]
        # With the version it was read at: two writers of a list that is replaced as a whole would lose one's entry.
        change = {"metadata": {"resourceVersion": app["metadata"]["resourceVersion"], "finalizers": finalizers}}
        try:
            await kubernetes.patch(APP, name, namespace, change)
            return
        except ConflictError:
            await asyncio.sleep(0.1)
            live = await kubernetes.get(APP, name, namespace)
            if live is None or live["metadata"]["uid"] != uid:
                return
            app = live
    raise TimeoutError(f"the finalizer of App {namespace}/{name} is changed by others without pause")
