"""How an engine ended, in one sentence: one that the kernel killed for want of memory tells the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from agent.engine.end import End, keeps_ending, quantity
from agent.engine.memory import ContainerMemory, Kills
from agent.engine.output import LineSource
from agent.process.reaper import Child
from agent.process.run import EngineRun

KILLED = "redis-server ended by itself within a second with exit code 137"


class Group:
    """The kernel's files of a control group; ``version`` 1 or 2, ``inside`` as a container sees its own."""

    def __init__(self, root: Path, version: int, *, inside: bool) -> None:
        path = "/kubepods/pod-1/container-1"
        top = root / "cgroup" if version == 2 else root / "cgroup" / "memory"
        self.folder = top if inside else top / path.lstrip("/")
        self.folder.mkdir(parents=True)
        self.version, self.own = version, root / "own"
        self.own.write_text(f"0::{path}\n" if version == 2 else f"9:cpu,cpuacct:/\n8:memory:{path}\n0::/\n")
        self.say(kills=0, at_limit=0, limit="268435456")
        self.memory = ContainerMemory(root / "cgroup", self.own)

    def say(self, *, kills: int, at_limit: int, limit: str) -> None:
        if self.version == 2:
            (self.folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 7\noom {at_limit}\noom_kill {kills}\n")
            (self.folder / "memory.max").write_text(f"{limit}\n")
        else:
            (self.folder / "memory.oom_control").write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n")
            (self.folder / "memory.failcnt").write_text(f"{at_limit}\n")
            unlimited = limit == "max"
            (self.folder / "memory.limit_in_bytes").write_text("9223372036854771712\n" if unlimited else f"{limit}\n")


@pytest.fixture(params=[(1, True), (1, False), (2, True), (2, False)])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Group:
    version, inside = request.param
    return Group(tmp_path, version, inside=inside)


async def _ended(group: Group, code: int, meanwhile: Callable[[], None]) -> End:
    exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    output = cast(LineSource, type("Output", (), {"last_lines": lambda _: ["the last line"]})())
    run = EngineRun(
        "redis-server", cast(Child, type("Child", (), {"exited": exited, "pid": 7})()), output, group.memory
    )
    meanwhile()
    exited.set_result(code)
    return run.end(str)


async def test_it_is_told_with_the_limit(group: Group) -> None:
    end = await _ended(group, 137, lambda: group.say(kills=1, at_limit=3, limit="268435456"))
    assert (end.out_of_memory, end.memory_limit) == (True, 256 * 2**20)
    assert end.sentence() == f"{KILLED}: out of memory (limit 256Mi)"


async def test_one_that_somebody_killed_had_memory(group: Group) -> None:
    end = await _ended(group, 137, lambda: None)
    assert end.sentence() == KILLED


async def test_one_that_goes_on_after_the_loss_of_a_child_and_ends_otherwise_is_believed(group: Group) -> None:
    end = await _ended(group, 1, lambda: group.say(kills=1, at_limit=3, limit="268435456"))
    assert end.sentence().endswith("with exit code 1, saying: the last line")


async def test_the_machines_want_is_not_the_containers(group: Group) -> None:
    end = await _ended(group, 137, lambda: group.say(kills=1, at_limit=0, limit="268435456"))
    assert end.sentence().endswith("out of memory (the machine's, or the Pod's)")
    end = await _ended(group, 137, lambda: group.say(kills=2, at_limit=1, limit="max"))
    assert end.sentence().endswith("out of memory (the machine's, or the Pod's)")


def test_where_the_kernel_tells_nothing_nothing_is_said(tmp_path: Path) -> None:
    memory = ContainerMemory(tmp_path, tmp_path / "own")
    assert (memory.kills(), memory.limit()) == (Kills(), 0)


@pytest.mark.parametrize(
    ("size", "written"),
    [(2**30, "1Gi"), (1536 * 2**20, "1536Mi"), (499998720, "about 477Mi")],
)
def test_a_size_is_written_as_kubernetes_writes_it(size: int, written: str) -> None:
    assert quantity(size) == written


@pytest.mark.parametrize(("failures", "told"), [(5, 5), (6, 5), (19, 10), (20, 20), (999, 500), (5000, 5000), (4, 2)])
def test_how_often_it_ended_is_told_in_steps_as_each_wording_is_an_event(failures: int, told: int) -> None:
    end = End("redis-server", 1, 12.3)
    ended = "redis-server ended by itself after 12 s with exit code 1"
    assert keeps_ending(failures, end) == f"keeps ending, {told} times or more in a row: {ended}"
