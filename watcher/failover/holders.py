"""Whose lease the watcher keeps, and whether one that waits for it may begin with it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from api.app import RoleMove
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
    replaced: Collection[str] = (),
) -> list[Holder]:
    """Who holds a role (``roles``: Pod -> role); where nobody does, who held it last (``last``: role -> node) and waits
    for the word that it still may. Where nobody is known to have held it, who waits alone: it ended before it was
    noted. A claim that is not believed yet keeps the role from being vacant too, but for one of a node that was
    ``replaced``. ``own``: the component's Pods; ``last`` None: not read yet. Pure."""
    holders = []
    rivals = [pod for pod in own if pods.label(pod, LABEL_NODE) not in replaced]
    claimed = {_claimed(seen.get(str(pod["metadata"]["name"]))) for pod in rivals}
    vacant = set(exclusive) - set(roles.values()) - claimed
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


def _claimed(known: Observation | None) -> str:
    runs = known is not None and known.process is Process.RUNNING
    return known.report.role if runs and known is not None and known.report is not None else ""


async def may_not_begin(kubernetes: Kubernetes, holder: Holder, over: Collection[RoleMove] = ()) -> str:
    """Why the word is not given to it, a sentence; empty where it is. As the API server says, not the caches. ``over``:
    as for ``why_not``."""
    namespace, name, component = holder.key
    try:
        app = await kubernetes.get(APP, name, namespace)
    except KubernetesError as error:
        log.warning("%s waits to begin, and its App cannot be read: %s", holder.pod, error)
        return "the watcher cannot read the App, which would say whether another is about to have the role"
    return why_not(app, component, holder.target.node, over)


def why_not(app: Manifest | None, component: str, node: str, over: Collection[RoleMove] = ()) -> str:
    """What an App's status says against a node that held its role last and wants to begin with it again.

    A failover names the node in ``status.fenced`` before another one becomes primary, and while it is at work it gives
    its own word. Every other move of the role is in ``status.moving``, from before the other one is asked until both
    have said who has it; one of which it is known that its candidate has not taken the role (``over``) counts no more,
    though nobody has ended it, as Temporal is down. A status that was lost says nothing of either. Pure.
    """
    if app is None or not apps.is_living(app):
        return "the App is gone or being deleted"
    if not apps.is_recorded(app):
        return (
            "the App's status was lost, and with it whether another was given the role: a look at the App comes first"
        )
    if node in apps.fenced(app):
        return "it was fenced, so another may have been made primary: only a Failover lets it in again"
    operation = apps.operation(app)
    if operation is not None and operation.type == OperationType.FAILOVER:
        return "a Failover was begun that may have made another primary: it has to end first"
    for move in apps.moves(app, component):
        if move in over:
            continue
        if not move.source and move.candidate == node:
            continue  # it is the silent node itself that is back
        if not move.source:
            return f"the App's status was lost, and {move.candidate}, which may have been given the role, is silent"
        where = f"the role was on its way from {move.source} to {move.candidate}"
        return f"{where}: both have to say first who has it, or a Failover decides"
    return ""


def target_of(key: ComponentKey, pod: Manifest) -> AgentTarget | None:
    """None for a Pod that has no address yet."""
    address = pods.address(pod)
    return AgentTarget(key[0], key[1], pods.label(pod, LABEL_NODE), address) if address else None
