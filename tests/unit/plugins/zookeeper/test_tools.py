"""What the ZooKeeper plugin's tools conclude from the four-letter commands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.plugins.support import FakeEngine, Node, addresses, files, listening, record, wanted

ENSEMBLE = wanted("zookeeper")
ADDRESS = addresses(ENSEMBLE)[ENSEMBLE.nodes[0].name]
SERVING = "Zookeeper version: 3.8.0--1\nLatency min/avg/max: 0/0.0/0\nZxid: 0x100000000\nMode: {mode}\nNode count: 5\n"
NO_MAJORITY = "This ZooKeeper instance is not currently serving requests\n"
CONF = "clientPort=2181\ndataDir=/middleware/data/version-2\ntickTime=2000\nmaxClientCnxns=200\nserverId=1\n"


class FakeZooKeeper(FakeEngine):
    """Answers one four-letter command, which has no end of line, and closes as the real one does."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.readexactly(4)).decode()
        writer.write(self.answer(command) or b"")
        writer.close()


def zookeeper(text: str) -> FakeZooKeeper:
    return FakeZooKeeper(lambda command: text.encode())


def node(path: Path, *, bootstrap: bool = True, known: bool = False) -> Node:
    return Node(path, files(ENSEMBLE, "zookeeper", bootstrap=bootstrap), record("follower") if known else None)


@pytest.mark.parametrize(("mode", "role"), [("leader", "leader"), ("follower", "follower"), ("standalone", "leader")])
async def test_roles(tmp_path: Path, mode: str, role: str) -> None:
    async with listening({(ADDRESS, 2181): zookeeper(SERVING.format(mode=mode))}):
        assert (await node(tmp_path).run("getRole")).values == {"role": role}
        assert (await node(tmp_path).run("getVersion")).values == {"version": "3.8.0"}
        await node(tmp_path).run("ready")


async def test_without_majority_a_node_is_not_ready_and_says_so(tmp_path: Path) -> None:
    async with listening({(ADDRESS, 2181): zookeeper(NO_MAJORITY)}):
        assert "not currently serving requests" in await node(tmp_path).failure("ready")


async def test_parameters_are_read_back(tmp_path: Path) -> None:
    async with listening({(ADDRESS, 2181): zookeeper(CONF)}):
        assert (await node(tmp_path).run("readConfig")).values == {"tickTime": "2000", "maxClientCnxns": "200"}


async def test_only_a_first_start_may_begin_with_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "data/log").mkdir(parents=True)
    allowed = tmp_path / "data/log/initialize"
    await node(tmp_path, known=True).run("preStart")
    assert not allowed.exists()
    await node(tmp_path).run("preStart")
    assert allowed.exists()
    assert "preStart" not in node(tmp_path, bootstrap=False).bundle.document.tools
