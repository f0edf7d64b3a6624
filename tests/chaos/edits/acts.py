"""What the tenant may do to an App's objects, as data: each act is a deletion or a patch of one object.

An act says what it costs: a node's process, or its volume. The plan goes by that, since what all nodes lose at once is
lost by anybody's rules. It also says which sentence an App may end with after it, and what a person then does.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.e2e.support.kube import Manifest

Patch = dict[str, Any]
"""A merge patch."""
OWNERS_GONE: Patch = {"metadata": {"ownerReferences": None}}
NODE, COMPONENT, ROLE = "middleware.io/node", "middleware.io/component", "middleware.io/role"


class Cost(StrEnum):
    """What the act takes from a node."""

    NOTHING = "nothing"
    PROCESS = "process"
    VOLUME = "volume"


class Remedy(StrEnum):
    """What a sentence asks a person to do."""

    PUT_SECRET_BACK = "create the Secret again, as it was"
    DELETE_POD = "delete the Pod of the node whose claim it was"
    RETRY = "mw retry"


@dataclass(frozen=True)
class Sentence:
    """Words that an App's message must hold, ``{name}`` for the object's, and what it then takes to have the App as
    wanted."""

    words: tuple[str, ...]
    remedy: Remedy


def _any(live: Manifest) -> bool:
    return True


@dataclass(frozen=True)
class Act:
    """``delete``: kubectl's options, where the object is deleted; else ``patch`` says how it is changed, by the object
    as it is. ``among``: of which objects of the kind one is taken."""

    kind: str
    name: str
    delete: tuple[str, ...] | None = None
    patch: Callable[[Manifest], Patch] | None = None
    among: Callable[[Manifest], bool] = _any
    cost: Cost = Cost.NOTHING
    stays: bool = False
    """It does no harm, and is left as it is: an addition belongs to whoever made it, as in server-side apply."""
    sentence: Sentence | None = None

    @property
    def full_name(self) -> str:
        return f"{self.kind}/{self.name}"


def takes_effect(patch: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether all that a merge patch says is so in the object."""
    for key, value in patch.items():
        present = live.get(key)
        if isinstance(value, Mapping):
            if not takes_effect(value, present if isinstance(present, Mapping) else {}):
                return False
        elif (present or None) != (value or None):
            return False
    return True


def _is_credentials(live: Manifest) -> bool:
    return str(live["metadata"]["name"]).endswith("-credentials")


def _is_certificate(live: Manifest) -> bool:
    return live.get("type") == "kubernetes.io/tls"


def _is_of_a_node(live: Manifest) -> bool:
    return NODE in (live["metadata"].get("labels") or {})


def _labels_gone(live: Manifest) -> Patch:
    return {"metadata": {"labels": dict.fromkeys(live["metadata"].get("labels") or {})}}


def _annotations_gone(live: Manifest) -> Patch:
    return {"metadata": {"annotations": dict.fromkeys(live["metadata"].get("annotations") or {})}}


def _finalizers_gone(live: Manifest) -> Patch:
    return {"metadata": {"finalizers": None}}


def _always(patch: Patch) -> Callable[[Manifest], Patch]:
    return lambda live: patch


def _selector(**more: str) -> Patch:
    return {"spec": {"selector": more}}


def _spoiled_data(live: Manifest) -> Patch:
    return {"data": dict.fromkeys(live.get("data") or {}, "spoiled")}


def _emptied_data(live: Manifest) -> Patch:
    return {"data": dict.fromkeys(live.get("data") or {})}


def _other_port(live: Manifest) -> Patch:
    return {"spec": {"ports": [{**port, "targetPort": 1} for port in live["spec"]["ports"]]}}


def _containers(live: Manifest, **changes: Any) -> Patch:
    """A merge patch replaces a list, so it has the whole of it."""
    first, *others = live["spec"]["template"]["spec"]["containers"]
    return {"spec": {"template": {"spec": {"containers": [{**first, **changes}, *others]}}}}


def _other_image(live: Manifest) -> Patch:
    return _containers(live, image="middleware.local/nothing:0")


def _more_environment(live: Manifest) -> Patch:
    present = live["spec"]["template"]["spec"]["containers"][0].get("env", [])
    return _containers(live, env=[*present, {"name": "EDITED", "value": "yes"}])


