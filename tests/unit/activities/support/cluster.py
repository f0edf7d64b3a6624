"""A cluster in memory that an App of the plugin ``shelf`` is deployed to by the activities themselves.

The API server, its controllers and the nodes' agents are fake, since a real cluster takes a minute to start and cannot
be told which node has come how far; what is written, and what is made of what is there, is all the activities' own.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from temporalio.testing import ActivityEnvironment

from activities.app.desired import spec_hash
from activities.app.observed import observe
from activities.dependencies import Platform
from activities.look.load import Load
from activities.plugins import Plugins
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.finish import Record
from activities.reconcile.prepare import Prepare
from activities.rollout.roll_node import Node
from activities.terminated_pods import TerminatedPods
from api.app import App
from api.group import AgentBundle
from api.look import AppSnapshot, LoadRequest
from api.names import LABEL_NODE, LABEL_ROLE, MIDDLEWARE_CONTAINER, SYSTEM_NAMESPACE
from api.operations import OperationType
from api.steps import ComponentStep, GroupStep, NodeStep, Target
from clients.errors import ConflictError
from clients.resources import DEPLOYMENT, POD, STORAGE_CLASS, Resource, resource_of
from clients.shared_watch import Change, WatchEvent
from clients.tls.certificates import KeyPair, create_authority
from render.plugin.bundle import PluginBundle, to_config_maps
from tests.unit.activities.support.agents import UID, FakeAgents
from tests.unit.activities.support.recorded import RecordedApp
from tests.unit.render.support import manifest, shelf
from tests.unit.watcher.support import rights
from tests.unit.watcher.support.fakes import FakeKubernetes, _check_frozen, _merged

Manifest = dict[str, Any]
T = TypeVar("T")
NAMESPACE, NAME = "library", "books"
_AUTHORITY: list[KeyPair] = []


class FakeCluster(FakeKubernetes):
    """With what controllers add: addresses, uids, generations, and a ready Pod for each Deployment."""

    who = "worker"

    def __init__(self) -> None:
        super().__init__()
        self.woken: set[asyncio.Event] = set()
        self.on_remove: list[Callable[[Manifest], None]] = []
        self.made = 0
        self.gets_ready: Callable[[str], bool] = lambda _: True
        """Whether a new Pod of the node gets ready."""
        self.last_words: dict[str, list[Manifest]] = {}
        """By node: what the kubelet says of its Pod's containers once it has ended."""

    def remove(self, manifest: Manifest) -> None:
        super().remove(manifest)
        for told in self.on_remove:
            told(manifest)
        self._wake()

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str | Mapping[str, str] = "", **_: Any
    ) -> tuple[list[Manifest], str]:
        text = labels if isinstance(labels, str) else ",".join(f"{key}={value}" for key, value in labels.items())
        found, version = await super().list(resource, namespace, labels=text)
        return list(found), version

    async def apply(
        self, manifest: Mapping[str, Any], *, subresource: str | None = None, dry_run: bool = False, **_: Any
    ) -> Manifest:
        if subresource is not None:
            return await super().apply(dict(manifest), subresource=subresource)
        key = self._key(dict(manifest))
        rights.check(self.who, "patch", resource_of(dict(manifest)))
        self._checked("apply", key[2], manifest)
        live = self.objects.get(key)
        if live is None:
            return self._store(key, copy.deepcopy(dict(manifest)), "ADDED")
        # Of what one manager applies, a field that it does not name any more goes; lists are replaced.
        after = _merged(live, copy.deepcopy(dict(manifest)))
        if "data" in manifest or "spec" in manifest:
            after |= {field: copy.deepcopy(manifest[field]) for field in ("data",) if field in manifest}
        if dry_run:
            return after
        _check_frozen(live, after)
        return self._store(key, after, "MODIFIED")

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        version: str | None = None,
        **_: Any,
    ) -> bool:
        rights.check(self.who, "delete", resource)
        self._checked("delete", name, uid)
        found = self.objects.get((resource.kind, namespace or "", name))
        if found is None or (uid is not None and found["metadata"].get("uid") != uid):
            return False
        if version is not None and found["metadata"]["resourceVersion"] != version:
            raise ConflictError("deleting", 409, "Conflict", name)
        self.remove(found)
        if resource.kind == "Deployment":
            self._end_pods(name)
        if resource.kind == "Pod":
            node = found["metadata"]["labels"].get(LABEL_NODE, "")
            if (owner := self.objects.get(("Deployment", namespace or "", node))) is not None:
                self._pod(owner)
        self._wake()
        return True

    def _key(self, manifest: Manifest) -> tuple[str, str, str]:
        if manifest["kind"] == STORAGE_CLASS.kind:  # that an administrator writes
            return STORAGE_CLASS.kind, "", manifest["metadata"]["name"]
        return super()._key(manifest)

    def _store(self, key: tuple[str, str, str], manifest: Manifest, change: str) -> Manifest:
        self.made += 1
        before = self.objects.get(key) or {}
        metadata = {"uid": f"uid-of-{key[0]}-{self.made}", **manifest["metadata"]}
        manifest["metadata"] = metadata
        if key[0] == "Service":
            manifest["spec"].setdefault("clusterIP", f"198.18.0.{self.made}")
        if key[0] == "Deployment" and before.get("spec") != manifest["spec"]:
            generation = int(metadata.get("generation", 0)) + 1
            metadata["generation"] = generation
            at_once = int(not manifest["spec"].get("minReadySeconds"))
            manifest["status"] = {"observedGeneration": generation, "updatedReplicas": 1, "availableReplicas": at_once}
        stored = super()._store(key, manifest, change)
        if key[0] == "Deployment" and (before.get("spec") or {}) != manifest["spec"]:
            self._end_pods(key[2])
            if manifest["spec"].get("replicas", 1):
                self._pod(manifest)
        self._wake()
        return stored

    def _pod(self, deployment: Manifest) -> None:
        self.made += 1
        node = deployment["metadata"]["name"]
        template = deployment["spec"]["template"]
        container = {"name": "engine", "state": {"running": {}}}
        self.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{node}-{self.made}",
                    "namespace": deployment["metadata"]["namespace"],
                    "labels": dict(template["metadata"]["labels"]),
                    "creationTimestamp": f"{self.made:06}",
                },
                "spec": {"terminationGracePeriodSeconds": 1},
                "status": {
                    "podIP": f"198.18.1.{self.made % 250}",
                    "conditions": [{"type": "Ready", "status": str(self.gets_ready(node))}],
                    "containerStatuses": [container],
                },
            }
        )

    def _end_pods(self, node: str) -> None:
        for key, pod in list(self.objects.items()):
            if key[0] == "Pod" and pod["metadata"]["labels"].get(LABEL_NODE) == node:
                if node in self.last_words:
                    pod["status"]["containerStatuses"] = self.last_words[node]
                self.remove(pod)

    def _wake(self) -> None:
        for event in self.woken:
            event.set()


