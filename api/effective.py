"""What is noted on a node's ConfigMap of the parameters that its engine runs with: written by the activities, read by
them and by the watcher."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from api.names import ANNOTATION_EFFECTIVE


@dataclass(frozen=True)
class Effective:
    """``dynamic`` and ``restart``: digests of the parameters with which the engine runs."""

    dynamic: str
    restart: str
    read_back: dict[str, str] = field(default_factory=dict)
    differs: dict[str, list[str]] = field(default_factory=dict)
    """By parameter, what it was given and what it answered, where these are not the same value."""

    def annotation(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def noted(config_map: Mapping[str, Any] | None) -> Effective | None:
    """None where nothing (readable) was noted."""
    return read_note(((config_map or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION_EFFECTIVE) or "")


def read_note(text: str) -> Effective | None:
    """The annotation's text, which a person may have edited; None for what is no whole note."""
    try:
        note = Effective(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        return None
    return note if note is None or _is_whole(note) else None


def _is_whole(note: Effective) -> bool:
    return all(isinstance(each, dict) for each in (note.read_back, note.differs)) and all(
        isinstance(pair, list) and len(pair) == 2 for pair in note.differs.values()
    )
