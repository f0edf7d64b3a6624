"""Writing files so that a crash leaves the old content or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

_LEFT = re.compile(r"\.(?P<name>.+)\.([0-9a-f]{16}|1)\.tmp")
"""A temporary file of ours. Agents of earlier versions put their process's number there, which is 1 in a container."""
_LEFT_AFTER = 3600.0
"""Seconds after which nobody writes a temporary file any more: the other agent may be about to."""


def write_atomically(path: Path, content: bytes, mode: int = 0o640, *, durable: bool = True) -> None:
    """Temporary file beside ``path``, fsync, rename, fsync of the directory; parent directories are made.

    Not ``durable``: without fsync. Whole for whoever reads it, but a crash of the machine may cost all of it.
    """
    # By chance, and not by the process: both agents write to the volume, each as process 1 of its own container.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(temporary, flags, mode)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, flags, mode)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask says
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_directory(path.parent)


def remove_leftovers(directory: Path, names: Iterable[str] | None = None) -> None:
    """Temporary files of agents that were killed while they wrote; ``names``: of these files only.

    Best effort: they only take space.
    """
    only = None if names is None else set(names)
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            found = _LEFT.fullmatch(path.name)
            if found is None or (only is not None and found["name"] not in only):
                continue
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFT_AFTER:
                    path.unlink()


def remove_tree(directory: Path) -> None:
    """Links are removed, and not what they lead to; a folder that is not there is none. shutil is not in the agents'
    bundle. Raises OSError."""
    for folder, directories, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        for name in directories:
            path = os.path.join(folder, name)
            (os.unlink if os.path.islink(path) else os.rmdir)(path)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(directory)


def write_if_changed(path: Path, content: bytes, mode: int = 0o640) -> bool:
    """True where something was written."""
    try:
        if path.read_bytes() == content:
            return False
    except OSError:
        pass
    write_atomically(path, content, mode)
    return True


def remove(path: Path) -> None:
    """Removes a file durably; nothing happens where there is none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