class FakeWatch:
    """The shared watch of one kind, never behind."""

    def __init__(self, cluster: FakeCluster, resource: Resource) -> None:
        self._cluster, self.resource, self._kind = cluster, resource, resource.kind

    def subscribe(self, handler: Callable[[WatchEvent], None]) -> None:
        def removed(manifest: Manifest) -> None:
            if manifest["kind"] == self._kind:
                handler(WatchEvent(Change.DELETED, manifest, manifest))

        self._cluster.on_remove.append(removed)

    async def synced(self, _timeout: float) -> None:
        return

    def get(self, namespace: str, name: str) -> Manifest | None:
        return self._cluster.objects.get((self._kind, namespace, name))

    def list(self, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        return [
            each
            for (kind, where, _), each in self._cluster.objects.items()
            if (kind, where) == (self._kind, namespace)
            and labels.items() <= (each["metadata"].get("labels") or {}).items()
        ]

    async def wait_for(self, predicate: Callable[[], T | None], timeout: float, **_: Any) -> T:
        changed = asyncio.Event()
        self._cluster.woken.add(changed)
        try:
            async with asyncio.timeout(timeout):
                while (answer := predicate()) is None:
                    changed.clear()
                    await changed.wait()
                return answer
        finally:
            self._cluster.woken.discard(changed)


class World(RecordedApp):
    """One App, its cluster and the platform that runs it. Every step is called as an activity of the worker."""

    def __init__(self, *bundles: PluginBundle, **spec: Any) -> None:
        super().__init__(NAMESPACE, NAME)
        self.cluster: FakeCluster = FakeCluster()
        self.agents = FakeAgents()
        if not _AUTHORITY:
            _AUTHORITY.append(create_authority("test"))
        for bundle in bundles or (shelf(),):
            for config_map in to_config_maps(bundle, SYSTEM_NAMESPACE):
                self.cluster.put(config_map)
        self.cluster.put({**manifest(**spec), "status": {}})
        pods = FakeWatch(self.cluster, POD)
        self.platform = cast(
            Platform,
            SimpleNamespace(
                kubernetes=self.cluster,
                agents=self.agents,
                plugins=Plugins(cast(Any, self.cluster)),
                deployments=FakeWatch(self.cluster, DEPLOYMENT),
                pods=pods,
                terminated_pods=TerminatedPods(cast(Any, pods)),
                authority=_AUTHORITY[0],
                installation="test",
                agent=AgentBundle(image="agent:1"),
            ),
        )

    # What a person does

    def edit(self, **spec: Any) -> None:
        """The App has another spec."""
        live = self.object("App", NAME)
        after = {**live["spec"], **spec}
        metadata = {**live["metadata"], "generation": live["metadata"]["generation"] + 1}
        self.cluster.put({**live, "metadata": metadata, "spec": after})

    def claim(self, node: str, capacity: str, *, request: str = "", conditions: Any = ()) -> None:
        """The node's volume claim, bound, as its driver has come so far."""
        live = self.object("PersistentVolumeClaim", node)
        spec = {**live["spec"], "storageClassName": "grows"}
        if request:
            spec["resources"] = {"requests": {"storage": request}}
        status = {"capacity": {"storage": capacity}, "conditions": list(conditions)}
        self.cluster.put({**live, "spec": spec, "status": status})

    # What is there

    def requested(self, node: str) -> str:
        return str(self.object("PersistentVolumeClaim", node)["spec"]["resources"]["requests"]["storage"])

    def available(self, node: str) -> None:
        """Its Pod has been ready for ``minReadySeconds``."""
        live = self.object("Deployment", node)
        self.cluster.put({**live, "status": {**live["status"], "availableReplicas": 1}})

    def end_pod(self, node: str) -> Manifest:
        """The node's Pod as its machine reports it at the end of an orderly deletion, just before it is gone."""
        pod = self.pod(node)
        pod["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        pod["status"] |= {"phase": "Succeeded"}
        pod["status"]["containerStatuses"] = [{"name": MIDDLEWARE_CONTAINER, "state": {"terminated": {"exitCode": 0}}}]
        return pod

    def pod(self, node: str) -> Manifest:
        found = [each for (kind, _, _), each in self.cluster.objects.items() if kind == "Pod"]
        return only(each for each in found if each["metadata"]["labels"].get(LABEL_NODE) == node)

    def object(self, kind: str, name: str) -> Manifest:
        return copy.deepcopy(self.cluster.get_now(kind, NAMESPACE, name))

    def names(self, kind: str) -> list[str]:
        return sorted(name for what, where, name in self.cluster.objects if (what, where) == (kind, NAMESPACE))

    def events(self) -> list[str]:
        found = [each for (kind, _, _), each in self.cluster.objects.items() if kind == "Event"]
        return [f"{each['reason']}: {each['message']}" for each in found]

    @property
    def app(self) -> App:
        return App.model_validate(self.object("App", NAME))

    # What the platform does

    def target(self, operation: str, **more: str) -> Target:
        workflow_id = f"test/{operation}"
        return Target(NAMESPACE, NAME, UID, spec_hash(self.app), operation, workflow_id, **more)

    async def do(self, step: Callable[[Any], Any], argument: Any) -> Any:
        return await ActivityEnvironment().run(step, argument)

    async def load(self, *, drift: bool = True) -> AppSnapshot:
        found: AppSnapshot = await self.do(Load(self.platform).load, LoadRequest(NAMESPACE, NAME, drift))
        return found

    async def carry_out(self, operation: OperationType) -> None:
        """The steps of a Deploy or Repair, in their order."""
        target = self.target(operation)
        plan = await self.do(Prepare(self.platform).prepare, target)
        await self.do(Prepare(self.platform).services, target)
        for component in plan.components:
            for group in component.groups:
                await self.do(ApplyGroup(self.platform).apply_group, GroupStep(target, component.name, group.name))
            await self.do(Record(self.platform).record, ComponentStep(target, component.name))
        await self.do(Record(self.platform).finish, target)

    async def give(self, node: str) -> None:
        """The step of an Upgrade that gives the node another Pod, which serves."""
        component, group = node.split("-")[1:3]
        step = NodeStep(self.target(OperationType.UPGRADE), component, group, node, self.pod(node)["metadata"]["uid"])
        await self.do(Node(self.platform).roll_node, step)

    async def deployed(self) -> World:
        await self.carry_out(OperationType.DEPLOY)
        assert (await observe(self.platform, NAMESPACE, NAME, UID)).deployed is not None
        return self

    def roles(self, **roles: str) -> None:
        """Who says, and is labelled, what: ``store_0="primary"`` is node 0 of the component's only group."""
        for pod in [each for (kind, _, _), each in self.cluster.objects.items() if kind == "Pod"]:
            node = pod["metadata"]["labels"][LABEL_NODE]
            key = f"{node.split('-')[1]}_{node.rpartition('-')[2]}"
            role = roles.get(key, "replica" if key.startswith("store") else "")
            self.agents.say(node, role)
            labels = {**pod["metadata"]["labels"], **({LABEL_ROLE: role} if role else {})}
            self.cluster.put({**pod, "metadata": {**pod["metadata"], "labels": labels}})


def only(found: Iterable[T]) -> T:
    (one,) = found
    return one
