"""A volume claim that never had a volume is made anew where the spec asks for another StorageClass or size by now.

Nothing of such a claim can be edited, and it holds no data. So a class that provisions nothing, or a size that nobody
can give, is corrected in the App, without a person who deletes claims. A claim that has a volume, or is just given one,
is never touched: the API server is told which state of it was looked at.
"""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from activities.cluster.apply import is_own
from activities.cluster.events import tell
from activities.dependencies import Platform
from api.names import ANNOTATION_APP_UID, LABEL_APP, UNDECIDED
from api.steps import Target
from clients.resources import STORAGE_CLASS, VOLUME_CLAIM, Manifest
from render.check.growth import default_class
from render.manifests.volumes import is_superseded, never_bound


async def renew_unbound(platform: Platform, target: Target, live: Manifest, wanted: Manifest) -> bool:
    """Whether it was made anew. Raises ConflictError where it was just changed, and ApplicationError while the former
    one is still being removed; both are cured by another attempt."""
    if not never_bound(live) or not (is_own(target, live) or _undecided(target, live)):
        return False
    classes, _ = await platform.kubernetes.list(STORAGE_CLASS, None)
    if not is_superseded(live, wanted, default_class(classes)):
        return False
    metadata, kubernetes = live["metadata"], platform.kubernetes
    name, version = str(metadata["name"]), metadata.get("resourceVersion")
    await kubernetes.delete(VOLUME_CLAIM, name, target.namespace, uid=metadata["uid"], version=version)
    if not metadata.get("deletionTimestamp"):
        # Now, as another attempt finds no claim, or one that goes already.
        said = f"the claim {name} never had a volume; it asked for {_asks(live)}, and is made anew"
        await tell(platform, target, "ClaimRenewed", said)
    if await kubernetes.get(VOLUME_CLAIM, name, target.namespace) is not None:
        raise ApplicationError(f"the claim {name}, which never had a volume, is still being removed")
    app = (metadata.get("annotations") or {}).get(ANNOTATION_APP_UID, target.uid)
    annotations = {**wanted["metadata"]["annotations"], ANNOTATION_APP_UID: app}
    await kubernetes.create({**wanted, "metadata": {**wanted["metadata"], "annotations": annotations}})
    return True


def _undecided(target: Target, live: Manifest) -> bool:
    """Made by a Deploy beside kept volumes, and of no App before it is known which node begins."""
    metadata = live["metadata"]
    annotated = (metadata.get("annotations") or {}).get(ANNOTATION_APP_UID) == UNDECIDED
    return annotated and (metadata.get("labels") or {}).get(LABEL_APP) == target.app


def _asks(claim: Manifest) -> str:
    spec = claim["spec"]
    of = f"StorageClass {spec['storageClassName']}" if spec.get("storageClassName") else "the default StorageClass"
    return f"{spec['resources']['requests']['storage']} of {of}"