def _other_command(live: Manifest) -> Patch:
    return _containers(live, command=["/bin/false"])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _another_password(live: Manifest) -> Patch:
    return {"data": {"password": _encoded(f"chosen-{live['metadata']['resourceVersion']}")}}


SECRET_IS_GONE = Sentence(("Secret", "{name} is gone", "restore it"), Remedy.PUT_SECRET_BACK)
VOLUME_GOES = Sentence(("the volume claim of {name} was deleted", "delete that Pod"), Remedy.DELETE_POD)
STOPPED = Sentence(("stopped: ", "retry, skip or abort it"), Remedy.RETRY)
"""An edited Pod template is found by the operation that rolls the node just then, and by no other look."""
_OBJECTS = ("configmap", "service", "deployment", "poddisruptionbudget")
"""Kinds that are owned by an App."""

ACTS: tuple[Act, ...] = (
    *(Act(kind, "deleted", delete=()) for kind in ("configmap", "service", "poddisruptionbudget")),
    *(Act(kind, "disowned", patch=_always(OWNERS_GONE)) for kind in _OBJECTS),
    *(Act(kind, "unlabelled", patch=_labels_gone) for kind in (*_OBJECTS, "persistentvolumeclaim")),
    *(Act(kind, "unannotated", patch=_annotations_gone) for kind in ("configmap", "deployment")),
    Act("configmap", "spoiled", patch=_spoiled_data),
    Act("configmap", "emptied", patch=_emptied_data),
    Act("configmap", "immutable", patch=_always({"immutable": True}), among=_is_of_a_node),
    Act("service", "misled", patch=_always(_selector(**{COMPONENT: "nobody"}))),
    Act("service", "narrowed", patch=_always(_selector(edited="yes"))),
    Act("service", "moved", patch=_other_port),
    Act("secret", "password-changed", patch=_another_password, among=_is_credentials),
    Act("secret", "key-removed", patch=_always({"data": {"password": None}}), among=_is_credentials),
    Act("secret", "deleted", delete=(), among=_is_credentials, sentence=SECRET_IS_GONE),
    Act("secret", "unlabelled", patch=_labels_gone, stays=True),
    Act("secret", "certificate-deleted", delete=(), among=_is_certificate),
    Act("secret", "certificate-spoiled", patch=_always({"data": {"tls.crt": _encoded("x")}}), among=_is_certificate),
    Act("deployment", "deleted", delete=(), cost=Cost.PROCESS),
    Act("deployment", "orphaning", delete=("--cascade=orphan",), cost=Cost.PROCESS),
    Act("deployment", "scaled-to-none", patch=_always({"spec": {"replicas": 0}}), cost=Cost.PROCESS),
    Act("deployment", "doubled", patch=_always({"spec": {"replicas": 2}}), cost=Cost.PROCESS),
    Act("deployment", "other-image", patch=_other_image, cost=Cost.PROCESS, sentence=STOPPED),
    Act("deployment", "other-command", patch=_other_command, cost=Cost.PROCESS, sentence=STOPPED),
    Act("deployment", "more-environment", patch=_more_environment, cost=Cost.PROCESS, stays=True),
    Act("deployment", "paused", patch=_always({"spec": {"paused": True}})),
    Act(
        "deployment",
        "sent-nowhere",
        patch=_always({"spec": {"template": {"spec": {"nodeSelector": {"edited": "yes"}}}}}),
        cost=Cost.PROCESS,
        sentence=STOPPED,
    ),
    Act("replicaset", "deleted", delete=(), cost=Cost.PROCESS),
    Act("replicaset", "scaled-to-none", patch=_always({"spec": {"replicas": 0}}), cost=Cost.PROCESS),
    Act("pod", "deleted", delete=(), cost=Cost.PROCESS),
    Act("pod", "killed", delete=("--grace-period=0", "--force"), cost=Cost.PROCESS),
    Act("pod", "unlabelled", patch=_labels_gone, cost=Cost.PROCESS),
    Act("pod", "given-a-role", patch=_always({"metadata": {"labels": {ROLE: "master"}}})),
    Act("poddisruptionbudget", "misled", patch=_always({"spec": {"selector": {"matchLabels": {COMPONENT: "nobody"}}}})),
    Act("persistentvolumeclaim", "deleted", delete=(), cost=Cost.VOLUME, sentence=VOLUME_GOES),
    Act("persistentvolumeclaim", "unprotected", patch=_finalizers_gone),
)
BY_NAME = {act.full_name: act for act in ACTS}
