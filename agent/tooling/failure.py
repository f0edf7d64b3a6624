"""How a step says that it failed."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 240


class StepError(Exception):
    """What was expected and what was answered; the interpreter adds tool and step, and masks secrets."""


class RefusedError(Exception):
    """Agent 1 has not done what agent 2 asked for; a sentence."""


class LoginRefusedError(StepError):
    """The peer is there and has answered the login by what the plugin says is a refusal of the credentials."""


class ToolError(Exception):
    """A sentence for an operator: tool, step, expectation, answer. Secrets are masked. ``values``: of its result, what
    was known by then. ``login_refused``: it failed since a peer did not accept the login."""

    def __init__(self, message: str, values: Mapping[str, str] | None = None, *, login_refused: bool = False) -> None:
        super().__init__(message)
        self.values = values or {}
        self.login_refused = login_refused


def shown(text: str) -> str:
    """An answer in one short line."""
    line = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text)} characters)")
    return line if text else "nothing"
