"""How a step says that it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from language.patterns import pattern

SHOWN = 240
LONGEST_PICKED = 1000
"""Characters of what an author has picked."""

Mask = Callable[[str], str]
"""Blackens the secrets in a text."""


class StepError(Exception):
    """What was expected and what was answered; the interpreter adds tool and step, and masks secrets. ``answer``: all
    that was answered, where ``saying`` can be followed by a part of it."""

    def __init__(self, message: str, *, saying: str = "", answer: str = "") -> None:
        super().__init__(message)
        self.saying, self.answer = saying, answer


def answered(saying: str, answer: str, mask: Mask) -> StepError:
    """A failure that ends with what was answered."""
    return StepError(f"{saying} {shown(answer, mask)}", saying=saying, answer=answer)


def picked(written: str, answer: str) -> str | None:
    """What the step's ``error`` finds in an answer, which is masked already: the pattern could pick half a secret."""
    try:
        found = pattern(written).search(answer) if written and answer else None
    except ValueError:  # the answer is too long for it
        return None
    return None if found is None else (found.group(1) if found.re.groups else found.group(0)) or None


class EngineError(StepError):
    """What an engine of SQL has answered, with its codes: ``sqlstate`` of five signs, ``errno`` of MySQL's kind."""

    def __init__(self, sentence: str, *, sqlstate: str = "", errno: int = 0, message: str = "") -> None:
        super().__init__(sentence)
        self.sqlstate, self.errno, self.message = sqlstate, errno, message


class RefusedError(Exception):
    """Agent 1 has not done what agent 2 asked for; a sentence."""


class LoginRefusedError(EngineError):
    """The peer is there and has answered the login by what the plugin says is a refusal of the credentials."""


class ToolError(Exception):
    """A sentence for an operator: tool, step, expectation, answer. Secrets are masked. ``values``: of its result, what
    was known by then. ``login_refused``: it failed since a peer did not accept the login. ``asked``: whether what the
    tool was to bring about may come all the same; None where it does not say."""

    def __init__(
        self,
        message: str,
        values: Mapping[str, str] | None = None,
        *,
        login_refused: bool = False,
        asked: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.values = values or {}
        self.login_refused = login_refused
        self.asked = asked


def shown(text: str, mask: Mask, longest: int = SHOWN) -> str:
    """An answer in one short line. It is masked before it is cut, and before signs of it are escaped: half a secret, or
    a secret in another form, would be no secret to whoever masks the sentence."""
    return repr(cut(mask(text), longest)) if text else "nothing"


def cut(text: str, longest: int) -> str:
    """Masked already."""
    return text if len(text) <= longest else f"{text[:longest]} ... ({len(text)} characters)"
