"""``atStart`` in templates: what only the running node knows, written down for the agent to evaluate.

The platform renders a file long before the engine starts, and knows neither a Secret nor what ``preStart`` will find.
``{{ atStart.secret.password | quoted }}`` therefore becomes the expression itself, between two signs that no value of
an App can hold (``render.plugin.parameters`` refuses them), and the agent puts its value there just before a start.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import jinja2

OPEN, CLOSE = "\ue000", "\ue001"
NAME = "atStart"
_WHOLE = frozenset({"default", "d", "first", "join", "last", "list", "raw", "string", "trim"})
"""Filters that leave a text as it is."""


_WRITTEN = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")


def shown(text: str) -> str:
    """A rendered file for people to read: with the expressions that the agent will put in, and not their signs."""
    return _WRITTEN.sub(lambda found: f"{{{{ {NAME}.{found.group(1)} }}}}", text)


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

    def filtered(self, name: str, *arguments: Any, **named: Any) -> AtStart:
        given = ", ".join([*map(repr, arguments), *(f"{key}={value!r}" for key, value in named.items())])
        return AtStart(f"{self._expression} | {name}{f'({given})' if given else ''}")

    def __repr__(self) -> str:
        """As it stands among the arguments of another's filter."""
        return f"({self._expression})"

    def __str__(self) -> str:
        return f"{OPEN}{self._expression}{CLOSE}"

    def _undecided(self, *_: object) -> NoReturn:
        raise jinja2.TemplateRuntimeError(
            f"{NAME}.{self._expression} is known only as the engine starts: it can be printed, not decided by; let "
            "preStart decide, and print its result"
        )

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __len__ = __iter__ = _undecided
    __hash__ = None  # type: ignore[assignment]


def deferring(name: str, own: Callable[..., Any], *, known: bool) -> Callable[..., Any]:
    """The filter, which the agent calls where its value is known only there. ``known``: the agent has it too."""
    at = 0 if getattr(own, "jinja_pass_arg", None) is None else 1

    @wraps(own)  # which also keeps what Jinja2 notes on a filter: that it is given the environment
    def either(*arguments: Any, **named: Any) -> Any:
        value = arguments[at]
        if isinstance(value, str) and OPEN in value and name not in _WHOLE:
            raise jinja2.TemplateRuntimeError(
                f"{name} would change the text of {NAME} itself, not its value; apply it to each part by itself: "
                f"{{{{ {NAME}.… | {name} }}}}"
            )
        if not isinstance(value, AtStart):
            return own(*arguments, **named)
        if not known:
            raise jinja2.TemplateRuntimeError(
                f"{NAME}.… | {name}: the agents, which evaluate it, have no filter {name!r}; docs/plugin-reference.md "
                "lists those that they have"
            )
        return value.filtered(name, *arguments[at + 1 :], **named)

    return either


def undecided(own: Callable[..., Any]) -> Callable[..., Any]:
    """The test, which cannot be made of what is known only as the engine starts."""
    at = 0 if getattr(own, "jinja_pass_arg", None) is None else 1

    @wraps(own)
    def either(*arguments: Any, **named: Any) -> Any:
        if isinstance(arguments[at], AtStart):
            return bool(arguments[at])  # which says so
        return own(*arguments, **named)

    return either
