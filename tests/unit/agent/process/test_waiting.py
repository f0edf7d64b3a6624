"""Engines that wait for the platform's word, with real processes: held ones, and replicas that may lead."""

from __future__ import annotations

import asyncio
import os
import signal

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, alive, eventually, pushed


async def test_only_the_next_start_may_lead(node: Node, manager: Manager) -> None:
    """A replica waits for a primary, until the platform wants it to begin as one; its later starts wait again."""
    wait = {"when": "not node.lead", "fail": "no primary yet"}
    command = ["/bin/sh", "-c", "trap : TERM; echo {{ node.lead }} > led; sleep 1000 & wait"]
    node.mount(node.document(process={"command": command}, tools={"preStart": {"steps": [wait]}}))
    node.start_manager()
    waiting = await manager.reaches(pb.BACKOFF)
    assert waiting.may_lead
    assert "no primary yet" in waiting.message
    await manager.stub.Start(pb.StartRequest(lead=True), timeout=10)
    led = await manager.reaches(pb.RUNNING)
    assert led.starts == 1
    word = node.data / "led"
    assert await eventually(lambda: word.exists() and word.read_text()) == "true\n"
    # Where it runs already, the word is void: it is not kept for a start of which nobody has thought.
    await manager.stub.Start(pb.StartRequest(lead=True), timeout=10)
    os.kill(led.pid, signal.SIGKILL)

    async def waits_again() -> bool:
        status = await manager.status()
        return status.state == pb.BACKOFF and "no primary yet" in status.message

    await eventually(waits_again)
    assert (await manager.status()).starts == 1


async def test_a_stop_takes_the_word_to_lead_back(node: Node, manager: Manager) -> None:
    """Its preparation is under way when the platform decides otherwise."""
    words = node.data / "words"
    slow = {
        "run": {"argv": ["/bin/sh", "-c", "echo {{ node.lead }} >> words; {{ node.lead }} && sleep 60"]},
        "timeout": 60,
    }
    wait = {"when": "not node.lead", "fail": "no primary yet"}
    node.mount(node.document(tools={"preStart": {"timeout": 60, "steps": [slow | {"optional": True}, wait]}}))
    node.start_manager()
    await eventually(words.exists)
    leading = asyncio.ensure_future(manager.stub.Start(pb.StartRequest(lead=True), timeout=20))
    await eventually(lambda: words.read_text().endswith("true\n"))
    await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert (await leading).stop_requested
    answer = await manager.stub.Start(pb.StartRequest(), timeout=20)
    assert (answer.state, answer.starts) == (pb.BACKOFF, 0)
    assert "no primary yet" in answer.message


async def test_a_plugin_that_does_not_ask_cannot_be_led(node: Node, manager: Manager) -> None:
    node.mount(node.document(tools={"preStart": {"steps": [{"fail": "no primary yet"}]}}))
    node.start_manager()
    assert not (await manager.reaches(pb.BACKOFF)).may_lead


async def test_a_held_engine_waits_for_start(node: Node, manager: Manager) -> None:
    node.mount(node.document(hold=True))
    node.start_manager()
    held = await manager.reaches(pb.HELD)
    assert "waits for the platform's Start" in held.message
    assert (await manager.stub.Start(pb.StartRequest(), timeout=10)).state == pb.RUNNING


async def test_a_held_engine_that_was_released_stays_so_in_its_next_container(node: Node, manager: Manager) -> None:
    """What is mounted follows only after a minute."""
    node.mount(node.document(hold=True, revision=2))
    first = node.start_manager()
    node.start_tools()
    await manager.reaches(pb.HELD)
    async with node.channel(node.tools_port) as channel:
        tools = agent_pb2_grpc.ToolsStub(channel)
        files = pushed(node.document(hold=False, revision=3))
        request = pb.ReloadConfigRequest(files=files)
        assert (await tools.ReloadConfig(request, wait_for_ready=True, timeout=10)).success
    await manager.stub.Start(pb.StartRequest(), timeout=10)
    await manager.reaches(pb.RUNNING)
    first.terminate()
    first.wait(10)
    node.start_manager()
    assert (await manager.reaches(pb.RUNNING)).revision == 3


async def test_a_later_hold_counts_from_the_next_start_on(node: Node, manager: Manager) -> None:
    """It was taken in once, and is replaced again while nobody can reach it: an engine that ends stays away."""
    node.mount(node.document(hold=True, revision=2))
    node.start_manager()
    await manager.reaches(pb.HELD)
    running = await manager.stub.Start(pb.StartRequest(), timeout=10)
    node.mount(node.document(hold=True, revision=3))
    status = await manager.status()
    assert (status.state, status.revision, alive(running.pid)) == (pb.RUNNING, 3, True)
    os.kill(running.pid, signal.SIGKILL)
    await manager.reaches(pb.HELD)
    await manager.stub.Start(pb.StartRequest(), timeout=10)
    await manager.reaches(pb.RUNNING)


async def test_a_held_engine_starts_when_the_mounted_document_lifts_the_hold(node: Node, manager: Manager) -> None:
    node.mount(node.document(hold=True))
    node.start_manager()
    await manager.reaches(pb.HELD)
    node.mount(node.document(hold=False, revision=2))
    assert (await manager.reaches(pb.RUNNING)).revision == 2
