"""The names of one run of a tool: what the platform told, what the node knows, and what earlier steps found.

Secrets are read at each use, so a rotated one is in effect at once, and are known only where nothing of them can reach
a command line or a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.tooling.secrets import Secrets, UnknownSecretError
from language.expressions import EndlessError, ExpressionError, expression

SECRET, ALSO = "secret", "alsoValid"
"""``secret.password``: the password in use; ``alsoValid.password``: the other one that is valid while passwords are
changed, at other times the same."""


class Scope:
    """``given``: by the platform, the node and the caller. ``vars``: the plugin's named expressions, evaluated at each
    use, so that they may speak of results. ``found``: what steps named."""

    def __init__(self, given: Mapping[str, Any], named: Mapping[str, Any], secrets: Secrets) -> None:
        self.given = given
        self.found: dict[str, Any] = {}
        self.secrets = secrets
        self._named = named
        self._open = False
        self._asked: list[str] = []

    def __contains__(self, name: object) -> bool:
        return name in self.found or name in self._named or name in self.given or name in (SECRET, ALSO)

    def get(self, name: str) -> Any:
        """Raises ExpressionError."""
        if name in self.found:
            return self.found[name]
        if name in self._named:
            return self._evaluated(name)
        if name in (SECRET, ALSO):
            if not self._open:
                raise ExpressionError(f"{name} is not allowed here: a secret must not reach a command line or a log")
            return _SecretValues(self.secrets, ".also" if name == ALSO else "")
        return self.given[name]

    def _evaluated(self, name: str) -> Any:
        written = self._named[name]
        if not isinstance(written, str):
            return written
        if name in self._asked:
            raise EndlessError(f"vars.{name} asks for itself: {' -> '.join([*self._asked, name])}")
        self._asked.append(name)
        try:
            return expression(written)(self)
        except ExpressionError as error:
            raise type(error)(f"vars.{name}: {error}") from error
        finally:
            self._asked.pop()

    @contextmanager
    def with_secrets(self) -> Iterator[None]:
        """Within, ``secret`` is known."""
        before, self._open = self._open, True
        try:
            yield
        finally:
            self._open = before

    @contextmanager
    def item(self, value: Any) -> Iterator[None]:
        """Within, ``item`` is ``value``."""
        missing = object()
        before = self.found.get("item", missing)
        self.found["item"] = value
        try:
            yield
        finally:
            if before is missing:
                del self.found["item"]
            else:
                self.found["item"] = before

    def inner(self, arguments: Mapping[str, Any]) -> Scope:
        """Of a sequence that is called: it sees what was given, its own arguments, and nothing that the caller
        found."""
        return Scope(dict(self.given) | {"arg": dict(arguments)}, self._named, self.secrets)


class _SecretValues(Mapping[str, str]):
    def __init__(self, secrets: Secrets, ending: str) -> None:
        self._secrets = secrets
        self._ending = ending

    def __getitem__(self, name: str) -> str:
        try:
            return self._secrets.get(name + self._ending)
        except UnknownSecretError as error:
            raise ExpressionError(str(error)) from error

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
