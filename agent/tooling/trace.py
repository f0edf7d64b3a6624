"""What a run of a tool did, for the author of its plugin: each step, what was sent, what came, what was made of it.

Off unless somebody has asked for it. Lines go out with the output of programs. Whoever passes ``line`` masks secrets;
what is cut is masked before, by ``mask``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.document import Step
from agent.tooling.failure import SHOWN, Mask, cut

_INDENT = "  "
_LONGEST = 400
_ACTIONS = ("resp", "mysql", "postgresql", "tcp", "http", "run", "write", "restart", "reload", "set", "fail", "steps")


@dataclass(frozen=True)
class Trace:
    """``line``: None where nobody reads it. ``mask``: for what is cut."""

    line: Callable[[str], None] | None = None
    mask: Mask = str
    whole: bool = False
    """Nothing is cut."""

    @property
    def on(self) -> bool:
        return self.line is not None

    def passed_over(self, position: str, step: Step) -> None:
        if self.line is not None:
            self.line(f"{position}: passed over, {step.when} does not hold")

    def begins(self, position: str, step: Step) -> None:
        if self.line is not None:
            condition = f", as {step.when} holds" if step.when else ""
            self.line(f"{position}: {_action(step)}{condition}")

    def sent(self, what: str, where: str) -> None:
        if self.line is not None:
            self.line(f"{_INDENT}to {where}: {what}")

    def found(self, names: Mapping[str, Any]) -> None:
        if self.line is not None:
            for name, value in names.items():
                self.line(f"{_INDENT}{name} = {self._shown(repr(value), _LONGEST)}")

    def judged(self, what: str, expression: str, value: object) -> None:
        if self.line is not None:
            self.line(f"{_INDENT}{what} {expression}: {self._shown(repr(str(value)), SHOWN)}")

    def _shown(self, text: str, longest: int) -> str:
        masked = self.mask(text)
        return masked if self.whole else cut(masked, longest)

    def failed(self, error: object) -> None:
        if self.line is not None:
            self.line(f"{_INDENT}failed: {error}")


def _action(step: Step) -> str:
    if step.call is not None:
        return f"call {step.call}"
    return next((name for name in _ACTIONS if getattr(step, name) not in (None, ())), "nothing")
