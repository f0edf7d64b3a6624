"""What a plugin warns of is carried out, and said for as long as it is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from activities.cluster.parameter_warnings import parameters_safe
from activities.reconcile.finish import Record
from api.app import Resources
from api.operations import OperationType
from render.desired.app import DesiredApp
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.plugins.support import wanted
from tests.unit.render.support import PARAMETERS, shelf, store

WARNED = shelf(
    parameters_yaml=PARAMETERS
    + "kept: {schema: {type: boolean}, default: true, checks: [{that: value, warns: true, message: all may be lost}]}\n"
)
SAID = "store: kept: all may be lost"


def components(*, kept: bool) -> list[dict[str, Any]]:
    return [{**store(replicas=2)[0], "config": {"kept": kept}}]


def condition(world: World) -> tuple[str, str, str]:
    found = next(c for c in world.object("App", NAME)["status"]["conditions"] if c["type"] == "ParametersSafe")
    return found["status"], found["reason"], found["message"]


async def test_a_risk_is_said_for_as_long_as_it_is_run(virtual_time: None) -> None:
    world = await World(WARNED, runtimeVersion="1", components=components(kept=False)).deployed()
    assert condition(world) == ("False", "ParameterWarning", SAID)
    assert world.events().count(f"ParameterWarning: {SAID}") == 1
    await world.do(Record(world.platform).finish, world.target(OperationType.REPAIR))
    assert world.events().count(f"ParameterWarning: {SAID}") == 1, "it is no news"
    assert (await world.load()).refusal == "", "it is what the spec asks for"
    world.edit(components=components(kept=True))
    await world.do(Record(world.platform).finish, world.target(OperationType.DEPLOY))
    assert condition(world) == ("True", "NothingToWarnOf", "")


async def test_where_there_is_none_that_is_said_too(virtual_time: None) -> None:
    world = await World(WARNED, runtimeVersion="1", components=components(kept=True)).deployed()
    assert condition(world) == ("True", "NothingToWarnOf", "")


async def test_redis_without_an_append_only_file_says_what_can_be_lost() -> None:
    for topology in ("sentinel", "replication", "standalone"):
        for config, snapshot in (({"appendonly": False}, True), ({"appendonly": False, "save": ""}, False)):
            said = await safe(wanted("redis", topology, config=config, redis_server=1))
            assert "what all nodes lose at once" in said
            assert ("but for the last snapshot" in said) is snapshot
        assert await safe(wanted("redis", topology, redis_server=1)) == ""


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1"])
async def test_redis_without_a_bound_on_its_data_below_a_memory_limit_says_that_it_will_be_killed(plugin: str) -> None:
    for nothing in (0, "0", "0mb"):
        said = await safe(wanted(plugin, "replication", config={"maxmemory": nothing}, redis_server=2))
        assert said.startswith("redis-server: maxmemory: 0 bounds nothing, and the memory limit is 512Mi")
        assert "write at most 336mb, or leave maxmemory out" in said
    assert await safe(wanted(plugin, "replication", config={"maxmemory": "336mb"}, redis_server=2)) == ""
    unlimited = wanted(plugin, "replication", config={"maxmemory": 0}, redis_server=2)
    (server,) = unlimited.components
    (group,) = server.groups
    spec = group.spec.model_copy(update={"resources": Resources(requests={"memory": "256Mi"})})
    free = replace(unlimited, components=(replace(server, groups=(replace(group, spec=spec),)),))
    assert await safe(free) == "", "there is no wall"


async def safe(of: DesiredApp) -> str:
    world = World(components=store(replicas=2))
    change = await parameters_safe(world.platform, world.target(OperationType.DEPLOY), world.object("App", NAME), of)
    assert change.status is not bool(change.message)
    return change.message
