"""Kubernetes Events on the App: what ``kubectl describe app`` shows of an operation, step by step.

A repeated activity counts up one Event instead of adding another, and an Event that cannot be written never fails the
step that it tells of (``clients.app_object``).
"""

from __future__ import annotations

from activities.dependencies import Platform
from api.names import FIELD_MANAGER
from api.steps import Target
from clients.app_object import AppEvent, write_event


async def tell(platform: Platform, target: Target, reason: str, message: str, *, warning: bool = False) -> None:
    """``reason`` is one CamelCase word. Within an operation the same event is one Event with a count."""
    event = AppEvent(
        target.namespace, target.app, target.uid, reason, message, warning=warning, about=(target.workflow_id,)
    )
    await write_event(platform.kubernetes, event, manager=FIELD_MANAGER, instance="worker")
