"""A volume that is not provisioned is told with its StorageClass and with what its provisioner says."""

from __future__ import annotations

from typing import Any

import pytest

from activities.agents.unbound_claim import reason, waits_for_a_machine, why_unbound
from activities.app.wait_ready import NodeWaiter
from api.operations import OperationType
from tests.unit.activities.support.cluster import NAMESPACE, World
from tests.unit.render.support import store

NODE = "books-store-g-0"


def storage_class(name: str = "slow", *, default: bool = False, **more: Any) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    metadata = {"name": name, "annotations": annotations}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata,
        "provisioner": "example.com/dead",
        **more,
    }


def claim(name: str | None = "slow", **annotations: str) -> dict[str, Any]:
    spec = {"storageClassName": name} if name else {}
    return {"metadata": {"name": NODE, "uid": "u", "annotations": annotations}, "spec": spec}


def event(message: str, at: str, *, uid: str = "u") -> dict[str, Any]:
    about = {"kind": "PersistentVolumeClaim", "name": NODE, "uid": uid}
    return {
        "metadata": {},
        "involvedObject": about,
        "reason": "ProvisioningFailed",
        "message": message,
        "lastTimestamp": at,
    }


@pytest.mark.parametrize(
    ("of", "classes", "events", "said"),
    [
        (claim(), [], [], "its volume cannot be provisioned: there is no StorageClass slow"),
        (
            claim(None),
            [storage_class()],
            [],
            "its volume cannot be provisioned: the cluster has no default StorageClass",
        ),
        (
            claim(),
            [storage_class()],
            [],
            "its volume is not provisioned yet by StorageClass slow (example.com/dead): "
            "its provisioner example.com/dead says nothing; does it run?",
        ),
        (
            claim(None),
            [storage_class("other"), storage_class(default=True)],
            [event("older", "2026-01-01T00:00:00Z"), event("quota used up", "2026-01-02T00:00:00Z")],
            "its volume is not provisioned yet by StorageClass slow (example.com/dead): "
            "ProvisioningFailed: quota used up",
        ),
        (claim(), [storage_class(volumeBindingMode="WaitForFirstConsumer")], [], ""),
    ],
)
def test_the_class_and_the_cause_are_named(
    of: dict[str, Any], classes: list[dict[str, Any]], events: list[dict[str, Any]], said: str
) -> None:
    assert reason(of, classes, events) == said


def test_what_was_said_of_an_earlier_claim_of_the_name_is_not_repeated() -> None:
    said = reason(claim(), [storage_class()], [event("of another", "2026-01-02T00:00:00Z", uid="before")])
    assert "of another" not in said


async def test_a_node_that_waits_for_its_volume_says_why() -> None:
    """Seen as "pod has unbound immediate PersistentVolumeClaims", without the class."""
    components = store(replicas=1, storage={"size": "1Gi", "storageClassName": "slow"})
    world = World(runtimeVersion="1", components=components)
    world.cluster.put(storage_class())
    await world.deployed()
    live = world.object("PersistentVolumeClaim", NODE)
    world.cluster.put({**live, "status": {"phase": "Pending"}})
    pod = world.pod(NODE)
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": message}]
    pod["status"]["containerStatuses"] = []
    world.cluster.put(pod)
    assert waits_for_a_machine(world.pod(NODE))
    waiter = NodeWaiter(world.platform, world.target(OperationType.DEPLOY), "wait", [NODE])
    (state,) = waiter.states()
    explained = await waiter._explained(state, 0.0)
    assert explained.reason.startswith("its volume is not provisioned yet by StorageClass slow (example.com/dead)")
    world.cluster.put({**live, "status": {"phase": "Bound"}})
    assert await why_unbound(world.platform, NAMESPACE, NODE) == ""
