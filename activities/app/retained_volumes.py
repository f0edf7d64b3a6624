"""Which volumes were left by an earlier App of the name: known by the uid in the claim's annotation. Pure.

A claim gets this App's uid when its node may start with it. Until then its engine is held, because starting an
older copy as the first primary would make its peers throw away the newer data.
"""

from __future__ import annotations

from collections.abc import Mapping

from activities.cluster import metadata_edits
from activities.cluster.metadata import read_part
from api.names import ANNOTATION_APP_UID, ANNOTATION_RUNTIME_VERSION
from clients.resources import Manifest
from render.desired.app import DesiredApp, DesiredComponent
from render.desired.recorded_state import lists
from render.plugin.problems import Problem
from render.validation.transitions import unreadable

NOT_YET = "undecided"
"""In the annotation of a claim made beside kept ones: its node waits for the same decision."""


def of_this_app(claim: Manifest, uid: str) -> bool:
    return (claim["metadata"].get("annotations") or {}).get(ANNOTATION_APP_UID) == uid


def held_nodes(desired: DesiredApp, component: DesiredComponent, claims: Mapping[str, Manifest]) -> frozenset[str]:
    """Nodes whose existing volume is not yet this App's; ``claims`` by name."""
    return frozenset(
        node.name
        for node in component.stored_nodes
        if node.name in claims and not of_this_app(claims[node.name], desired.uid)
    )


def kept_components(desired: DesiredApp, claims: Mapping[str, Manifest]) -> frozenset[str]:
    return frozenset(c.name for c in desired.components if held_nodes(desired, c, claims))


def data_versions(metadata: Manifest, claims: Mapping[str, Manifest]) -> dict[str, str]:
    """By claim, the highest version whose engine has had the volume, by the App's metadata. Of a claim that an earlier
    Scale left behind nobody knows: it was not a higher one than the App's."""
    entries = metadata_edits.entries(read_part(metadata, "nodes"))
    own = str((read_part(metadata, "basic") or {}).get("runtimeVersion") or "")
    found = {
        name: metadata_edits.had(entries[name], entries[name].get("version", "")) for name in claims if name in entries
    }
    return {name: found.get(name) or own for name in claims if found.get(name) or own}


def unreadable_volumes(desired: DesiredApp, claims: Mapping[str, Manifest]) -> list[Problem]:
    """Kept volumes that the wanted version must not be started on: some engines would ignore the data, begin empty and
    acknowledge writes (Redis 6.0 does not see the append-only files of 7.0)."""
    names = [name for component in desired.components for name in sorted(held_nodes(desired, component, claims))]
    annotations = {name: claims[name]["metadata"].get("annotations") or {} for name in names}
    had = {name: str(annotations[name].get(ANNOTATION_RUNTIME_VERSION) or "") for name in names}
    return _unreadable(desired, had, "or delete the kept volume claims {} with their data")


def unreadable_beginnings(desired: DesiredApp, metadata: Manifest | None, ready: Mapping[str, str]) -> list[Problem]:
    """As above while the first Deploy has not completed: of its own nodes that have served already, whose volumes may
    hold acknowledged writes by now. ``ready``: node -> runtime version of its ready Pod. A node that never got ready,
    say of a version that crashes, keeps nobody from correcting the version."""
    normal = {entry["name"]: entry for entry in lists(read_part(metadata, "nodes"))["normal"]}
    stored = {node.name for component in desired.components for node in component.stored_nodes}
    had = {}
    for name in sorted(stored & {*normal, *ready}):
        entry = normal.get(name, {})
        had[name] = metadata_edits.had(entry, ready.get(name) or entry.get("version", ""))
    return _unreadable(desired, had, "since {} ran it and may hold data; or delete the App")


def _unreadable(desired: DesiredApp, had: Mapping[str, str], remedy: str) -> list[Problem]:
    """``had``: name -> version whose engine has had the volume, empty where nobody knows. ``remedy``: with ``{}`` for
    the names."""
    found: dict[str, list[str]] = {}
    for name, version in had.items():
        if version and (why := unreadable(desired.bundle, version, desired.runtime_version)):
            found.setdefault(why, []).append(name)
    return [Problem("spec.runtimeVersion", f"{why}, {remedy.format(', '.join(names))}") for why, names in found.items()]
