"""The App's passwords: read at each use, so that a rotated password is in effect at once, and kept out of all that is
shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote as percent_encoded

from language.quoting import QUOTINGS

_SECRET = re.compile(r"(?!\.)[-._A-Za-z0-9]+")
_USED, _ALSO, _OTHERS = ".used", ".also", (".next", ".former")
_REVISION = ".rotation"
"""Names of the Secret's keys, as in ``render.desired.credentials``."""
_MASK = "***"
_SHORTEST_MASKED = 4
"""Masking a shorter secret would blacken half the message and tell its length."""
_SHORTEST_LINE = 16
"""Of a secret of several lines (a key) each is masked by itself: they are not always shown together."""


class UnknownSecretError(Exception):
    """``secret.NAME`` that the App's credentials do not hold; a sentence."""


class Secrets:
    """One file per secret; a trailing newline, which editors and ``kubectl create secret`` leave, is not part of it.

    While a password is changed there are two. ``NAME`` in the folder is what people read and write; what engines were
    given, and are logged in with, is ``NAME.used``, so nobody's edit of the Secret closes an engine. The other one that
    is valid meanwhile is ``NAME.next`` or ``NAME.former``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._link = directory / "..data"
        self._version = ""
        self._masked: list[str] = []
        self._seen: set[str] = set()
        """What was a secret in this agent's life: an engine may still print the one that it was started with."""

    def get(self, name: str) -> str:
        """What is in use; ``NAME.also``: the other one that is valid, while there is one, else the same. Raises
        UnknownSecretError."""
        if _SECRET.fullmatch(name) is None:
            raise UnknownSecretError(f"secret.{name} is not a name of a secret")
        for file in _files_of(name):
            if (text := self._read(file)) is not None:
                return text
        there = any(self._bytes(file) is not None for file in _files_of(name))
        held = f"{name!r} that is UTF-8 text" if there else repr(name)
        raise UnknownSecretError(f"secret.{name} is unknown: the App's credentials hold no {held}")

    def changed(self) -> str:
        """Not empty where somebody has written another password than the one in use; another text for each edit."""
        try:
            used = [name for name in os.listdir(self._directory) if name.endswith(_USED)]
        except OSError:
            return ""
        # What somebody has written may be no text at all: it is another one all the same.
        pairs = [(self._bytes(name.removesuffix(_USED)), self._read(name)) for name in used]
        edited = any(written and in_use is not None and written != in_use.encode() for written, in_use in pairs)
        return (self.version() or "changed") if edited else ""

    def revision(self) -> str:
        """As the platform has numbered what is mounted; empty where it has not."""
        return self._read(_REVISION) or ""

    def _read(self, file: str) -> str | None:
        return _text(self._bytes(file))

    def _bytes(self, file: str) -> bytes | None:
        try:
            return (self._directory / file).read_bytes().rstrip(b"\r\n")
        except OSError:
            return None

    def version(self) -> str:
        """Another one where any of them may be another; empty where that cannot be told."""
        try:
            return os.readlink(self._link)
        except OSError:
            return ""

    def mask(self, text: str) -> str:
        """``text`` with each secret's value blackened."""
        for value in self._worth_masking():
            text = text.replace(value, _MASK)
        return text

    def masked(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Each of them."""
        masked = dict(texts)
        for value in self._worth_masking():
            for key, text in masked.items():
                if value in text:
                    masked[key] = text.replace(value, _MASK)
        return masked

    def _worth_masking(self) -> list[str]:
        """The longest first. Each poll has results that are masked, so they are read again only where they may have
        changed: the kubelet swaps all files at once, through a link to a folder of a new name."""
        version = self.version()
        if version and version == self._version:
            return self._masked
        values, complete = self._values()
        self._seen |= {form for value in values for form in _forms(value) if len(form) >= _SHORTEST_MASKED}
        self._masked, self._version = sorted(self._seen, key=len, reverse=True), version if complete else ""
        return self._masked

    def _values(self) -> tuple[list[str], bool]:
        """All that can be read, and whether these are all."""
        try:
            names = [name for name in os.listdir(self._directory) if not name.startswith(".")]
        except OSError:
            return [], False
        values, complete = [], True
        for name in names:
            held = self._bytes(name)
            complete = complete and held is not None
            if (value := _text(held)) is not None:
                values.append(value)
        return values, complete


def _text(held: bytes | None) -> str | None:
    """What is no text is as good as not there; so the platform reads it too."""
    try:
        return held.decode() if held is not None else None
    except UnicodeDecodeError:
        return None


def _files_of(name: str) -> Iterator[str]:
    """The first that is there holds it."""
    own = name.removesuffix(_ALSO)
    if own != name:
        yield from (f"{own}{ending}" for ending in _OTHERS)
    yield from (f"{own}{_USED}", own)


def _forms(value: str) -> Iterator[str]:
    """A secret as it may be printed: as it is, and as files, statements and addresses quote it."""
    yield value
    for form in (quoting(value) for quoting in QUOTINGS.values()):
        yield form[1:-1] if form.startswith('"') and form != value else form
    yield value.replace("\\", "\\\\").replace("'", "\\'")
    yield value.replace("'", "''")
    yield value.replace("\\", "\\\\").replace("'", "''")
    yield percent_encoded(value, safe="")
    if "\n" in value:
        yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE)
