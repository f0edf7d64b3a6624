"""The ConfigMaps of nodes, with a revision that grows only when the content does. Pure.

The agents take the newer of a mounted and a pushed document by its revision. So a document that is rendered again
without a difference keeps its revision, and one that somebody edited by hand gets a higher one, which wins everywhere.
"""

from __future__ import annotations

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


def config_maps_of(
    desired: DesiredApp,
    component: DesiredComponent,
    nodes: Iterable[DesiredNode],
    addresses: Mapping[str, str],
    live: Mapping[str, Manifest],
    *,
    held: frozenset[str] = frozenset(),
    bootstrap: str | None = None,
) -> Iterator[tuple[DesiredNode, Manifest, bool]]:
    """Each node, its ConfigMap, and whether that differs from the live one. Raises TemplateFailure.

    ``addresses``: of all nodes of the App; ``held``: names of nodes whose engines wait for the platform's word.
    """
    for node in nodes:
        known = live.get(node.name)
        revision = revision_of(known)
        manifest = node_config_map(
            desired,
            component,
            node,
            addresses=addresses,
            bootstrap=bootstrap or component.bootstrap_node,
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
