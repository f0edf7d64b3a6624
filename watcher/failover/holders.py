"""Whose lease the watcher keeps, and whether one that waits for it may begin with it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from api.names import LABEL_NODE
from api.operations import OperationType
from clients.agents import AgentTarget
from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes
from clients.resources import APP, Manifest
from watcher.cache import apps, pods
from watcher.cache.caches import ComponentKey
from watcher.failover.detection_rules import Process
from watcher.failover.lease_renewal import Holder
from watcher.failover.observations import Observation

log = logging.getLogger(__name__)


def lease_holders(
    key: ComponentKey,
    own: Sequence[Manifest],
    roles: Mapping[str, str],
    exclusive: Collection[str],
    last: Mapping[str, str] | None,
    seen: Mapping[str, Observation],
) -> list[Holder]:
    """Who holds a role (``roles``: Pod -> role); where nobody does, who held it last (``last``: role -> node) and waits
    for the word that it still may. Where nobody is known to have held it, who waits alone: it ended before it was
    noted. ``own``: the component's Pods; ``last`` None: not read yet. Pure."""
    holders = []
    vacant = set(exclusive) - set(roles.values())
    candidates = {(last or {}).get(role, "") for role in vacant}
    waiting = {pods.label(pod, LABEL_NODE) for pod in own if _waits(seen.get(str(pod["metadata"]["name"])))}
    if last is not None and len(waiting) == 1 and any(role not in last for role in vacant):
        candidates |= waiting
    for pod in own:
        name, node, target = str(pod["metadata"]["name"]), pods.label(pod, LABEL_NODE), target_of(key, pod)
        if target is None:
            continue
        if roles.get(name) in exclusive:
            holders.append(Holder(key, name, target))
        elif node in candidates and _waits(seen.get(name)) and not pods.is_terminating(pod):
            holders.append(Holder(key, name, target, begins=True))
    return holders


def _waits(known: Observation | None) -> bool:
    return known is not None and known.process is Process.WAITING


async def may_begin(kubernetes: Kubernetes, holder: Holder) -> bool:
    """As the API server says, not the caches. Not while a failover is at work, which gives its own word, nor while the
    role is moved: the other may have it, and not have been heard."""
    namespace, name, _ = holder.key
    try:
        app = await kubernetes.get(APP, name, namespace)
    except KubernetesError as error:
        log.warning("%s waits to begin, and its App cannot be read: %s", holder.pod, error)
        return False
    if app is None or not apps.is_living(app) or holder.target.node in apps.fenced(app):
        return False
    operation = apps.operation(app)
    return operation is None or operation.type not in (OperationType.FAILOVER, OperationType.SWITCHOVER)


def target_of(key: ComponentKey, pod: Manifest) -> AgentTarget | None:
    """None for a Pod that has no address yet."""
    address = pods.address(pod)
    return AgentTarget(key[0], key[1], pods.label(pod, LABEL_NODE), address) if address else None
