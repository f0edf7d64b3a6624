"""How a step says that it failed."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 240


class StepError(Exception):
    """What was expected and what was answered; the interpreter adds tool and step, and masks secrets."""


class ToolError(Exception):
    """A sentence for an operator: tool, step, expectation, answer. Secrets are masked. ``values``: of its result, what
    was known by then."""

    def __init__(self, message: str, values: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.values = values or {}


def shown(text: str) -> str:
    """An answer in one short line."""
    line = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text)} characters)")
    return line if text else "nothing"
