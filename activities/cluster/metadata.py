"""The App's metadata ConfigMap: parts with one writer each, changed under ``resourceVersion``.

On a conflict the part is read again and computed again from what is there; a change that has landed meanwhile (the
answer got lost) then turns out to be none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from activities.dependencies import Platform, permanent
from api.names import metadata_name
from api.steps import ErrorType
from clients.errors import ConflictError
from clients.resources import CONFIG_MAP, Manifest
from render.desired.recorded_state import damaged_parts, read_part

__all__ = ["Part", "read_part", "said_of", "update_metadata"]

Part = Callable[[Any], Any]
"""From what the part holds (None: nothing yet) to what it should hold."""
_ATTEMPTS = 8


async def update_metadata(platform: Platform, namespace: str, app: str, parts: Mapping[str, Part]) -> None:
    """Raises ConflictError where others write without pause, NotFoundError where the ConfigMap is missing, and
    ApplicationError SpecChanged where a part was damaged since the step began: nothing is computed from it."""
    for attempt in range(_ATTEMPTS):
        live = await platform.kubernetes.get(CONFIG_MAP, metadata_name(app), namespace)
        _refuse_damage(app, live, parts)
        changes: dict[str, str] = {}
        for part, change in parts.items():
            before = read_part(live, part)
            after = change(before)
            if after != before:
                changes[part] = json.dumps(after, sort_keys=True)
        if not changes:
            return
        patch: Manifest = {"data": changes}
        if live is not None:
            patch["metadata"] = {"resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            await platform.kubernetes.patch(CONFIG_MAP, metadata_name(app), namespace, patch)
            return
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise


def _refuse_damage(app: str, live: Manifest | None, parts: Mapping[str, Part]) -> None:
    owners = (live or {}).get("metadata", {}).get("ownerReferences") or [{}]
    damaged = damaged_parts(live, app, str(owners[0].get("uid", "")), made=False)
    if damaged.keys() & parts.keys():
        raise permanent(ErrorType.SPEC_CHANGED, f"{said_of(app, damaged)}; planned anew")


def said_of(app: str, damaged: Mapping[str, str]) -> str:
    """``damaged``: what is wrong, by part of the App's metadata."""
    return f"ConfigMap {metadata_name(app)}: " + ", ".join(f"its part {part} {what}" for part, what in damaged.items())
