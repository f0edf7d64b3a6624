"""The next version of the Redis plugin: other tools and parameters, the same Pods and files, so no restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from language.expressions import expression
from render.check.successor import check_successor, shared_runtime_versions
from tests.unit.plugins.engines import cluster, until
from tests.unit.plugins.support import files, load, wanted

OPERATIONS = {"fence", "unfence", "failover", "follow"}


def test_an_app_can_move_to_the_next_plugin_version_and_back_without_a_restart() -> None:
    older, newer = load("redis"), load("redis-1.1")
    assert (older.version, newer.version) == ("1.0.0", "1.1.0")
    assert check_successor(older, newer) == []
    assert shared_runtime_versions(older, newer) == ["6.0", "7.0", "8.0"]

    def of_the_pod(plugin: str) -> list[Any]:
        return [d.model_copy(update={"tools": "", "parameters": []}) for d in load(plugin).plugin.spec.components]

    assert of_the_pod("redis") == of_the_pod("redis-1.1")
    for topology in ("sentinel", "replication", "standalone"):
        for component in wanted("redis", topology).components:
            before = files(wanted("redis", topology), component.name)
            after = files(wanted("redis-1.1", topology), component.name)
            documents = [json.loads(data.pop("node.json")) for data in (before, after)]
            assert before == after
            assert [d.pop("toolbox") == {} for d in documents] == [False, False]
            for document in documents:  # what tools know, and files were rendered with
                del document["names"]["parameters"], document["names"]["plugin"]
            assert documents[0] == documents[1]


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1"])
@pytest.mark.parametrize("version", ["6.0", "7.0", "8.0"])
@pytest.mark.parametrize("topology", ["standalone", "replication", "sentinel"])
def test_each_topology_has_the_tools_of_its_operations(plugin: str, version: str, topology: str) -> None:
    d = wanted(plugin, topology, version)
    document = json.loads(files(d, "redis-server")["node.json"])
    tools = document["toolbox"]["tools"]
    assert {"ready", "getRole", "getVersion", "readConfig", "reloadConfig"} <= set(tools)
    assert (set(tools) >= OPERATIONS) == (topology != "standalone")
    assert ("prepareFailover" in tools) == (topology == "sentinel")
    old = version == "6.0"
    assert expression(document["toolbox"]["vars"]["pausesWrites"])(document["names"]) is not old
    if topology != "standalone":
        # Without a time limit of the engine's own, the agent's holds.
        assert ("undo" in tools["fence"]) == (old or topology == "sentinel")
    if topology == "sentinel":
        voter = json.loads(files(d, "redis-sentinel")["node.json"])["toolbox"]["tools"]
        assert {"ready", "getVersion", "readConfig", "reloadConfig", "forget"} <= set(voter)


async def test_what_is_new_in_1_1(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", plugin="redis-1.1", redis_server=2) as made:
        primary = await made.primary()
        await primary.tool("reloadConfig", **{"lfu-decay-time": "5", "slowlog-log-slower-than": "0"})
        assert (await primary.tool("readConfig"))["lfu-decay-time"] == "5"
        await primary.ask("SET", "key", "value")
        assert all(microseconds.isdecimal() for microseconds in (await primary.tool("slowlog")).values())
        assert int((await primary.tool("memory"))["used_memory"]) > 100_000
        replica = next(e for e in made.servers if e is not primary)
        await until(replica.ready, "in sync")
