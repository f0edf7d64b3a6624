"""Applying an object of an App: live state first, never taking over what belongs to somebody else.

Derived names can collide (``a-b`` with component ``c``, ``a`` with component ``b-c``), and a person may have made
an object of the name. Server-side apply would silently take it over, and a later deletion would remove it; so the
App is refused instead.

ConfigMaps and Secrets can be made ``immutable`` by whoever may write them, for good. One that the platform writes is
then removed and made anew (``put``); the passwords are not (``activities.app.secrets``).

A label says whose an object is meant to be, and everybody who may write the object can set it. So what an App
removes must be its own by more (``is_own``): the owner's uid; of volume claims and passwords, which have no owner since
they may outlive the App, the uid in their annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.cluster.diff import differences
from activities.cluster.gather import together
from activities.dependencies import Platform, permanent
from api.names import ANNOTATION_APP_UID, API_VERSION, LABEL_APP
from api.steps import ErrorType, Target
from clients.errors import InvalidError
from clients.resources import SECRET, VOLUME_CLAIM, Manifest, resource_of

OWNERLESS = frozenset({VOLUME_CLAIM.kind, SECRET.kind})
"""Kinds of which the annotation counts where no App owns the object."""


def is_own(target: Target, live: Mapping[str, Any]) -> bool:
    """Whether the object is this very App's, so that it may go with it."""
    metadata = live["metadata"]
    if metadata.get("namespace") != target.namespace:
        return False
    owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("kind") == "App"]
    if owners:
        return any(owner.get("uid") == target.uid for owner in owners)
    if live["kind"] not in OWNERLESS:
        return False
    labels = metadata.get("labels") or {}
    annotated = (metadata.get("annotations") or {}).get(ANNOTATION_APP_UID) == target.uid
    return bool(annotated and labels.get(LABEL_APP, target.app) == target.app)


def check_own(target: Target, live: Mapping[str, Any]) -> None:
    """Raises ApplicationError NotOwned for an object that must not be removed in the App's name."""
    if not is_own(target, live):
        what = f"{live['kind']} {live['metadata'].get('namespace', '')}/{live['metadata']['name']}"
        how = f"annotation {ANNOTATION_APP_UID}" if live["kind"] in OWNERLESS else "owner"
        raise permanent(
            ErrorType.NOT_OWNED,
            f"{what} is not removed: by its {how} it is not of App {target.namespace}/{target.app} (uid {target.uid}); "
            "if it is not needed, remove it by hand",
        )


def check_owner(target: Target, live: Mapping[str, Any], *, may_go: bool = False) -> None:
    """Raises ApplicationError NotOwned for an object that is not this App's, retryable for one that is about to go,
    unless it ``may_go``.

    One that has lost its label is this App's still, where its owner or, on a volume, its annotation says so.
    """
    metadata = live["metadata"]
    what = f"{live['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
    if metadata.get("namespace") != target.namespace:
        raise permanent(ErrorType.NOT_OWNED, f"{what} is of another namespace than App {target.namespace}/{target.app}")
    app = (metadata.get("labels") or {}).get(LABEL_APP)
    owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("kind") == "App"]
    ours = any(owner.get("uid") == target.uid for owner in owners)
    annotated = app is None and (metadata.get("annotations") or {}).get(ANNOTATION_APP_UID) == target.uid
    if app != target.app and not ours and not annotated:
        whose = f"App {app}" if app else "nobody whom the platform knows"
        raise permanent(
            ErrorType.NOT_OWNED,
            f"{what} is there already and belongs to {whose}; rename this App or one of its components or groups, "
            f"or remove that object, or give it the label {LABEL_APP}={target.app} if it is this App's",
        )
    if owners and not ours:
        raise ApplicationError(f"{what} is still there from an earlier App {target.app}; waiting until it is gone")
    if metadata.get("deletionTimestamp") and not may_go:
        raise ApplicationError(f"{what} is being deleted; waiting until it is gone, to make it anew")


async def put(platform: Platform, manifest: Manifest) -> Manifest:
    """Applies a ConfigMap or Secret of which everything can be made again. One that somebody has made immutable is
    replaced, with the notes on it; what was written since it was read stays. Raises InvalidError, ConflictError."""
    kubernetes, resource, metadata = platform.kubernetes, resource_of(manifest), manifest["metadata"]
    try:
        return await kubernetes.apply(manifest)
    except InvalidError:
        live = await kubernetes.get(resource, metadata["name"], metadata["namespace"])
        if live is None or not is_frozen(live) or not _same_app(manifest, live):
            raise
    known = live["metadata"]
    if known.get("deletionTimestamp"):
        what, keep = f"{live['kind']} {known['namespace']}/{known['name']}", ", ".join(known.get("finalizers") or [])
        raise ApplicationError(f"{what} is immutable and being deleted; it can be made anew without finalizer {keep}")
    await kubernetes.delete(
        resource, known["name"], known["namespace"], uid=known["uid"], version=known["resourceVersion"]
    )
    made = await kubernetes.apply(manifest)
    # Patched: what is applied goes again with the next apply that does not name it.
    own = {part: metadata.get(part) or {} for part in ("labels", "annotations")}
    kept = {part: {k: v for k, v in (known.get(part) or {}).items() if k not in own[part]} for part in own}
    if not any(kept.values()):
        return made
    return await kubernetes.patch(resource, known["name"], known["namespace"], {"metadata": kept})


def is_frozen(live: Mapping[str, Any]) -> bool:
    """Whether nobody can change the ConfigMap or Secret any more."""
    return bool(live.get("immutable"))


def _same_app(manifest: Manifest, live: Manifest) -> bool:
    """By the owner; by the label where no App owns it."""
    own, others = (
        {owner["uid"] for owner in each["metadata"].get("ownerReferences") or [] if owner["kind"] == "App"}
        for each in (manifest, live)
    )
    if others:
        return bool(own & others)
    labels = (each["metadata"].get("labels") or {} for each in (manifest, live))
    return len({label.get(LABEL_APP) for label in labels}) == 1


async def apply_owned(platform: Platform, target: Target, manifest: Manifest) -> tuple[Manifest, bool]:
    """The object as it is afterwards, and whether it had to be written."""
    resource = resource_of(manifest)
    live = await platform.kubernetes.get(resource, manifest["metadata"]["name"], target.namespace)
    if live is not None:
        check_owner(target, live)
        if not differences(manifest, live) and not _shrinks(manifest, live):
            return live, False
    return await platform.kubernetes.apply(manifest), True


def _shrinks(manifest: Manifest, live: Manifest) -> bool:
    """Whether something is to go from a resource of ours (a parameter, a node selector) that only applying removes."""
    return bool(manifest["apiVersion"] == API_VERSION and manifest["spec"] != live.get("spec"))


async def apply_all(platform: Platform, target: Target, manifests: Iterable[Manifest]) -> list[tuple[Manifest, bool]]:
    """Side by side; in the order given."""
    return await together(apply_owned(platform, target, manifest) for manifest in manifests)
