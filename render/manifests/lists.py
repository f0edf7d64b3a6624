"""Which objects an App has, as lists: what Deploy, Repair, the search for drift and ``mw render`` go by. Pure.

So none of them knows an object that the others forget. Deployments are left to ``render.manifests.deployments``, which
knows when a Pod's template must be left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.meta import Manifest
from api.names import API_GROUP, LABEL_APP, LABEL_PLUGIN_VERSION
from api.node import DOCUMENT_KEY
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.manifests.budgets import disruption_budgets
from render.manifests.node import document_text, node_config_map
from render.manifests.objects import (
    component_resource,
    component_service,
    group_resource,
    node_service,
    role_services,
)


def record_manifests(desired: DesiredApp, kept: frozenset[str] = frozenset()) -> list[Manifest]:
    """Component and Group resources. Of a ``kept`` component the first primary is left open until it was surveyed."""
    manifests: list[Manifest] = []
    for component in desired.components:
        manifest = component_resource(desired, component)
        if component.name in kept and component.recorded_bootstrap is None:
            del manifest["spec"]["bootstrapNode"]
        manifests.append(manifest)
        manifests += [group_resource(desired, component, group) for group in component.groups]
    return manifests


def service_manifests(desired: DesiredApp) -> list[Manifest]:
    manifests: list[Manifest] = []
    for component in desired.components:
        manifests.append(component_service(desired, component))
        manifests += role_services(desired, component)
        manifests += [node_service(desired, component, node) for node in component.nodes]
    return manifests


def budget_manifests(desired: DesiredApp, api_version: str) -> list[Manifest]:
    return [
        budget for component in desired.components for budget in disruption_budgets(desired, component, api_version)
    ]


REVISION = f"{API_GROUP}/revision"
"""On a node's ConfigMap: the revision of its document once more, so that one that was lowered by hand is seen."""


def revision_of(config_map: Mapping[str, Any] | None) -> int:
    """The document's; 0 where there is none, or it cannot be read."""
    try:
        return int(json.loads(((config_map or {}).get("data") or {})[DOCUMENT_KEY])["revision"])
    except (KeyError, ValueError, TypeError):
        return 0


def _noted_revision(config_map: Mapping[str, Any] | None) -> int:
    text = str(((config_map or {}).get("metadata", {}).get("annotations") or {}).get(REVISION, ""))
    return int(text) if text.isdecimal() else 0


def config_maps_of(
    desired: DesiredApp,
    component: DesiredComponent,
    nodes: Iterable[DesiredNode],
    addresses: Mapping[str, str],
    live: Mapping[str, Manifest],
    *,
    bootstrap: str | None,
    held: frozenset[str] = frozenset(),
    initial: int = 1,
) -> Iterator[tuple[DesiredNode, Manifest, bool]]:
    """Each node, its ConfigMap, and whether that differs from the live one. Raises TemplateFailure.

    ``addresses``: of all nodes of the App; ``bootstrap``: see ``first_primary``; ``held``: names of nodes whose
    engines wait for the platform's word, beside those that were replaced as primary; ``initial``: revision where there
    is no ConfigMap yet, and the least that a changed one is given: an old copy that somebody put back says nothing of
    what was pushed since.
    """
    for node in nodes:
        known = live.get(node.name)
        revision, noted = revision_of(known), _noted_revision(known)
        manifest = node_config_map(
            desired,
            component,
            node,
            addresses=addresses,
            bootstrap=bootstrap,
            revision=revision or initial,
            hold=node.name in held or node.name in desired.replaced,
        )
        present = (known or {}).get("data") or {}
        other = known is None or any(present.get(key) != text for key, text in manifest["data"].items())
        labels = (known or {}).get("metadata", {}).get("labels") or {}
        own = manifest["metadata"]["labels"]
        strayed = any(labels.get(key) != own[key] for key in (LABEL_APP, LABEL_PLUGIN_VERSION))
        frozen = bool((known or {}).get("immutable"))  # by somebody: what comes next could not be written
        changed = other or revision < noted or strayed or frozen
        if changed:
            revision = max(revision + 1, noted + 1, initial)
            document = {**json.loads(manifest["data"][DOCUMENT_KEY]), "revision": revision}
            manifest["data"][DOCUMENT_KEY] = document_text(document)
        if changed or noted:
            manifest["metadata"]["annotations"] = {REVISION: str(revision)}
        yield node, manifest, changed
