"""An engine's data are made once, whole or not at all, and never over others."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from proto import agent_pb2 as pb
from tests.unit.agent.support import Manager, Node, eventually

NAME = "shop-engine-main-0"
MAKE = """
echo "$USERS" > "$1/users"
echo made >> /proc/self/cwd/tries
[ -e slow ] && { echo $$ > "$1/pid"; exec sleep 1000; }
mkdir -p "$1/base/1" && echo x > "$1/base/1/x" && ln -s /proc/self/cwd "$1/link"
[ -e broken ] && { echo "role app already exists" >&2; exit 1; }
echo whole > "$1/whole"
"""


def tools(script: str = MAKE, **more: Any) -> dict[str, Any]:
    run = {
        "argv": ["/bin/sh", "-c", script, "sh", "{{ arg.directory }}"],
        "env": {"USERS": "app:{{ secret.password }}"},
    }
    return {"bootstrap": {"directory": "data/main", "timeout": 60, "steps": [{"run": run, "timeout": 60}]}, **more}


def start(node: Node, given: dict[str, Any] | None = None, **changes: Any) -> None:
    (node.root / "secrets" / "password").write_text("s3cret\n")
    process = {"directories": ["data"]}
    node.mount(node.document(tools=given or tools(), process=process, **changes))
    node.start_manager()


def tries(node: Node) -> int:
    path = node.data / "tries"
    return len(path.read_text().splitlines()) if path.exists() else 0


def main(node: Node) -> Path:
    return node.data / "data" / "main"


async def restarted(node: Node, manager: Manager) -> None:
    node.processes[-1].terminate()
    node.processes[-1].wait(20)
    node.start_manager()


async def test_the_data_are_made_before_the_first_start_and_at_no_other(node: Node, manager: Manager) -> None:
    start(node)
    await manager.reaches(pb.RUNNING)
    assert (main(node) / "users").read_text() == "app:s3cret\n"
    assert (main(node) / "whole").exists()
    assert sorted(each.name for each in main(node).parent.iterdir()) == ["main"]
    await restarted(node, manager)
    await manager.reaches(pb.RUNNING)
    assert tries(node) == 1


async def test_a_try_that_fails_leaves_no_half_and_the_next_begins_anew(node: Node, manager: Manager) -> None:
    (node.data / "broken").touch()
    start(node)
    status = await manager.reaches(pb.BACKOFF)
    assert "tool bootstrap, step 1: " in status.message
    assert "role app already exists" in status.message
    assert "s3cret" not in status.message
    assert not main(node).exists()
    (node.data / "broken").unlink()
    await manager.reaches(pb.RUNNING)
    assert (main(node) / "whole").exists()


async def test_an_agent_that_is_killed_in_the_middle_leaves_no_half(node: Node, manager: Manager) -> None:
    (node.data / "slow").touch()
    start(node)
    trial = node.data / "data" / "main.bootstrap"
    await eventually(lambda: (trial / "pid").exists() and (trial / "pid").read_text().strip(), what="at work")
    pid = int((trial / "pid").read_text())
    (node.data / "slow").unlink()
    node.processes[-1].kill()
    node.processes[-1].wait(5)
    os.kill(pid, signal.SIGKILL)  # as its container ends with it
    assert not main(node).exists()
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    assert sorted(each.name for each in main(node).iterdir()) == ["base", "link", "users", "whole"]


async def test_data_that_are_there_are_never_touched(node: Node, manager: Manager) -> None:
    main(node).mkdir(parents=True)
    (main(node) / "orders").write_text("mine")
    start(node)
    await manager.reaches(pb.RUNNING)
    assert ([each.name for each in main(node).iterdir()], tries(node)) == (["orders"], 0)


async def test_where_data_are_lost_none_are_made_in_their_place(node: Node, manager: Manager) -> None:
    start(node)
    await manager.reaches(pb.RUNNING)
    node.processes[-1].terminate()
    node.processes[-1].wait(20)
    shutil.rmtree(main(node))
    node.start_manager()
    status = await manager.reaches(pb.BACKOFF)
    assert f"{main(node)} is empty, and the volume has had data: they are not made anew" in status.message
    assert tries(node) == 1


@pytest.mark.parametrize(
    ("bootstrap", "role", "made"),
    [(NAME, "", 1), (NAME, "primary", 1), (NAME, "replica", 0), ("shop-engine-main-1", "", 0), (None, "", 0)],
)
async def test_of_a_component_with_a_primary_only_the_first_one_makes_them(
    node: Node, manager: Manager, bootstrap: str | None, role: str, made: int
) -> None:
    """Whoever else began with data of its own would have another history."""
    first = None if bootstrap is None else {"name": bootstrap}
    begins = {"steps": [{"set": {"role": role}}], "result": {"role": "{{ role }}"}}
    start(
        node,
        tools(preStart=begins),
        names={"bootstrap": first},
        roles=["primary", "replica"],
        writableRoles=["primary"],
    )
    await manager.reaches(pb.RUNNING)
    assert tries(node) == made


async def test_a_tool_that_makes_nothing_has_not_made_the_data(node: Node, manager: Manager) -> None:
    start(node, tools("true"))
    status = await manager.reaches(pb.BACKOFF)
    assert "tool bootstrap: it has made nothing in arg.directory" in status.message
