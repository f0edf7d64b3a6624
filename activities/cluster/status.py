"""The part of an App's status that activities write: progress, operation, fenced nodes, and ``_CONDITIONS``.

``status.phase`` and ``status.message`` are not theirs: the watcher says what follows from the progress and from what
runs (``watcher.status.health``). So no activity can say that an App is as wanted.

Server-side apply takes away what its owner does not name any more, so each write names all of it: what is live,
with what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from activities.dependencies import Platform
from api.app import Phase
from api.names import API_VERSION
from api.steps import Target
from clients.errors import NotFoundError
from clients.resources import APP, Manifest

_CONDITIONS = ("Accepted", "Progressing", "Paused", "ParametersSafe")


@dataclass(frozen=True)
class ConditionChange:
    """``reason`` is one CamelCase word, ``message`` a sentence."""

    status: bool
    reason: str
    message: str = ""


@dataclass(frozen=True)
class StatusChange:
    """What changes; None and what is not named stays as it is. Phase and message: what the platform does, or has done
    last (``api.app.Progress``)."""

    phase: Phase | None = None
    message: str | None = None
    observed_generation: int | None = None
    operation: Mapping[str, str] | None = None
    fenced: Sequence[Mapping[str, str]] | None = None
    conditions: Mapping[str, ConditionChange] = field(default_factory=dict)


def changed_status(live: Mapping[str, Any], generation: int, change: StatusChange, now: datetime) -> dict[str, Any]:
    """All fields that activities own, as they should be. Pure; times only move where a condition's status does."""
    status: dict[str, Any] = {key: live[key] for key in ("operation", "fenced") if key in live}
    progress = dict(live.get("progress") or {})
    if change.phase is not None:
        progress["phase"] = str(change.phase)
    if change.message is not None:
        progress["message"] = change.message
    if change.observed_generation is not None:
        progress["observedGeneration"] = change.observed_generation
    if progress:
        status["progress"] = progress
    if change.fenced is not None:
        status["fenced"] = [dict(entry) for entry in change.fenced]
    if change.operation is not None:
        status["operation"] = {**(status.get("operation") or {}), **change.operation}
    before = {each["type"]: each for each in live.get("conditions") or []}
    conditions = []
    for kind in _CONDITIONS:
        known = before.get(kind)
        if kind not in change.conditions:
            if known is not None:
                conditions.append(known)
            continue
        wanted = change.conditions[kind]
        truth = "True" if wanted.status else "False"
        since = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        if known is not None and known.get("status") == truth:
            since = known.get("lastTransitionTime", since)
        conditions.append(
            {
                "type": kind,
                "status": truth,
                "reason": wanted.reason,
                "message": wanted.message,
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    if conditions:
        status["conditions"] = conditions
    return status


def _own(live: Mapping[str, Any]) -> dict[str, Any]:
    return changed_status(live, 0, StatusChange(), datetime.now(UTC))


async def write_status(platform: Platform, app: Manifest, change: StatusChange) -> Manifest:
    """Applies the change to the status of ``app`` (as it was read live). Returns the App as it is then.

    An App that is gone has no status to write, and nobody who would read it: that is not an error.
    """
    metadata = app["metadata"]
    live = app.get("status") or {}
    status = changed_status(live, int(metadata.get("generation", 0)), change, datetime.now(UTC))
    if status == _own(live):
        return app
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "App",
        # The uid makes the API server refuse it for a later App of the same name.
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "status": status,
    }
    try:
        return await platform.kubernetes.apply(manifest, subresource="status")
    except NotFoundError:
        return app


async def tell_step(platform: Platform, target: Target, step: str, change: StatusChange | None = None) -> None:
    """Puts the operation's present step, and ``change``, into the status of the live App."""
    app = await platform.kubernetes.get(APP, target.app, target.namespace)
    if app is None or app["metadata"]["uid"] != target.uid:
        return
    change = change or StatusChange()
    operation = {
        "type": target.operation,
        "workflowId": target.workflow_id,
        "step": step,
        "state": "Running",
        **(change.operation or {}),
    }
    await write_status(
        platform,
        app,
        replace(change, operation=operation),
    )
