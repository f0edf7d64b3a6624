"""What of an App's metadata somebody damaged. Pure.

Nothing goes by a damaged part: what runs would be guessed. A step that meets one ends its operation, and the next look
at the App (``load``) mends it from what is true, or says why it cannot (``activities.mend``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from activities import parts
from activities.metadata import PARTS, read_part
from api.component import ComponentSpec
from api.group import GroupSpec
from render.manifests import has_run

NOT_JSON = "is no JSON object"


def damaged_parts(config_map: Mapping[str, Any] | None, uid: str, *, made: bool) -> dict[str, str]:
    """By part, what is wrong with it. ``made``: the App has Components or Groups, so its metadata were written before
    them."""
    data = (config_map or {}).get("data") or {}
    basic, nodes, record = (read_part(config_map, part) for part in PARTS)
    found = {}
    if "basic" in data or made:
        found["basic"] = _basic(basic, uid) if "basic" in data else "is missing"
    if "nodes" in data:
        found["nodes"] = parts.unreadable(nodes)
    if has_run(basic, uid) and not parts.entries(nodes):
        found["nodes"] = found.get("nodes") or "names no node"
    if "record" in data:
        found["record"] = _record(record, uid)
    return {part: what for part, what in found.items() if what}


def _basic(part: Any, uid: str) -> str:
    if not isinstance(part, dict):
        return NOT_JSON
    if part.get("uid") != uid:
        return "is of another App"
    if not part.get("deployed"):
        return ""
    lost = [name for name in ("pluginVersion", "runtimeVersion") if not _text(part.get(name))]
    return f"has no {' and no '.join(lost)}" if lost else ""


def _record(part: Any, uid: str) -> str:
    if not isinstance(part, dict):
        return NOT_JSON
    if part.get("uid") != uid:
        return "is of another App"
    previous = part.get("previous", {})
    if not isinstance(previous, dict) or (previous and not _text(previous.get("runtimeVersion", ""), empty=True)):
        return "says unreadable things of what was before (previous)"
    wrong = [
        *_wrong(part, "components", ComponentSpec),
        *_wrong(part, "groups", GroupSpec),
        *(f"previous.{name}" for name in _wrong(previous, "groups", GroupSpec)),
    ]
    return f"has unreadable entries: {', '.join(wrong)}" if wrong else ""


def _wrong(part: Mapping[str, Any], key: str, model: type[ComponentSpec] | type[GroupSpec]) -> list[str]:
    entries = part.get(key, {})
    if not isinstance(entries, dict):
        return [key]
    return [f"{key}.{name}" for name, entry in entries.items() if not _fits(entry, model)]


def _fits(entry: Any, model: type[ComponentSpec] | type[GroupSpec]) -> bool:
    try:
        model.model_validate(entry)
    except ValidationError:
        return False
    return True


def _text(value: Any, *, empty: bool = False) -> bool:
    return isinstance(value, str) and (empty or bool(value))
