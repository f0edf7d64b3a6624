"""The ConfigMaps of nodes, with a revision that grows only when the content does. Pure.

The agents take the newer of a mounted and a pushed document by its revision. So a document that is rendered again
without a difference keeps its revision, and one that somebody edited by hand gets a higher one, which wins everywhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.node import DOCUMENT_KEY
from clients.resources import Manifest
from render.desired import DesiredApp, DesiredComponent, DesiredNode
from render.node import node_config_map


def revision_of(config_map: Mapping[str, Any] | None) -> int:
    """0 where there is none, or it cannot be read."""
    try:
        return int(json.loads(((config_map or {}).get("data") or {})[DOCUMENT_KEY])["revision"])
    except (KeyError, ValueError, TypeError):
        return 0


def has_run(basic: Any, uid: str) -> bool:
    """Whether a Deploy of this App has completed, by the ``basic`` part of its metadata."""
    return isinstance(basic, dict) and basic.get("uid") == uid and bool(basic.get("deployed"))


def first_primary(component: DesiredComponent, *, ran: bool, held: frozenset[str]) -> str | None:
    """The node that may start as first primary without having found another.

    None once the App has run: a node whose volume was lost would begin empty, and its replicas would follow it.
    None as well while kept volumes have not been looked at.
    """
    if ran or (held and component.recorded_bootstrap is None):
        return None
    return component.bootstrap_node


def config_maps_of(
    desired: DesiredApp,
    component: DesiredComponent,
    nodes: Iterable[DesiredNode],
    addresses: Mapping[str, str],
    live: Mapping[str, Manifest],
    *,
    bootstrap: str | None,
    held: frozenset[str] = frozenset(),
) -> Iterator[tuple[DesiredNode, Manifest, bool]]:
    """Each node, its ConfigMap, and whether that differs from the live one. Raises TemplateFailure.

    ``addresses``: of all nodes of the App; ``bootstrap``: see ``first_primary``; ``held``: names of nodes whose
    engines wait for the platform's word.
    """
    for node in nodes:
        known = live.get(node.name)
        revision = revision_of(known)
        manifest = node_config_map(
            desired,
            component,
            node,
            addresses=addresses,
            bootstrap=bootstrap,
            revision=max(revision, 1),
            hold=node.name in held,
        )
        present = (known or {}).get("data") or {}
        changed = known is None or any(present.get(key) != text for key, text in manifest["data"].items())
        if changed and revision > 0:
            document = json.loads(manifest["data"][DOCUMENT_KEY])
            document["revision"] = revision + 1
            manifest["data"][DOCUMENT_KEY] = json.dumps(document, sort_keys=True)
        yield node, manifest, changed


async def rendered_config_maps(
    desired: DesiredApp,
    component: DesiredComponent,
    nodes: Iterable[DesiredNode],
    addresses: Mapping[str, str],
    live: Mapping[str, Manifest],
    *,
    bootstrap: str | None,
    held: frozenset[str] = frozenset(),
) -> list[tuple[DesiredNode, Manifest, bool]]:
    """``config_maps_of`` in a thread: rendering many nodes would keep the other Apps' steps from their heartbeats."""

    def render() -> list[tuple[DesiredNode, Manifest, bool]]:
        return list(config_maps_of(desired, component, nodes, addresses, live, bootstrap=bootstrap, held=held))

    return await asyncio.to_thread(render)
