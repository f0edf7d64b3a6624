"""A volume whose data another version of the engine has written: its own record says so, whatever statuses do."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from proto import agent_pb2 as pb
from tests.unit.agent.support import Manager, Node, eventually

ENGINES = [{"version": "6.0"}, {"version": "7.0"}, {"version": "8.0", "upgradesFrom": ["7.0"]}]
BEGUN = ["/bin/sh", "-c", "echo begun >> begun; trap : TERM; sleep 1000 & wait"]


def document(node: Node, **changes: Any) -> dict[str, Any]:
    return node.document(**{"process": {"command": BEGUN}, "engines": ENGINES, "roles": ["primary"]} | changes)


async def ran(node: Node, manager: Manager, version: str, *, served: bool = True) -> None:
    """A Pod of that version has had the volume, and is gone. ``served``: its role was seen."""
    node.engine_version = version
    node.mount(document(node))
    pod = node.start_manager()
    await manager.reaches(pb.RUNNING)
    assert (await manager.status()).volume.engine_version == version
    pod.send_signal(signal.SIGTERM)
    pod.wait(10)
    if served:
        (node.data / ".agent" / "record.json").write_text(json.dumps({"appUid": "uid-1", "role": "primary"}))
    (node.data / "begun").unlink()


@pytest.fixture
async def of_8(node: Node, manager: Manager) -> None:
    await ran(node, manager, "8.0")


@pytest.mark.usefixtures("of_8")
async def test_a_lower_version_is_not_started_on_a_volume_that_a_higher_one_has_had(
    node: Node, manager: Manager
) -> None:
    """Its preStart may write to what it finds, so it does not run either."""
    node.engine_version = "7.0"
    touch = {"run": {"argv": ["/bin/sh", "-c", "echo touched > touched"]}}
    node.mount(document(node, tools={"preStart": {"steps": [touch]}}))
    node.start_manager()
    refused = await manager.reaches(pb.UNREADABLE)
    assert "version 8.0 of the engine has had this volume, and 7.0 may not be given its data" in refused.message
    assert (refused.starts, refused.pid, refused.volume.engine_version) == (0, 0, "8.0")
    asked = await manager.stub.Start(pb.StartRequest(), timeout=10)
    assert (asked.state, asked.starts) == (pb.UNREADABLE, 0)
    assert not (node.data / "touched").exists()
    assert not (node.data / "begun").exists()


@pytest.mark.usefixtures("of_8")
async def test_one_that_is_refused_can_be_stopped_and_ended(node: Node, manager: Manager) -> None:
    node.engine_version = "7.0"
    node.mount(document(node))
    pod = node.start_manager()
    await manager.reaches(pb.UNREADABLE)
    await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert (await manager.status()).state == pb.STOPPED
    await manager.stub.Start(pb.StartRequest(), timeout=10)
    await manager.reaches(pb.UNREADABLE)
    pod.terminate()
    assert pod.wait(10) == 0


@pytest.mark.usefixtures("of_8")
async def test_the_same_version_and_a_higher_one_are_started(node: Node, manager: Manager) -> None:
    await ran(node, manager, "8.0")
    await ran(node, manager, "9.0")
    node.engine_version = "8.0"
    node.mount(document(node))
    node.start_manager()
    assert "version 9.0 of the engine has had this volume" in (await manager.reaches(pb.UNREADABLE)).message


async def test_a_step_that_the_plugin_does_not_allow_is_refused(node: Node, manager: Manager) -> None:
    """8.0 may only be given the data of 7.0."""
    await ran(node, manager, "6.0")
    node.engine_version = "8.0"
    node.mount(document(node))
    node.start_manager()
    assert "version 6.0 of the engine" in (await manager.reaches(pb.UNREADABLE)).message


@pytest.mark.usefixtures("of_8")
async def test_a_downgrade_that_the_plugin_allows_is_started_and_forgets_nothing(node: Node, manager: Manager) -> None:
    """The plugin may be moved to a version that says so, under a Pod that waits."""
    node.engine_version = "7.0"
    node.mount(document(node))
    node.start_manager()
    await manager.reaches(pb.UNREADABLE)
    able = [{"version": "7.0", "upgradesFrom": ["6.0", "8.0"]}]
    node.mount({**document(node), "engines": able, "revision": 2})
    assert (await manager.reaches(pb.RUNNING)).volume.engine_version == "8.0"


async def test_what_has_never_served_anybody_may_be_corrected(node: Node, manager: Manager) -> None:
    """A first Deploy whose version crashes: no role was ever seen on its volumes."""
    await ran(node, manager, "8.0", served=False)
    await ran(node, manager, "7.0", served=False)
    assert json.loads((node.data / ".agent" / "engine.json").read_text()) == {"version": "7.0"}


async def test_a_node_that_has_no_roles_says_nothing_by_telling_none(node: Node, manager: Manager) -> None:
    await ran(node, manager, "8.0", served=False)
    node.engine_version = "7.0"
    node.mount(document(node, roles=[]))
    node.start_manager()
    await manager.reaches(pb.UNREADABLE)


@pytest.mark.usefixtures("of_8")
async def test_a_document_of_the_next_version_says_nothing_of_the_pod(node: Node, manager: Manager) -> None:
    """It is mounted before the next Pod is made: an engine that ends meanwhile begins again as what it is."""
    node.engine_version = "8.0"
    node.mount({**document(node), "engines": [*ENGINES, {"version": "9.0"}], "revision": 2})
    node.start_manager()
    assert (await manager.reaches(pb.RUNNING)).volume.engine_version == "8.0"


async def test_a_record_that_cannot_be_read_keeps_the_engine_from_starting(node: Node, manager: Manager) -> None:
    state = node.data / ".agent"
    state.mkdir()
    (state / "engine.json").write_text("{")
    node.engine_version = "8.0"
    node.mount(document(node))
    node.start_manager()
    waiting = await manager.reaches(pb.BACKOFF)
    assert "the record of the engine's version on the volume is damaged" in waiting.message
    assert waiting.starts == 0
    (state / "engine.json").unlink()
    await manager.reaches(pb.RUNNING)


async def test_a_version_that_cannot_be_noted_is_not_started(node: Node, manager: Manager) -> None:
    """Seen later by nobody, it would be lost with the statuses."""
    state = node.data / ".agent"
    (state / "engine.json").mkdir(parents=True)
    node.engine_version = "8.0"
    node.mount(document(node))
    node.start_manager()
    assert (await manager.reaches(pb.BACKOFF)).starts == 0
    (state / "engine.json").rmdir()
    await eventually((node.data / "begun").exists)
