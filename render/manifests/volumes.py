"""What volume claims say of their volumes: whether there ever was one, and which size it has, which is not what was
asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.meta import parse_quantity

_NEEDS_START = "FileSystemResizePending"
_ON_THE_NODE = "NodeResize"


def never_bound(claim: Mapping[str, Any]) -> bool:
    """It never had a volume, so it holds no data."""
    pending = (claim.get("status") or {}).get("phase") == "Pending"
    return pending and not (claim.get("spec") or {}).get("volumeName")


def is_superseded(live: Mapping[str, Any], wanted: Mapping[str, Any], default_class: str) -> bool:
    """Whether a claim that never had a volume asks for something else than is wanted by now: nothing of it can be
    edited, so it is made anew. One that is to be filled from a snapshot is somebody else's work, and stays.
    ``default_class``: the cluster's, for a claim that names none."""
    if not never_bound(live) or any(live["spec"].get(field) for field in ("dataSource", "dataSourceRef")):
        return False
    asked, asks = (parse_quantity(str(each["spec"]["resources"]["requests"]["storage"])) for each in (live, wanted))
    named, wish = (each["spec"].get("storageClassName") for each in (live, wanted))
    # Without a name Kubernetes writes the default's, as soon as there is one.
    return asked != asks or (named != wish if wish else named not in (None, default_class))


def held(claim: Mapping[str, Any]) -> str:
    """The size of the claim's volume. That is what was asked for where the volume is larger already and only the file
    system on it has to follow, which cannot be taken back."""
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


def held_sizes(claims: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Size of the largest volume of each group, by Group resource name; without groups that have none. By the claims'
    names: labels get lost."""
    sizes: dict[str, str] = {}
    for claim in claims:
        if never_bound(claim):
            continue
        name = str(claim["metadata"]["name"]).rpartition("-")[0]
        sizes[name] = max(sizes.get(name, "0"), held(claim), key=parse_quantity)
    return sizes
