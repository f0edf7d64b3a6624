"""Status conditions as in the Kubernetes API conventions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clients.resources import Manifest


@dataclass(frozen=True)
class Condition:
    type: str
    true: bool | None
    """None: not known."""
    reason: str
    message: str


def find(manifest: Manifest, kind: str) -> dict[str, Any]:
    """The condition in the object's status, or an empty mapping."""
    present: list[dict[str, Any]] = (manifest.get("status") or {}).get("conditions") or []
    return next((condition for condition in present if condition.get("type") == kind), {})


def merged(
    manifest: Manifest, wanted: Sequence[Condition], now: str, generation: int | None = None
) -> list[dict[str, Any]]:
    """The conditions to write. ``lastTransitionTime`` stays where True or False stays; ``generation``: the one that
    they are about (None: the object's own)."""
    result = []
    for condition in wanted:
        status = "Unknown" if condition.true is None else str(condition.true)
        known = find(manifest, condition.type)
        since = known.get("lastTransitionTime") if known.get("status") == status else None
        entry: dict[str, Any] = {
            "type": condition.type,
            "status": status,
            "reason": condition.reason,
            "message": condition.message,
            "lastTransitionTime": since or now,
        }
        observed = manifest["metadata"].get("generation") if generation is None else generation
        if observed is not None:
            entry["observedGeneration"] = observed
        result.append(entry)
    return result
