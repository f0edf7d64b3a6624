"""Whose lost primary the platform replaces, by plugin and topology."""

from __future__ import annotations

from typing import Any, cast

import pytest

from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeKubernetes, eventually
from tests.unit.watcher.support.installation import plugin
from tests.unit.watcher.support.objects import APP, NAMESPACE, app
from watcher.cache.caches import watched
from watcher.roles.rules import RoleRules

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.mark.parametrize(
    ("topology", "replaced"), [(None, True), ("replication", True), ("sentinel", False), ("unheard-of", False)]
)
async def test_the_topology_decides_and_the_default_where_none_is_named(topology: str | None, replaced: bool) -> None:
    kubernetes = FakeKubernetes()
    application: dict[str, Any] = app()
    application["spec"] |= {"topology": topology} if topology else {}
    kubernetes.put(application)
    kubernetes.put(plugin())
    async with watched(cast(Kubernetes, kubernetes)) as cluster:
        rules = RoleRules(cluster)
        assert rules.replaced(NAMESPACE, APP, "redis") is replaced
        assert rules.exclusive(NAMESPACE, APP, "redis") == {"master"}
        assert not rules.replaced(NAMESPACE, APP, "another")
        assert not rules.replaced(NAMESPACE, "another", "redis")


async def test_a_plugin_that_cannot_be_read_replaces_nobody_until_it_can() -> None:
    kubernetes = FakeKubernetes()
    kubernetes.put(app())
    good = plugin()
    kubernetes.put({**good, "data": {"plugin.yaml": "kind: Nonsense"}})
    async with watched(cast(Kubernetes, kubernetes)) as cluster:
        rules = RoleRules(cluster)
        assert not rules.replaced(NAMESPACE, APP, "redis")
        kubernetes.put(good)
        await eventually(lambda: rules.replaced(NAMESPACE, APP, "redis"))


@pytest.mark.parametrize("mistake", [{"plugin": {"name": "redis", "version": "9.9.9"}}, {"topology": "replicaton"}])
async def test_a_mistake_in_the_spec_leaves_what_runs_watched_over(mistake: dict[str, Any]) -> None:
    kubernetes = FakeKubernetes()
    application: dict[str, Any] = app()
    kubernetes.put(application)
    kubernetes.put(plugin())
    async with watched(cast(Kubernetes, kubernetes)) as cluster:
        rules = RoleRules(cluster)
        assert rules.replaced(NAMESPACE, APP, "redis")
        kubernetes.put({**application, "spec": {**application["spec"], **mistake}})
        await eventually(lambda: mistake.items() <= (cluster.apps.get(NAMESPACE, APP) or {})["spec"].items())
        assert rules.replaced(NAMESPACE, APP, "redis")
        assert rules.exclusive(NAMESPACE, APP, "redis") == {"master"}
