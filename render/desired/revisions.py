"""Revisions: immutable ControllerRevisions of what a Group's Pods are made of, or a Component runs with. Pure.

As a StatefulSet has them: the status names the one that counts, and going back is naming the older one. The name holds
a digest of the content, so that a repeat of a step finds the revision that it has made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from api.component import ComponentSpec
from api.group import GroupSpec
from api.meta import Model

_Spec = TypeVar("_Spec", GroupSpec, ComponentSpec)


def revision_data(spec: Model) -> dict[str, Any]:
    dumped: dict[str, Any] = spec.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped


def revision_name(owner: str, spec: Model | None) -> str:
    """``owner``: name of the Group or Component; empty where there is no spec. Defaults do not count: a platform that
    knows more fields finds the same name."""
    if spec is None:
        return ""
    counts = spec.model_dump(by_alias=True, mode="json", exclude_defaults=True)
    text = json.dumps(counts, sort_keys=True, separators=(",", ":"))
    return f"{owner}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def read_revision(revision: Mapping[str, Any] | None, model: type[_Spec]) -> _Spec | None:
    """None where there is none, or it cannot be read. A newer platform may have written fields that this one does not
    know."""
    data = (revision or {}).get("data")
    if not isinstance(data, dict):
        return None
    known = {field.alias or name for name, field in model.model_fields.items()}
    try:
        return model.model_validate({key: value for key, value in data.items() if key in known})
    except ValidationError:
        return None


def newest_first(revisions: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(revisions.values(), key=lambda each: int(each.get("revision") or 0), reverse=True)
