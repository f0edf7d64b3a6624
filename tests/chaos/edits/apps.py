"""The Apps of a run: small, of several topologies, with and without volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.support.apps import group, redis_app
from tests.e2e.support.day2 import component
from tests.e2e.support.kube import Manifest

SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}


@dataclass(frozen=True)
class Shape:
    """``keeps``: whether its data nodes have volumes. ``waits``: of how many replicas its clients ask ``WAIT``."""

    topology: str
    data_nodes: int
    keeps: bool
    waits: int


SHAPES: dict[str, Shape] = {
    "standalone": Shape("standalone", 1, keeps=True, waits=0),
    "replication": Shape("replication", 2, keeps=True, waits=1),
    "replication-plain": Shape("replication", 3, keeps=False, waits=2),
    "sentinel": Shape("sentinel", 2, keeps=True, waits=1),
    "sentinel-plain": Shape("sentinel", 3, keeps=False, waits=2),
}
"""Without volumes three nodes, whose clients ask for two replicas: an act and an operation may take one each."""
MIX = (
    "replication", "sentinel", "replication-plain", "replication", "standalone",
    "replication", "sentinel", "replication", "replication-plain", "replication",
)  # fmt: skip


def shapes(names: Sequence[str], count: int) -> dict[str, Shape]:
    """So many Apps, by name: the named shapes one after another, again and again; ``MIX`` where none is named."""
    order = tuple(names) or MIX
    return {f"e{number:02}": SHAPES[order[number % len(order)]] for number in range(count)}


def manifest(name: str, namespace: str, shape: Shape) -> Manifest:
    made = redis_app(name, namespace, shape.topology, shape.data_nodes)
    made["spec"]["failover"] = {"coolDownSeconds": 1}  # one act follows another within seconds
    for each in made["spec"]["components"]:
        each["groups"][0]["resources"] = SMALL
    if not shape.keeps:
        data = component(made["spec"])
        data["groups"] = [group("data", shape.data_nodes, None, SMALL)]
    return made
