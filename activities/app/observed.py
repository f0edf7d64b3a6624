"""An App as it is: its resources and metadata, read live by each step.

What runs is known from the metadata (parts ``basic``, ``nodes``, ``record``), not from the Component and Group
resources: those a person may edit, and an edit must be seen as one, not be taken for what runs. Only the replicas of a
Group are a person's to set (``kubectl scale``), where the App is silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.cluster.metadata import read_part
from activities.dependencies import Platform, permanent
from api.names import app_labels, metadata_name
from api.steps import ErrorType, Target
from clients.resources import APP, COMPONENT, CONFIG_MAP, GROUP, Manifest
from render.desired.app import RecordedState
from render.desired.recorded_state import damaged_parts, deployed_state, recorded_state
from render.desired.spec_parts import Deployed


@dataclass(frozen=True)
class ObservedApp:
    """An App's resources and metadata as they are. ``deployed``: what runs, None before the first Deploy completed.

    ``components`` and ``groups`` by resource name; ``recorded`` is what new renderings hold on to. ``damaged``: what is
    wrong with parts of the metadata, by part.
    """

    components: dict[str, Manifest]
    groups: dict[str, Manifest]
    metadata: Manifest | None
    recorded: RecordedState
    deployed: Deployed | None
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def basic(self) -> dict[str, Any]:
        part = read_part(self.metadata, "basic")
        return part if isinstance(part, dict) else {}


def owned_by(manifest: Manifest, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in manifest["metadata"].get("ownerReferences") or [])


async def observe(platform: Platform, namespace: str, app: str, uid: str) -> ObservedApp:
    """The resources that belong to this very App, and its metadata."""
    labels = app_labels(app)
    (components, _), (groups, _), metadata = await asyncio.gather(
        platform.kubernetes.list(COMPONENT, namespace, labels=labels),
        platform.kubernetes.list(GROUP, namespace, labels=labels),
        platform.kubernetes.get(CONFIG_MAP, metadata_name(app), namespace),
    )
    own_components, own_groups = _own(components, uid), _own(groups, uid)
    if metadata is not None and not owned_by(metadata, uid):
        metadata = None
    return observed_of(app, uid, own_components, own_groups, metadata)


def observed_of(
    app: str, uid: str, components: dict[str, Manifest], groups: dict[str, Manifest], metadata: Manifest | None
) -> ObservedApp:
    """Pure; all of them are of this very App."""
    recorded = recorded_state(components, groups, read_part(metadata, "record"))
    damaged = damaged_parts(metadata, app, uid, made=bool(components or groups))
    return ObservedApp(components, groups, metadata, recorded, deployed_state(app, uid, metadata, recorded), damaged)


def _own(manifests: Sequence[Manifest], uid: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if owned_by(each, uid)}


async def live_app(platform: Platform, target: Target) -> Manifest:
    """The App for which the operation was planned. Raises ApplicationError NotFound where there is none any more."""
    manifest = await platform.kubernetes.get(APP, target.app, target.namespace)
    if manifest is None or manifest["metadata"]["uid"] != target.uid:
        raise permanent(ErrorType.NOT_FOUND, f"App {target.namespace}/{target.app} is gone")
    return manifest
