"""What the volume remembers: never more than the engine would load after its death."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from agent.record import Record, read_record, write_record
from agent.tools.memory import Memory
from tests.unit.agent.support import eventually

FOLLOWED = Record(app_uid="app", role="replica", last_seen=50_000, position="41", epoch=7, last_ready=50_000)
LED = replace(FOLLOWED, role="master", last_writable=50_000)


def of(path: Path, known: Record | None) -> Memory:
    """Of an agent whose engine has just begun."""
    if known is not None:
        write_record(path, known)
    memory = Memory(path, ThreadPoolExecutor(1))
    memory.process_began()
    return memory


async def see(
    memory: Memory,
    at: int,
    position: int,
    role: str = "replica",
    *,
    ready: bool = True,
    unsaved: bool = False,
    volatile: bool = False,
    app_uid: str = "app",
) -> None:
    """``at``: seconds. As the monitor tells it."""
    now, last = at * 1000, memory.of(app_uid)
    last_ready = now if ready else last.last_ready if last else 0
    writable = role == "master"
    found = Record(app_uid, role, now if writable else 0, now, str(position), 7, last_ready)
    memory.saw(found, writable=writable, ready=ready, unsaved=unsaved, volatile=volatile)
    await eventually(lambda: memory._writing is None or memory._writing.done(), what="it is written")


async def written(path: Path, what: Callable[[Record], bool]) -> Record:
    def found() -> Record | None:
        record = read_record(path)
        return record if record is not None and what(record) else None

    record: Record = await eventually(found, what=f"the record is not it: {read_record(path)}")
    return record


async def test_one_that_is_ready_and_has_saved_is_remembered_as_it_is(tmp_path: Path) -> None:
    await see(of(tmp_path, FOLLOWED), 60, 99)
    record = await written(tmp_path, lambda r: r.position == "99")
    assert (record.last_seen, record.last_ready) == (60_000, 60_000)


async def test_one_that_has_not_saved_stays_as_it_was_also_over_its_death(tmp_path: Path) -> None:
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99, unsaved=True)
    await see(memory, 70, 120, unsaved=True)
    assert memory.newest is not None
    assert memory.newest.last_ready == 70_000, "it is in sync, and may take over"
    memory.process_began()
    await see(memory, 80, 0, ready=False)
    assert memory.newest.last_ready == 50_000, "what it had not saved is gone"
    assert await written(tmp_path, lambda r: True) == FOLLOWED


async def test_one_that_begins_to_copy_is_as_far_as_before_until_it_has_saved_that(tmp_path: Path) -> None:
    """A restarted replica says 0 until it has copied; that is no reason to call it one that never had the data."""
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 0, ready=False)
    await see(memory, 66, 99, unsaved=True)
    assert await written(tmp_path, lambda r: True) == FOLLOWED
    await see(memory, 72, 100)
    assert (await written(tmp_path, lambda r: r.position == "100")).last_ready == 72_000


async def test_what_came_before_its_primary_was_lost_counts(tmp_path: Path) -> None:
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99)
    await see(memory, 66, 105, ready=False)
    await see(memory, 72, 105, ready=False)
    record = await written(tmp_path, lambda r: r.position == "105")
    assert (record.last_seen, record.last_ready) == (72_000, 60_000)


async def test_a_position_that_it_has_just_copied_does_not(tmp_path: Path) -> None:
    """It had not finished when it was asked whether it was ready, and had when it was asked how far it was."""
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99)
    await see(memory, 66, 500, ready=False)
    await see(memory, 72, 500, unsaved=True)
    await see(memory, 78, 501, ready=False, unsaved=True)
    assert (await written(tmp_path, lambda r: r.last_seen == r.last_ready)).position == "99"


async def test_one_that_takes_over_before_it_has_saved_is_primary_when_it_has(tmp_path: Path) -> None:
    """Else it would begin as primary again, with what it had before, and all others would copy that."""
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99, unsaved=True)
    await see(memory, 66, 120, "master", unsaved=True)
    record = await written(tmp_path, lambda r: r.last_writable == 66_000)
    assert replace(record, last_writable=0) == FOLLOWED, "since when others may lack something is known all the same"
    await see(memory, 72, 130, "master")
    assert (await written(tmp_path, lambda r: r.role == "master")).last_writable == 72_000


async def test_a_new_role_is_remembered_at_once(tmp_path: Path) -> None:
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99)
    await see(memory, 60, 99, "master", ready=False)
    assert (await written(tmp_path, lambda r: r.role == "master")).position == "99"


async def test_of_a_primary_that_returns_as_a_replica_nothing_counts_before_it_has_its_primarys(tmp_path: Path) -> None:
    """Its own data may be set aside: with its former position it could be told to begin, empty."""
    memory = of(tmp_path, LED)
    await see(memory, 60, 0, ready=False)
    record = await written(tmp_path, lambda r: r.role == "replica")
    assert (record.position, record.last_ready, record.last_seen) == ("", 0, 0)


async def test_nothing_of_an_earlier_app_counts(tmp_path: Path) -> None:
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99, unsaved=True, app_uid="another")
    record = await written(tmp_path, lambda r: r.app_uid == "another")
    assert (record.role, record.position, record.last_ready) == ("replica", "", 0)


async def test_a_replica_whose_engine_keeps_nothing_has_nothing_to_begin_with(tmp_path: Path) -> None:
    """Its process ends beside a primary that is cut off: told to lead, it would be empty, and that copied by all."""
    memory = of(tmp_path, FOLLOWED)
    await see(memory, 60, 99, volatile=True)
    record = await written(tmp_path, lambda r: r.last_seen == 60_000)
    assert (record.role, record.position, record.last_ready) == ("replica", "", 0)
    assert memory.newest is not None
    assert memory.newest.last_ready == 60_000, "while it runs it has it all"
    await see(memory, 66, 120, "master", volatile=True)
    assert (await written(tmp_path, lambda r: r.role == "master")).position == "120", "it is known to have had data"
