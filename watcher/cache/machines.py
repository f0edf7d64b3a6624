"""What the watcher reads of machines, and of an App's Pods on those that are about to be emptied. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from api.names import LABEL_COMPONENT, LABEL_NODE
from api.operations import CORDONED
from clients.machines import machine_of
from clients.resources import Manifest
from watcher.cache import pods


def trim(machine: Manifest) -> None:
    """Keeps what ``clients.machines`` reads; idempotent. A machine lists every image that it holds."""
    spec = machine.get("spec") or {}
    machine["spec"] = {key: spec[key] for key in ("unschedulable", "taints") if key in spec}
    for field in ("annotations", "labels"):
        machine["metadata"].pop(field, None)
    machine.pop("status", None)


def situation(
    found: Sequence[Manifest], opened: Collection[str], exclusive: Callable[[str], Collection[str]]
) -> list[str]:
    """A phrase for each node that a drain of its machine cannot just take away, and on who could take over from it;
    while none of it changes nobody has to look again.

    ``opened``: machines that take Pods; ``exclusive``: component -> writable roles that one node at most may hold.
    """
    phrases = []
    for component, nodes in sorted(_by_component(found).items()):
        roles = exclusive(component)
        for name, pod in sorted(nodes.items()):
            where = machine_of(pod)
            needed = len(nodes) == 1 or pods.role_of(pod) in roles
            if not needed or not where or where in opened:
                continue
            ready = [n for n, p in sorted(nodes.items()) if n != name and pods.is_ready(p) and machine_of(p) in opened]
            others = f"; ready elsewhere: {', '.join(ready)}" if ready else ""
            phrases.append(f"{name} is on machine {where}, which is {CORDONED}{others}")
    return phrases


def _by_component(found: Sequence[Manifest]) -> Mapping[str, Mapping[str, Manifest]]:
    """Component -> node -> the Pod that counts."""
    several: dict[str, dict[str, list[Manifest]]] = {}
    for pod in found:
        if pods.component_of(pod) is not None:
            nodes = several.setdefault(pods.label(pod, LABEL_COMPONENT), {})
            nodes.setdefault(pods.label(pod, LABEL_NODE), []).append(pod)
    return {
        component: {node: newest for node, each in nodes.items() if (newest := pods.newest(each)) is not None}
        for component, nodes in several.items()
    }
