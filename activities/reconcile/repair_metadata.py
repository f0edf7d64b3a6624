"""Mending an App's metadata that somebody damaged, before anything is planned by it.

1. ``nodes``: what can be read stays; a node that was lost is the one that its Deployment is.
2. ``record``: from the Components and Groups, which were written from it; but a person may have edited those too. So
   only where every Pod is of its Group's facts, and every engine was given its Component's parameters.
3. ``basic``: where the App was as wanted, so that its spec says what runs.
Where that cannot be shown nothing is changed, and a person has to say what is true: the sentence names how. A record
that is missing, rather than damaged, is that word: the Components and Groups count then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.app.applied_config import otherwise_set
from activities.app.bootstrap import holders
from activities.app.desired import spec_hash, stage
from activities.app.observed import ObservedApp, observed_of, owned_by
from activities.cluster import metadata_edits
from activities.cluster.events import tell
from activities.cluster.metadata import read_part, said_of
from activities.dependencies import Platform
from activities.rollout.plan_roll import outdated_nodes
from api.app import App, Phase
from api.names import LABEL_COMPONENT, LABEL_GROUP, LABEL_NODE, app_labels, metadata_name, node_ordinal
from api.operations import OperationType
from api.steps import Target
from clients.errors import AlreadyExistsError
from clients.resources import CONFIG_MAP, DEPLOYMENT, Manifest
from render.desired.recorded_state import has_run, lists
from render.manifests.deployments import version_of
from render.manifests.labels import owner_references

METADATA_DAMAGED = "MetadataDamaged"


class UnsureError(Exception):
    """It cannot be shown what is true. What a person has to do."""


def damages(manifest: Manifest, live: ObservedApp) -> Mapping[str, str]:
    """By part, what is wrong. Also a completed Deploy that the metadata know nothing of any more."""
    uid = manifest["metadata"]["uid"]
    known = has_run(live.basic, uid) or bool(metadata_edits.begun(live.basic))
    lost = bool(live.components or live.groups) and not known and _ran(manifest, live)
    return {"basic": "does not say any more that the App has run", **live.damaged} if lost else live.damaged


def _ran(manifest: Manifest, live: ObservedApp) -> bool:
    """Whether a Deploy has completed, by the App's status, which only the platform writes, and after the metadata. A
    Failover may have gone before, while no node was recorded as there."""
    operation = (manifest.get("status") or {}).get("operation") or {}
    nodes = read_part(live.metadata, "nodes")
    if operation.get("type") == OperationType.FAILOVER and nodes is not None and not lists(nodes)["normal"]:
        return False
    first = operation.get("type", "") in ("", OperationType.DEPLOY)
    return not first or operation.get("state") == "Completed"


async def repair_metadata(platform: Platform, manifest: Manifest, app: App, live: ObservedApp) -> str:
    """Why the damage is left to a person; empty where there is none any more. Raises ConflictError."""
    wrong = damages(manifest, live)
    if not wrong:
        return ""
    said = said_of(app.name, wrong)
    mending = _Mending(platform, manifest, app, live, wrong)
    try:
        await mending.write(await mending.data())
    except UnsureError as error:
        return f"{said}; {error}. Nothing is changed until then"
    target = Target(app.namespace, app.name, app.uid, "", "", f"generation {app.generation}")
    await tell(platform, target, "MetadataMended", f"{said}; mended from what runs", warning=True)
    return ""


class _Mending:
    def __init__(
        self, platform: Platform, manifest: Manifest, app: App, live: ObservedApp, wrong: Mapping[str, str]
    ) -> None:
        self._platform, self._manifest, self._app, self._live = platform, manifest, app, live
        self._wrong = wrong

    async def data(self) -> dict[str, Any]:
        """The parts that are to be written. Raises UnsureError."""
        app, metadata = self._app, self._live.metadata
        basic = self._basic() if "basic" in self._wrong else self._live.basic
        data: dict[str, Any] = {"basic": basic}
        if {"basic", "nodes"} & {*self._wrong}:
            data["nodes"] = metadata_edits.mended(
                read_part(metadata, "nodes"), app.name, await self._nodes(ran=has_run(basic, app.uid))
            )
        unrecorded = read_part(metadata, "record") is None and "basic" in self._wrong
        if "record" in self._wrong or unrecorded:
            data["record"] = await self._record(data)
        return data

    def _basic(self) -> dict[str, Any]:
        app, now = self._app, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        basic: dict[str, Any] = {"uid": app.uid, "created": now, "updated": now}
        if not _ran(self._manifest, self._live):
            led = {*metadata_edits.begun(self._live.basic), *holders(self._live.metadata)}
            return {**basic, metadata_edits.BEGUN: sorted(led)} if led else basic
        basic |= {
            "plugin": app.spec.plugin.name,
            "pluginVersion": app.spec.plugin.version,
            "runtimeVersion": ", ".join(sorted({g.runtime_version for g in self._live.recorded.groups.values()})),
            "topology": next((c.topology for c in self._live.recorded.components.values()), ""),
            "deployed": spec_hash(app),
        }
        said = (self._manifest.get("status") or {}).get("progress") or {}
        current = said.get("observedGeneration") == app.generation and said.get("phase") == Phase.RUNNING
        if current and len({g.runtime_version for g in self._live.recorded.groups.values()}) == 1:
            return basic
        # Not this spec's hash: what a person writes is a beginning, and the rest of the spec is carried out from there.
        example = json.dumps({**basic, "deployed": "by hand"}, sort_keys=True)
        raise UnsureError(f"the App was not as wanted, so write what runs into that part, like {example}")

    async def _nodes(self, *, ran: bool) -> dict[str, tuple[str, metadata_edits.Entry]]:
        """By the Deployments. Until the first Deploy has completed only a node that serves may hold data."""
        app = self._app
        found, _ = await self._platform.kubernetes.list(DEPLOYMENT, app.namespace, labels=app_labels(app.name))
        nodes = {}
        for deployment in found:
            labels = deployment["metadata"].get("labels") or {}
            if not owned_by(deployment, app.uid) or deployment["metadata"].get("deletionTimestamp"):
                continue
            serves = ran or bool((deployment.get("status") or {}).get("availableReplicas"))
            entry = {"name": labels.get(LABEL_NODE, ""), "component": labels.get(LABEL_COMPONENT, "")}
            entry |= {"group": labels.get(LABEL_GROUP, ""), "version": version_of(deployment)}
            if node_ordinal(app.name, entry["component"], entry["group"], entry["name"]) is None:
                continue  # labels that somebody wrote
            nodes[entry["name"]] = ("normal" if serves else "adding", entry)
        return nodes

    async def _record(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """As if there were none: the Components and Groups, where they are what runs."""
        app, platform = self._app, self._platform
        if not has_run(data["basic"], app.uid):
            return {"uid": app.uid}
        texts = {**((self._live.metadata or {}).get("data") or {}), **{k: json.dumps(v) for k, v in data.items()}}
        texts.pop("record", None)
        live = observed_of(app.name, app.uid, self._live.components, self._live.groups, {"metadata": {}, "data": texts})
        try:
            runs = await stage(platform, app, live, OperationType.REPAIR)
        except ApplicationError as error:
            raise UnsureError(error.message) from error
        stale = [node.name for node in await outdated_nodes(platform, runs, live)]
        if stale:
            raise UnsureError(f"{', '.join(stale)} are not made of what their Groups say; {_REMEDY}")
        other = await otherwise_set(platform, runs)
        if other:
            raise UnsureError(f"{', '.join(other)} run with other parameters than their Components say; {_REMEDY}")
        return metadata_edits.record(None, runs, OperationType.REPAIR)

    async def write(self, data: Mapping[str, Any]) -> None:
        app, metadata = self._app, self._live.metadata
        texts = {part: json.dumps(value, sort_keys=True) for part, value in data.items()}
        if metadata is not None:
            change = {"metadata": {"resourceVersion": metadata["metadata"]["resourceVersion"]}, "data": texts}
            await self._platform.kubernetes.patch(CONFIG_MAP, metadata_name(app.name), app.namespace, change)
            return
        head: Manifest = {"name": metadata_name(app.name), "namespace": app.namespace, "labels": app_labels(app.name)}
        head["ownerReferences"] = owner_references(app.name, app.uid)
        try:
            # Not by apply: the parts would go with the next apply of the ConfigMap, which does not name them.
            manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": texts}
            await self._platform.kubernetes.create(manifest)
        except AlreadyExistsError as error:
            raise UnsureError("a ConfigMap of the name is there that this App does not own; remove it") from error


_REMEDY = "put the part back, or remove it once the Components and Groups say what is true"
