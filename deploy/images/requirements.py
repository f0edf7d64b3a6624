"""A part of the hashed lock, and the wheels for it: images install from a local folder, without network.

The lock is the one that the tests ran with, so an image holds the same versions, checked by the same hashes.
"""

import hashlib
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

PYTHON_VERSION = "3.11"  # Debian 12's
# Every manylinux level up to the C library of Debian 12 (2.36); the agent bundle carries that library with it.
MANYLINUX = ("manylinux_2_36", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")


def normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> dict[str, str]:
    """The lock's entries by normalized name, each with its hashes and its `# via` comment."""
    found: dict[str, str] = {}
    current = ""
    for line in lock.splitlines():
        match = _ENTRY.match(line)
        if match:
            current = normalized(match.group(1))
            found[current] = line + "\n"
        elif current and line[:1].isspace():
            found[current] += line + "\n"
        else:
            current = ""
    return found


def _wanted_by(entry: str) -> set[str]:
    """The names in an entry's `# via` comment, which stands on one line or on one line each."""
    comments = [line.strip().lstrip("#").strip() for line in entry.splitlines() if line.lstrip().startswith("#")]
    names = [comment.removeprefix("via").strip() for comment in comments]
    return {normalized(name.split()[0]) for name in names if name}


def subset(lock: str, roots: Iterable[str]) -> str:
    """The lock cut down to the roots and all they require, hashes kept. No roots: the whole lock.

    Raises ValueError where a root is not in the lock.
    """
    known = entries(lock)
    chosen = {normalized(root) for root in roots} or set(known)
    missing = sorted(chosen - set(known))
    if missing:
        raise ValueError(f"requirements.lock does not pin {', '.join(missing)}; run `make lock`")
    while grown := {name for name, entry in known.items() if name not in chosen and _wanted_by(entry) & chosen}:
        chosen |= grown
    return "".join(known[name] for name in sorted(chosen))


def wheels(requirements: str, cache: Path, run: Callable[[list[str]], None]) -> Path:
    """The folder with exactly the wheels that the requirements pin, downloaded once.

    `run` runs one command and raises where it fails.
    """
    machine = platform.machine()
    key = hashlib.sha256(f"{PYTHON_VERSION} {machine} {MANYLINUX}\n{requirements}".encode()).hexdigest()[:16]
    folder = cache / "wheels" / key
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{key}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    listing = cache / "wheels" / f"{key}.txt"
    listing.write_text(requirements)
    platforms = [word for level in MANYLINUX for word in ("--platform", f"{level}_{machine}")]
    run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--require-hashes", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_VERSION,
            *platforms, "--dest", str(partial), "-r", str(listing),
        ]
    )  # fmt: skip
    partial.rename(folder)
    return folder
