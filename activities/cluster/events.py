"""Kubernetes Events on the App: what ``kubectl describe app`` shows of an operation, step by step.

The name is made from the content, so that a repeated activity counts up one Event instead of adding another. An
Event that cannot be written never fails the step that it tells of.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from activities.dependencies import Platform
from api.names import API_VERSION, FIELD_MANAGER, app_labels
from api.steps import Target
from clients.errors import AlreadyExistsError, KubernetesError
from clients.resources import EVENT

log = logging.getLogger(__name__)
_MESSAGE_LIMIT = 1024
"""The API server's limit for an Event's message."""


async def tell(platform: Platform, target: Target, reason: str, message: str, *, warning: bool = False) -> None:
    """``reason`` is one CamelCase word. Within an operation the same event is one Event with a count."""
    message = message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 1] + "…"
    key = "\n".join((target.uid, target.workflow_id, reason, message))
    name = f"{target.app}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": target.namespace, "labels": app_labels(target.app)},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "App",
            "name": target.app,
            "namespace": target.namespace,
            "uid": target.uid,
        },
        "reason": reason,
        "message": message,
        "type": "Warning" if warning else "Normal",
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": "worker",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        try:
            await platform.kubernetes.create(event)
        except AlreadyExistsError:
            live = await platform.kubernetes.get(EVENT, name, target.namespace) or {}
            change = {"lastTimestamp": now, "count": int(live.get("count") or 1) + 1}
            await platform.kubernetes.patch(EVENT, name, target.namespace, change)
    except KubernetesError as error:
        log.warning("the Event %s could not be written: %s", reason, error, extra={"app": target.app})
