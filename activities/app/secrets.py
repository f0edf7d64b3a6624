"""The App's two Secrets: generated passwords, and the agents' certificate.

Passwords are made once. They are never made anew while something runs with the old ones: the engines would go on with
passwords that nobody knows any more, and the next restarted node would not be let in by its peers. How they are changed
in engines that run: ``activities.config.rotate``.
"""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from activities.cluster.apply import check_owner, is_frozen, is_own, put
from activities.dependencies import Platform, permanent
from api.names import ANNOTATION_APP_UID, agent_tls_name, app_labels, credentials_name
from api.operations import OperationType
from api.steps import ErrorType, Target
from clients.errors import AlreadyExistsError
from clients.resources import DEPLOYMENT, SECRET, Manifest
from clients.tls.certificates import KeyPair, issue_agent_certificate
from clients.tls.pki import pair_of, secret_manifest
from render.desired.app import DesiredApp
from render.desired.credentials import USED
from render.manifests.labels import metadata, object_labels
from render.validation.passwords import password_problems

_ALPHABET = string.ascii_letters + string.digits
"""No sign that any configuration file's syntax would need quoted."""


def generated(length: int) -> bytes:
    """A new password."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length)).encode()


async def ensure_credentials(platform: Platform, target: Target, desired: DesiredApp) -> bool:
    """Adds what is missing, changes nothing that is there; one kept from an earlier App is used on. Whether it
    wrote."""
    if not desired.credentials:
        return False
    kubernetes, name = platform.kubernetes, credentials_name(desired.name)
    live = await kubernetes.get(SECRET, name, desired.namespace)
    present: dict[str, Any] = {}
    if live is not None:
        check_owner(target, live)
        if target.operation == OperationType.DEPLOY and (wrong := list(password_problems(desired, live))):
            raise permanent(ErrorType.INVALID_SPEC, "; ".join(map(str, wrong)))
        present = live.get("data") or {}
    lacking = [each for each in desired.credentials if not present.get(each.name)]
    data = {each.name: present[used] for each in lacking if present.get(used := f"{each.name}{USED}")}
    new = {each.name: generated(each.length) for each in lacking if each.name not in data}
    made = secret_manifest(name, desired.namespace, new)
    data |= made["data"]
    data |= await _in_use(platform, target, desired, {**present, **data})
    # The deletion policy decides on it, as on the volumes that it opens: so it has no owner, and the annotation says
    # whose it is.
    annotations = {ANNOTATION_APP_UID: target.uid}
    if not data and live is not None and is_own(target, live):
        return False
    if live is not None:
        if data:
            check_not_frozen(target, live)
        await kubernetes.patch(
            SECRET, name, desired.namespace, {"metadata": {"annotations": annotations}, "data": data}
        )
        return True
    await _refuse_while_in_use(platform, target, name)
    manifest = {**made, "data": data}
    manifest["metadata"] = metadata(desired, name, object_labels(desired), owned=False, annotations=annotations)
    try:
        await kubernetes.create(manifest)
    except AlreadyExistsError:
        return await ensure_credentials(platform, target, desired)  # an earlier attempt, whose answer got lost
    return True


def check_not_frozen(target: Target, secret: Manifest) -> None:
    """Raises ApplicationError CredentialsKept. Passwords have no other place, so the platform never removes them, not
    even for a moment. A kubelet asks no more for what it has once seen as immutable, while a Pod uses it."""
    if not is_frozen(secret):
        return
    name, namespace = secret["metadata"]["name"], target.namespace
    without = "jq 'del(.immutable, .metadata.uid, .metadata.resourceVersion)'"
    anew = f"kubectl get secret {name} -n {namespace} -o json | {without} | kubectl replace --force -f -"
    raise permanent(
        ErrorType.CREDENTIALS_KEPT,
        f"Secret {namespace}/{name} is immutable, so no password can be added or changed; make it anew: {anew} ; until "
        "a machine has been without a Pod of the App for a moment, its Pods are given the former one",
    )


async def _in_use(
    platform: Platform, target: Target, desired: DesiredApp, present: Mapping[str, Any]
) -> dict[str, Any]:
    """By key, what the engines are about to be given, where that is not noted yet. Of engines that run nobody knows
    whether it is what the Secret holds now."""
    unnoted = {f"{each.name}{USED}": present[each.name] for each in desired.credentials}
    unnoted = {key: value for key, value in unnoted.items() if key not in present}
    if not unnoted or await _running(platform, target):
        return {}
    return unnoted


async def _running(platform: Platform, target: Target) -> Sequence[Manifest]:
    found, _ = await platform.kubernetes.list(DEPLOYMENT, target.namespace, labels=app_labels(target.app))
    return found


async def _refuse_while_in_use(platform: Platform, target: Target, name: str) -> None:
    if running := await _running(platform, target):
        raise permanent(
            ErrorType.CREDENTIALS_LOST,
            f"Secret {target.namespace}/{name} is gone, while {len(running)} nodes run with its passwords; restore it "
            "from a backup, or read the passwords from /etc/middleware-secrets in a running Pod and create it again "
            f"with the label middleware.io/app={target.app}; it is looked for every few seconds",
        )


async def ensure_agent_certificate(platform: Platform, target: Target, desired: DesiredApp) -> bool:
    """A certificate that is valid for months to come; agents notice a new one without a restart. Whether it wrote."""
    name = agent_tls_name(desired.name)
    live = await platform.kubernetes.get(SECRET, name, desired.namespace)
    if live is not None:
        check_owner(target, live)
        if not certificate_problem(live, platform.authority):
            return False
    pair = issue_agent_certificate(platform.authority, desired.name, desired.namespace)
    texts = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": platform.authority.certificate}
    manifest = secret_manifest(name, desired.namespace, texts, kind="kubernetes.io/tls")
    manifest["metadata"] = metadata(desired, name, object_labels(desired))
    await put(platform, manifest)
    return True


def certificate_problem(secret: Manifest, authority: KeyPair) -> str:
    """What is wrong with the agents' certificate, as the end of a sentence; empty for a good one."""
    if is_frozen(secret):
        return "could not be renewed, since its Secret is immutable"
    try:
        pair = pair_of(secret)
        known = base64.b64decode(secret["data"]["ca.crt"]) == authority.certificate
        if not (known and pair.issued_by(authority)):
            return "is of another authority than the platform's"
        return "must be renewed" if pair.due(datetime.now(UTC)) else ""
    except (KeyError, ValueError):
        return "is damaged"
