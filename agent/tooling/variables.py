"""``${name}`` filled in, and secrets kept out of everything that is shown.

A name that some step of the tool may capture or set is empty until it does, so a later ``when`` can ask for it; any
other unknown name fails with that name. Secrets are read at each use: a rotated one is in effect at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_NAME = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_MASK = "***"
_SHORTEST_MASKED = 4
"""Masking a shorter secret would blacken half the message and tell its length."""


class UnknownNameError(Exception):
    """``${name}`` that nothing defines; a sentence."""


class Secrets:
    """One file per secret; a trailing newline, which editors and ``kubectl create secret`` leave, is not part of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str) -> str:
        """Raises UnknownNameError."""
        if not re.fullmatch(r"[-._A-Za-z0-9]+", name) or name.startswith("."):
            raise UnknownNameError(f"${{secret.{name}}} is not a name of a secret")
        try:
            return (self._directory / name).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise UnknownNameError(f"${{secret.{name}}} is unknown: the App's credentials hold no {name!r}") from error

    def mask(self, text: str) -> str:
        """``text`` with each secret's value blackened."""
        try:
            names = [p.name for p in self._directory.iterdir() if not p.name.startswith(".")]
        except OSError:
            return text
        values = []
        for name in names:
            try:
                values.append(self.get(name))
            except (UnknownNameError, UnicodeDecodeError):
                continue
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= _SHORTEST_MASKED:
                text = text.replace(value, _MASK)
        return text


class Variables:
    """The names of one run of a tool. ``known`` is changed by captures; ``item`` names come and go with the loop."""

    def __init__(self, known: Mapping[str, str], secrets: Secrets) -> None:
        self.known: dict[str, str] = dict(known)
        self._secrets = secrets

    def fill(self, text: str, *, secrets: bool = False, quote: Callable[[str], str] = str) -> str:
        """Raises UnknownNameError, also for a secret where ``secrets`` is false. ``quote`` is put on each value."""
        if "${" not in text:
            return text

        def value(match: re.Match[str]) -> str:
            name = match.group(1)
            if name is None:
                return "${"
            return quote(self._lookup(name, secrets))

        return _NAME.sub(value, text)

    def pattern(self, text: str) -> re.Pattern[str]:
        """A regular expression in which filled-in values are matched literally."""
        return re.compile(self.fill(text, quote=re.escape), re.MULTILINE)

    def _lookup(self, name: str, secrets: bool) -> str:
        if name.startswith("secret."):
            if not secrets:
                raise UnknownNameError(
                    f"${{{name}}} is not allowed here: a secret must not reach a command line or a log"
                )
            return self._secrets.get(name.removeprefix("secret."))
        try:
            return self.known[name]
        except KeyError:
            raise UnknownNameError(f"${{{name}}} is unknown") from None
