"""Whether the machines of a cluster can mount an image as a volume, so that the agents are not copied into each Pod.

Kubernetes has such volumes by default from 1.35. A folder of an image, of which the agents' volume is made, is mounted
by containerd from 2.2; an older containerd takes no notice of the folder, mounts the whole image, and the Pod never
starts (https://github.com/containerd/containerd/issues/11580). Other runtimes are not judged by their version: who runs
one says so in the chart's values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from clients.kubernetes import Kubernetes
from clients.resources import MACHINE, Manifest

KUBELET, CONTAINERD = (1, 35), (2, 2)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


class Delivery(StrEnum):
    """How the agents come into a Pod."""

    AUTO = "auto"
    """As a volume where all machines of the cluster can mount an image, else copied."""
    VOLUME = "volume"
    COPY = "copy"


async def mounts_agents(kubernetes: Kubernetes, delivery: Delivery) -> bool:
    """What ``delivery`` comes to on this cluster as it is now. Raises KubernetesError where the machines cannot be
    listed."""
    if delivery is not Delivery.AUTO:
        return delivery is Delivery.VOLUME
    machines, _ = await kubernetes.list(MACHINE)
    return all_can_mount(machines)


def all_can_mount(machines: Iterable[Manifest]) -> bool:
    """Whether each machine can mount an image: a Pod may come to any of them. Pure."""
    found = list(machines)
    return bool(found) and all(_can_mount(machine) for machine in found)


def _can_mount(machine: Manifest) -> bool:
    info = (machine.get("status") or {}).get("nodeInfo") or {}
    runtime, _, version = str(info.get("containerRuntimeVersion") or "").partition("://")
    return (
        runtime == "containerd"
        and _at_least(version, CONTAINERD)
        and _at_least(str(info.get("kubeletVersion") or ""), KUBELET)
    )


def _at_least(version: str, least: tuple[int, int]) -> bool:
    numbers = _VERSION.match(version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= least
