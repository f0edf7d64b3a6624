"""``bootstrap``: an engine's data made once, whole or not at all.

The tool works in a directory beside the one that it is for, which it becomes by a rename when all has succeeded and is
on the disk. A try that failed, or was killed, has only made something that the next one removes. So an engine never
starts on half of its users.

It is done never twice and never over data: where the directory holds anything it stands, and a volume that was
bootstrapped, or has had a role, and holds nothing now has lost its data. To begin anew there would hide that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.document import NodeDocument
from agent.record import has_record
from agent.settings import Settings
from agent.storage import remove_tree, write_atomically
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter

BOOTSTRAP = "bootstrap"
_MARK = "bootstrapped"
_TRY = ".bootstrap"


class LostDataError(Exception):
    """There were data, and they are gone; a sentence."""


async def bootstrap(document: NodeDocument, interpreter: Interpreter, known: Mapping[str, Any], role: str) -> None:
    """Where there is anything to be done. ``role``: as what the engine begins, by ``preStart``.

    Raises ToolError, LostDataError, OSError, PathRefusedError."""
    tool = document.tools.get(BOOTSTRAP)
    if tool is None or not _begins(document, known, role):
        return  # what others have, it gets from them
    settings = interpreter.settings
    directory = settings.locate(f"{settings.data_dir}/{tool.directory}")
    if await asyncio.to_thread(_stands, directory, settings):
        return
    trial = directory.with_name(directory.name + _TRY)
    await asyncio.to_thread(_make_empty, trial)
    await interpreter.run(BOOTSTRAP, document.toolbox, known, arguments={"directory": str(trial)})
    if not await asyncio.to_thread(_holds_something, trial):
        raise ToolError(f"tool {BOOTSTRAP}: it has made nothing in arg.directory")
    await asyncio.to_thread(_put_in_place, trial, directory, settings)


def _begins(document: NodeDocument, known: Mapping[str, Any], role: str) -> bool:
    """The platform says who may begin with nothing, as long as nobody can have data; without a writable role each node
    has data of its own."""
    if not document.writable_roles:
        return True
    first = known.get("bootstrap") or {}
    return first.get("name") == document.node.name and (not role or role in document.writable_roles)


def _stands(directory: Path, settings: Settings) -> bool:
    """Whether there are data. Raises LostDataError."""
    mark = settings.state_dir / _MARK
    if _holds_something(directory):
        if not mark.exists():
            write_atomically(mark, b"")
        return True
    if mark.exists() or has_record(settings.state_dir):
        raise LostDataError(
            f"{directory} is empty, and the volume has had data: they are not made anew. Put them back, or, where "
            "another node has them, give this one an empty volume"
        )
    return False


def _holds_something(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())


def _make_empty(directory: Path) -> None:
    if directory.exists():
        remove_tree(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700)


def _put_in_place(trial: Path, directory: Path, settings: Settings) -> None:
    for path in (*(each for each in trial.rglob("*") if not each.is_symlink()), trial):
        if path.is_file() or path.is_dir():
            _sync(path)  # before its name says that it is whole
    if directory.exists():
        directory.rmdir()
    trial.rename(directory)
    _sync(directory.parent)
    write_atomically(settings.state_dir / _MARK, b"")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
