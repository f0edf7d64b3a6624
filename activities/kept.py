"""Which volumes were left by an earlier App of the name: known by the uid in the claim's annotation. Pure.

A claim gets this App's uid when its node may start with it. Until then its engine is held, because starting an
older copy as the first primary would make its peers throw away the newer data.
"""

from __future__ import annotations

from collections.abc import Mapping

from api.names import ANNOTATION_APP_UID
from clients.resources import Manifest
from render.desired import DesiredApp, DesiredComponent

NOT_YET = "undecided"
"""In the annotation of a claim made beside kept ones: its node waits for the same decision."""


def of_this_app(claim: Manifest, uid: str) -> bool:
    return (claim["metadata"].get("annotations") or {}).get(ANNOTATION_APP_UID) == uid


def held_nodes(desired: DesiredApp, component: DesiredComponent, claims: Mapping[str, Manifest]) -> frozenset[str]:
    """Nodes whose existing volume is not yet this App's; ``claims`` by name."""
    return frozenset(
        node.name
        for node in component.nodes
        if component.group(node.group).spec.storage is not None
        and node.name in claims
        and not of_this_app(claims[node.name], desired.uid)
    )


def kept_components(desired: DesiredApp, claims: Mapping[str, Manifest]) -> frozenset[str]:
    return frozenset(c.name for c in desired.components if held_nodes(desired, c, claims))
