"""``atStart`` in templates: what only the running node knows, written down for the agent to evaluate.

The platform renders a file long before the engine starts, and knows neither a Secret nor what ``preStart`` will find.
``{{ atStart.secret.password | quoted }}`` therefore becomes the expression itself, between two signs that no value of
an App can hold (``render.plugin.parameters`` refuses them), and the agent puts its value there just before a start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import jinja2

OPEN, CLOSE = "\ue000", "\ue001"
NAME = "atStart"


class AtStart:
    """An expression of names and filters. It can be printed; nothing can be decided by it."""

    def __init__(self, expression: str = "") -> None:
        self._expression = expression

    def __getattr__(self, name: str) -> AtStart:
        if name.startswith("_"):
            raise AttributeError(name)
        return AtStart(f"{self._expression}.{name}" if self._expression else name)

    def __getitem__(self, name: str) -> AtStart:
        return AtStart(f"{self._expression}[{name!r}]")

    def filtered(self, name: str, *arguments: Any) -> AtStart:
        given = f"({', '.join(map(repr, arguments))})" if arguments else ""
        return AtStart(f"{self._expression} | {name}{given}")

    def __str__(self) -> str:
        return f"{OPEN}{self._expression}{CLOSE}"

    def _undecided(self, *_: object) -> NoReturn:
        raise jinja2.TemplateRuntimeError(
            f"{NAME}.{self._expression} is known only as the engine starts: it can be printed, not decided by; let "
            "preStart decide, and print its result"
        )

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __len__ = __iter__ = _undecided
    __hash__ = None  # type: ignore[assignment]


def deferring(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, which the agent calls where its value is known only there."""

    def either(value: Any, *arguments: Any) -> Any:
        return value.filtered(name, *arguments) if isinstance(value, AtStart) else own(value, *arguments)

    return either
