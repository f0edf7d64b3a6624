"""Where a live object differs from what we want of it. Pure.

Only fields that we name count: what others added (a sidecar, an annotation, a default) is theirs, as in server-side
apply. In our own resources an empty list is a claim as well: of lists there nobody else has a part. A selector is one
value: with a label more it selects nothing, so an addition there is nobody's own, and applying it replaces all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.meta import parse_quantity
from api.names import API_VERSION

_COMPARED_METADATA = ("labels", "annotations", "ownerReferences")
_KEYS = ("name", "mountPath", "uid", "containerPort", "port")
"""What identifies an entry of a list, in the order of preference."""
_WHOLE = ("selector", "nodeSelector")
"""Maps that the API server takes as one value (``x-kubernetes-map-type: atomic``)."""


def differences(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Paths of fields that are missing or other than wanted, for example ``spec.replicas``."""
    found: list[str] = []
    for key, value in wanted.items():
        if key in ("apiVersion", "kind", "status"):
            continue
        if key == "metadata":
            own = live.get("metadata") or {}
            for part in _COMPARED_METADATA:
                if part in value:
                    found += _compare(f"metadata.{part}", value[part], own.get(part))
            continue
        found += _compare(key, value, live.get(key), ours=wanted.get("apiVersion") == API_VERSION)
    return found


def _compare(path: str, wanted: Any, live: Any, *, ours: bool = False) -> list[str]:
    if ours and wanted == []:
        return [path] if live else []
    if not ours and isinstance(wanted, Mapping) and path.rpartition(".")[2] in _WHOLE:
        return [path] if wanted != (live or {}) else []
    if wanted is None or wanted == {} or wanted == []:
        return []  # names nothing, so claims nothing
    if wanted in (False, 0, ""):
        return [path] if live not in (None, wanted) else []  # the API server leaves such values out
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return [path]
        return [
            at for key, value in wanted.items() for at in _compare(f"{path}.{key}", value, live.get(key), ours=ours)
        ]
    if isinstance(wanted, list):
        return _compare_lists(path, wanted, live)
    return [] if _same(wanted, live) else [path]


def _compare_lists(path: str, wanted: list[Any], live: Any) -> list[str]:
    if not isinstance(live, list):
        return [path]
    key = next((key for key in _KEYS if all(isinstance(e, Mapping) and key in e for e in wanted)), None)
    if key is None:
        if len(wanted) != len(live):
            return [path]
        return [at for i, (a, b) in enumerate(zip(wanted, live, strict=True)) for at in _compare(f"{path}[{i}]", a, b)]
    by_key = {entry.get(key): entry for entry in live if isinstance(entry, Mapping)}
    found: list[str] = []
    for entry in wanted:
        found += _compare(f"{path}[{entry[key]}]", entry, by_key.get(entry[key]))
    return found


def _same(wanted: Any, live: Any) -> bool:
    if wanted == live:
        return True
    try:
        return parse_quantity(str(wanted)) == parse_quantity(str(live))
    except ValueError:
        return False
