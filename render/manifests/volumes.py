"""What volume claims say of the sizes that their volumes have, which is not what was asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.meta import parse_quantity
from api.names import LABEL_COMPONENT, LABEL_GROUP, group_name

_NEEDS_START = "FileSystemResizePending"
_ON_THE_NODE = "NodeResize"


def held(claim: Mapping[str, Any]) -> str:
    """The size of the claim's volume. That is what was asked for where there is none yet, or where the volume is larger
    already and only the file system on it has to follow: neither can be taken back."""
    status = claim.get("status") or {}
    asked, capacity = str(claim["spec"]["resources"]["requests"]["storage"]), _storage(status, "capacity")
    if not capacity:
        return asked
    if needs_start(claim) or _storage(status, "allocatedResourceStatuses").startswith(_ON_THE_NODE):
        return max(asked, capacity, _storage(status, "allocatedResources") or capacity, key=parse_quantity)
    return capacity


def _storage(status: Mapping[str, Any], field: str) -> str:
    return str((status.get(field) or {}).get("storage") or "")


def needs_start(claim: Mapping[str, Any]) -> bool:
    """The volume is larger, and the file system on it follows at the Pod's next start at the latest."""
    return bool(condition(claim, _NEEDS_START))


def condition(claim: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    """Empty where it is not true."""
    conditions = (claim.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and each.get("status") == "True"), {})


def held_sizes(app: str, claims: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Size of the largest volume of each group, by Group resource name."""
    sizes: dict[str, str] = {}
    for claim in claims:
        labels = claim["metadata"].get("labels") or {}
        name = group_name(app, labels.get(LABEL_COMPONENT, ""), labels.get(LABEL_GROUP, ""))
        sizes[name] = max(sizes.get(name, "0"), held(claim), key=parse_quantity)
    return sizes
