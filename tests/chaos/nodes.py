"""Whole nodes: spread, drained, without power, without a network. Outside CI, because three nodes cost minutes:

    python -m tests.chaos.nodes --instance nodes [--keep]

It makes the instance (or grows the one that is there to three nodes), runs one Redis with a volume on each node, and
checks what a user relies on: Pods and Services are reached from every node and from the host, a Pod with a volume
returns to its node with its data, a lost node is seen, silent, and whole again once it is back.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local import stages
from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.nodes import Node
from tests.e2e.support.environment import kube_of
from tests.e2e.support.kube import Manifest, eventually

NODES = 3
NAMESPACE = "chaos-nodes"
NAME = "spread"
IMAGE = "redis:7.0"
NODE_LOST_SECONDS = 120.0  # 50 s of grace, and what the machine's load adds
LABELS = {"app": NAME}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instance", default="nodes")
    parser.add_argument("--keep", action="store_true", help="leave the instance up, where this made it")
    options = parser.parse_args()
    instance = Instance(options.instance)
    made = not instance.exists()
    instance.up(NODES)
    try:
        Nodes(instance).run()
    finally:
        if made and not options.keep:
            instance.down(purge=True)
    return 0


class Nodes:
    def __init__(self, instance: Instance) -> None:
        self._instance, self._kube = instance, kube_of(instance)
        self._by_name: dict[str, Node] = {node.name: node for node in instance.nodes}

    def run(self) -> None:
        [image] = stages.load_images(self._instance, [IMAGE])
        self._kube.namespace(NAMESPACE)
        self._kube.apply(_service(), _stateful_set(image))
        checks = (
            self.one_on_each, self.all_reach_all, self.returns_to_its_node, self.drain,
            self.power_loss, self.isolation, self.no_shrinking,
        )  # fmt: skip
        try:
            for check in checks:
                started = time.monotonic()
                check()
                print(f"{check.__name__}: {time.monotonic() - started:.1f} s", flush=True)
        finally:
            self._kube.run("delete", "namespace", NAMESPACE, "--wait=false")

    def one_on_each(self) -> None:
        pods = eventually("one Pod on each node", self._all_ready, timeout=180)
        assert {pod["spec"]["nodeName"] for pod in pods.values()} == set(self._by_name)
        for node, path in self._volumes().items():
            assert path.startswith(f"{self._by_name[node].paths.volumes}/"), f"the volume of {node} is {path}"

    def all_reach_all(self) -> None:
        pods = self._pods()
        service = self._kube.get("service", NAME, NAMESPACE) or {}
        addresses = [pod["status"]["podIP"] for pod in pods.values()] + [service["spec"]["clusterIP"]]
        for address in addresses:
            assert _answers(address), f"the host does not reach {address}"
            for name in pods:
                assert self._redis(name, "-h", address, "ping") == "PONG"
        for name in pods:
            assert self._redis(name, "-h", f"{NAME}.{NAMESPACE}.svc.cluster.local", "ping") == "PONG"

    def returns_to_its_node(self) -> None:
        for name, pod in self._pods().items():
            node = pod["spec"]["nodeName"]
            assert self._redis(name, "set", "written-on", node) == "OK"
        for name in self._pods():
            self._kube.run("delete", "pod", name, "-n", NAMESPACE)
        eventually("the Pods are back", self._all_ready, timeout=180)
        self._assert_data()

    def drain(self) -> None:
        """A drained node's Pod waits for its node, because its volume does."""
        name, node = self._pod_on("node-3")
        self._kube.run("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s", timeout=100)
        eventually("it waits", lambda: self._pods()[name]["status"]["phase"] == "Pending", timeout=60)
        self._kube.run("uncordon", node)
        eventually("it is back", self._all_ready, timeout=180)
        self._assert_data()

    def power_loss(self) -> None:
        name, node = self._pod_on("node-2")
        address = self._pods()[name]["status"]["podIP"]
        self._instance.kill_node("node-2")
        assert not self._by_name[node].groups.members(), "something of the node still lives"
        assert not _answers(address)
        eventually("the loss is seen", lambda: self._ready(node) != "True", NODE_LOST_SECONDS)
        survivors = [other for other, pod in self._pods().items() if pod["spec"]["nodeName"] != node]
        assert all(self._redis(other, "ping") == "PONG" for other in survivors)
        self._instance.start_node("node-2")
        eventually("it is back", self._all_ready, timeout=180)
        self._assert_data()
        self.all_reach_all()

    def isolation(self) -> None:
        name, node = self._pod_on("node-3")
        address = self._pods()[name]["status"]["podIP"]
        alive = self._instance.pid("kubelet@node-3")
        self._instance.isolate_node("node-3")
        assert not _answers(address)
        eventually("the loss is seen", lambda: self._ready(node) != "True", NODE_LOST_SECONDS)
        assert self._instance.pid("kubelet@node-3") == alive
        self._instance.rejoin_node("node-3")
        eventually("the node is back", lambda: self._ready(node) == "True", timeout=120)
        eventually("its Pod answers again", lambda: _answers(address), timeout=60)

    def no_shrinking(self) -> None:
        with pytest.raises(LocalError, match="does not shrink"):
            self._instance.up(NODES - 1)

    def _assert_data(self) -> None:
        for name, pod in self._pods().items():
            assert self._redis(name, "get", "written-on") == pod["spec"]["nodeName"]

    def _pods(self) -> dict[str, Manifest]:
        return {pod["metadata"]["name"]: pod for pod in self._items("pods")}

    def _all_ready(self) -> dict[str, Manifest] | None:
        """The Pods, once each is Ready, none is going, and each node holds one of them."""
        pods = self._pods()
        good = [
            pod for pod in pods.values() if _condition(pod) == "True" and "deletionTimestamp" not in pod["metadata"]
        ]
        return pods if len(good) == len(pods) == NODES else None

    def _pod_on(self, label: str) -> tuple[str, str]:
        node = next(each.name for each in self._by_name.values() if each.label == label)
        return next(name for name, pod in self._pods().items() if pod["spec"]["nodeName"] == node), node

    def _volumes(self) -> dict[str, str]:
        """The path of each node's volume, by the node that its affinity names."""
        claims = {claim["spec"]["volumeName"] for claim in self._items("persistentvolumeclaims")}
        found: dict[str, str] = {}
        for volume in self._items("persistentvolumes"):
            if volume["metadata"]["name"] in claims:
                terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
                found[terms[0]["matchExpressions"][0]["values"][0]] = volume["spec"]["local"]["path"]
        assert len(found) == NODES
        return found

    def _ready(self, node: str) -> str:
        return _condition(next(each for each in self._items("nodes") if each["metadata"]["name"] == node))

    def _items(self, kind: str) -> list[Manifest]:
        return self._kube.find(kind, NAMESPACE)

    def _redis(self, pod: str, *words: str) -> str:
        """What redis-cli in the Pod answers; asked again for a moment, because a Service follows its Pods by that."""
        command = ("exec", "-n", NAMESPACE, pod, "--", "redis-cli", *words)
        ask: Callable[[], str] = lambda: self._kube.run(*command).strip()  # noqa: E731
        return eventually(" ".join(words), ask, timeout=30)


def _condition(manifest: Manifest) -> str:
    conditions: list[dict[str, Any]] = manifest["status"].get("conditions", [])
    return next((str(each["status"]) for each in conditions if each["type"] == "Ready"), "Unknown")


def _answers(address: str) -> bool:
    """Whether a Redis there answers the host."""
    try:
        with socket.create_connection((address, 6379), timeout=5) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _service() -> Manifest:
    spec = {"selector": LABELS, "ports": [{"port": 6379}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec}


def _stateful_set(image: str) -> Manifest:
    """A Redis that syncs each write to its volume, one on each node."""
    command = ["redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always", "--bind", "0.0.0.0"]
    container = {
        "name": "redis", "image": image, "imagePullPolicy": "Never",
        "command": [*command, "--protected-mode", "no"],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    apart = {"labelSelector": {"matchLabels": LABELS}, "topologyKey": "kubernetes.io/hostname"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "serviceName": NAME, "replicas": NODES, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
