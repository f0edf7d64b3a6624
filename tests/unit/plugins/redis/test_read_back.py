"""What a real Redis answers for the parameters of its files is what it was given: else no App would be as wanted."""

from __future__ import annotations

from pathlib import Path

from render.check.applied_parameters import effective, node_parameters
from tests.unit.plugins.engines import SERVER, cluster
from tests.unit.plugins.support import addresses, wanted


async def test_defaults_read_back_as_the_values_that_they_are(tmp_path: Path) -> None:
    of = wanted("redis", "sentinel", "7.0", redis_server=2, redis_sentinel=3)
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        for engine in [*made.servers, *made.sentinels]:
            component = of.component(engine.component)
            values = node_parameters(of, component, component.nodes[0], addresses(of))
            assert effective(component, values, await engine.tool("readConfig")).differs == {}


async def test_another_value_is_found(tmp_path: Path) -> None:
    of = wanted("redis", "standalone", "7.0", redis_server=1)
    async with cluster(tmp_path, "standalone", redis_server=1) as made:
        (server,) = made.servers
        component = of.component(SERVER)
        values = node_parameters(of, component, component.nodes[0], addresses(of))
        changes = {"hz": "20", "repl-backlog-size": "32mb", "rdbcompression": "no", "appendfsync": "always"}
        await server.tool("reloadConfig", **changes)
        found = effective(component, values, await server.tool("readConfig")).differs
    assert found == {
        "appendfsync": ["everysec", "always"],
        "hz": ["10", "20"],
        "rdbcompression": ["true", "no"],
        "repl-backlog-size": ["16mb", "33554432"],
    }
