"""Keys over content: an image is built again when, and only when, something that goes into it has changed."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

# Raise it when the way of building changes in a way that no file below shows.
BUILDER = "1"

_NOT_SOURCE = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def files(folder: Path) -> list[Path]:
    """All files below a folder in a stable order, without caches and compiled bytecode."""
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink())
        and not _NOT_SOURCE.intersection(path.relative_to(folder).parts)
        and path.suffix != ".pyc"
    )


def tree_digest(folder: Path) -> str:
    """SHA-256 over names, executable bits and content of a folder; times and owners do not count."""
    digest = hashlib.sha256()
    for path in files(folder):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        kind = "link" if path.is_symlink() else "program" if path.stat().st_mode & 0o100 else "file"
        digest.update(f"{path.relative_to(folder)}\0{kind}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def key(parts: Iterable[str]) -> str:
    """A short key over parts in order. The lengths go in too: ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in (BUILDER, *parts):
        encoded = part.encode()
        digest.update(f"{len(encoded)}\0".encode() + encoded)
    return digest.hexdigest()[:16]
