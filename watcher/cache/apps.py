"""Which changes of an App its workflow must hear of. Pure.

The platform itself writes status, finalizer and Events all the time: waking a workflow for each would cost a hundred
workflow tasks per deploy. What a person can mean something by is the spec (``generation``), the deletion, and our own
annotations; and that our finalizer goes off an App that nobody deletes is never the platform's own doing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.app import RoleMove
from api.names import API_GROUP, FINALIZER
from api.operations import Notice, NoticeKind
from clients.resources import Manifest
from clients.shared_watch import Change, WatchEvent

_OWN_ANNOTATIONS = f"{API_GROUP}/"


@dataclass(frozen=True)
class Operation:
    """The App's operation that has not ended. ``step`` is a sentence, naming the nodes that it is about."""

    type: str
    step: str

    def names(self, node: str) -> bool:
        return self.type != "Failover" and node in re.split(r"[^a-z0-9-]+", self.step)


def is_living(app: Manifest | None) -> bool:
    """There, and not being deleted."""
    return app is not None and not app["metadata"].get("deletionTimestamp")


def fenced(app: Manifest | None) -> frozenset[str]:
    """Nodes that were replaced as primary and have not been taken in again (``api.app.FencedNode``)."""
    entries = ((app or {}).get("status") or {}).get("fenced") or []
    return frozenset(str(entry.get("node")) for entry in entries)


def operation(app: Manifest) -> Operation | None:
    """The operation that has not ended."""
    found = (app.get("status") or {}).get("operation") or {}
    if found.get("state") not in ("Running", "Waiting", "Paused"):
        return None
    return Operation(str(found.get("type") or ""), str(found.get("step") or ""))


def is_recorded(app: Manifest) -> bool:
    """Whether the status holds what was deployed. One without has lost the rest too, or nothing has run yet."""
    return bool((app.get("status") or {}).get("deployed"))


def moves(app: Manifest, component: str) -> list[RoleMove]:
    """Writable roles of the component that are on their way to another node."""
    found = (app.get("status") or {}).get("moving") or []
    return [RoleMove.model_validate(each) for each in found if each.get("component") == component]


def notice_for(event: WatchEvent) -> Notice | None:
    """What the App's workflow is to hear of this event, if anything."""
    app, before = event.object, event.before
    if event.change is Change.DELETED:
        if is_living(app) and is_living(before):
            return Notice(NoticeKind.SPEC, "the App is gone without its finalizer's consent")
        return None  # its Delete has ended: a signal would only start an entity that finds nothing
    if before is None or before["metadata"].get("uid") != app["metadata"].get("uid"):
        progress = (app.get("status") or {}).get("progress") or {}
        seen = progress.get("observedGeneration") == app["metadata"].get("generation")
        return Notice(NoticeKind.RESYNC, "the watcher has started") if seen else Notice(NoticeKind.SPEC, "new")
    if is_living(before) and not is_living(app):
        return Notice(NoticeKind.SPEC, "deletion was asked for")
    if before["metadata"].get("generation") != app["metadata"].get("generation"):
        return Notice(NoticeKind.SPEC, f"generation {app['metadata'].get('generation')}")
    if _annotations(before) != _annotations(app):
        return Notice(NoticeKind.SPEC, "an annotation of the platform changed")
    if is_living(app) and _held(before) and not _held(app):
        return Notice(NoticeKind.DRIFT, "the App's finalizer was removed")
    return None


def uses_plugin(app: Manifest, name: str, version: str) -> bool:
    plugin = (app.get("spec") or {}).get("plugin") or {}
    return bool(plugin.get("name") == name and plugin.get("version") == version)


def _held(app: Manifest) -> bool:
    return FINALIZER in (app["metadata"].get("finalizers") or [])


def _annotations(app: Manifest) -> dict[str, str]:
    annotations = app["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(_OWN_ANNOTATIONS)}
