"""The nodes' Deployments, and when a Pod template must be left alone. Pure.

For the steps of operations, the search for drift, and ``mw render``.

Of which record a Deployment's Pod was made last is noted on the node's member, in the Group's status, where no tenant
can write. The same hashes are on the Deployment as annotations, from which a lost status is found out again; whoever
edits those causes no restart by it, and hides nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.group import GroupSpec, Member
from api.meta import Manifest
from api.names import API_GROUP, LABEL_ENGINE_VERSION, LABEL_RUNTIME_VERSION
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.desired.spec_parts import pod_facts
from render.manifests.objects import node_deployment

TEMPLATE_HASH = f"{API_GROUP}/pod-template-hash"
"""On Deployments: of the Pod template as this platform rendered it."""
POD_HASH = f"{API_GROUP}/pod-hash"
"""On Deployments: of the facts of the Group's record of which the Pod was made
(``render.desired.spec_parts.pod_facts``)."""
VERSION_LABEL = LABEL_RUNTIME_VERSION
VERSION_LABELS = (LABEL_RUNTIME_VERSION, LABEL_ENGINE_VERSION)


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def deployment_manifest(
    desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
) -> Manifest:
    """The node's Deployment, with hashes that tell a changed record from a platform that renders differently."""
    manifest = node_deployment(desired, component, group, node)
    manifest["metadata"].setdefault("annotations", {}).update(
        {
            TEMPLATE_HASH: digest(manifest["spec"]["template"]),
            POD_HASH: digest(pod_facts(group.spec)),
        }
    )
    return manifest


def hashes_of(manifest: Mapping[str, Any], member: Member | None = None) -> tuple[str, str]:
    """Of the facts and of the template of which a Deployment was made: as ``member`` has it noted, else by its own
    annotations."""
    if member is not None and member.pod_hash:
        return member.pod_hash, member.template_hash
    return str(_annotation(manifest, POD_HASH) or ""), str(_annotation(manifest, TEMPLATE_HASH) or "")


def is_outdated(wanted: Mapping[str, Any], live: Mapping[str, Any], member: Member | None = None) -> bool:
    """Whether the live Deployment's Pod is of another record: an operation rolls it, one node after another."""
    return hashes_of(live, member)[0] != hashes_of(wanted)[0]


def is_of(spec: GroupSpec, live: Mapping[str, Any]) -> bool:
    """Whether the live Deployment's Pod is made of this record."""
    return bool(_annotation(live, POD_HASH) == digest(pod_facts(spec)))


def keeps_template(wanted: Mapping[str, Any], live: Mapping[str, Any], member: Member | None = None) -> bool:
    """Whether the live Deployment's Pod template must be left alone by all but a rolling operation.

    It is of another record, or of the same record rendered by another version of the platform: applying it would
    restart the engine only because the platform was upgraded. Its Pod gets the new template at its next planned
    restart.
    """
    same = hashes_of(live, member)[1] in ("", hashes_of(wanted)[1])
    return is_outdated(wanted, live, member) or not same


def put_right(
    desired: DesiredApp,
    component: DesiredComponent,
    group: DesiredGroup,
    node: DesiredNode,
    live: Mapping[str, Any],
    member: Member | None,
    former: GroupSpec | None,
) -> Manifest:
    """What the live Deployment is to be while no rolling operation changes it: whatever somebody has edited in it is
    put back, and its Pod stays of the record of which it is. ``former``: what the Group's nodes were made of before the
    rolling operation that is under way; a node whose turn has not come is still of that."""
    wanted = deployment_manifest(desired, component, group, node)
    if not keeps_template(wanted, live, member):
        return wanted
    # A planned restart has brought it other agents than the record names.
    if desired.agent != group.spec.agent:
        rolled = deployment_manifest(desired, component, desired.rolled(group), node)
        if hashes_of(rolled) == hashes_of(live, member):
            return rolled
    if former is not None and member is not None and member.pod_hash == digest(pod_facts(former)):
        before = replace(node, runtime_version=former.runtime_version)
        earlier = deployment_manifest(desired, component, replace(group, spec=former), before)
        if hashes_of(earlier) == hashes_of(live, member):
            return earlier
    return without_template(wanted)


def without_template(deployment: Manifest) -> Manifest:
    """What of a node's Deployment may be put right while its Pod template stays."""
    labels = {key: value for key, value in deployment["metadata"]["labels"].items() if key not in VERSION_LABELS}
    metadata = {key: value for key, value in deployment["metadata"].items() if key != "annotations"}
    spec = {key: value for key, value in deployment["spec"].items() if key not in ("template", "selector")}
    return {**deployment, "metadata": {**metadata, "labels": labels}, "spec": spec}


def version_of(deployment: Mapping[str, Any] | None) -> str:
    """The runtime version of a node's Deployment; empty where there is none."""
    return str(((deployment or {}).get("metadata", {}).get("labels") or {}).get(VERSION_LABEL, ""))


def _annotation(deployment: Mapping[str, Any], name: str) -> Any:
    return ((deployment.get("metadata") or {}).get("annotations") or {}).get(name)
