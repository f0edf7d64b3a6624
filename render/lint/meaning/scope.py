"""What is known at one place of a tool: for sure, and only where a condition holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from render.lint.meaning.conditions import Holds, Sometimes
from render.lint.names import Shape


@dataclass(frozen=True)
class Scope:
    """``found``: what steps have named by now. ``arg``: what ``arg`` has; None for anything, empty for nothing."""

    found: frozenset[str] = frozenset()
    arg: Shape = None
    what: str = ""
    """The tool or the sequence, for sentences."""
    item: bool = False
    at: bool = False
    secrets: bool = False
    holds: Holds = frozenset()
    """What the steps around it have asked."""
    sometimes: Mapping[str, tuple[Sometimes, ...]] = field(default_factory=dict)
    """Of ``found``, those that a step may have left out."""

    def knows(self, *names: str) -> Scope:
        left = {name: each for name, each in self.sometimes.items() if name not in names}
        return replace(self, found=self.found | set(names), sometimes=left)

    def where(self, holds: Holds) -> Scope:
        return replace(self, holds=self.holds | holds)


@dataclass(frozen=True)
class Branch:
    """A way through a step. ``after``: what is known at its end; ``ends``: the tool fails there."""

    after: Scope
    holds: Holds
    written: str
    ends: bool = False


def joined(before: Scope, then: Branch, other: Branch) -> Scope:
    """What is known after a step that went one way or the other."""
    if then.ends and not other.ends:
        return replace(before.where(other.holds), found=other.after.found, sometimes=other.after.sometimes)
    if other.ends and not then.ends:
        return replace(before.where(then.holds), found=then.after.found, sometimes=then.after.sometimes)
    sometimes: dict[str, tuple[Sometimes, ...]] = {}
    for name in then.after.found | other.after.found:
        ways = [each for branch in (then, other) for each in _ways(name, before, branch)]
        if not all(_sure(name, branch.after) for branch in (then, other)):
            sometimes[name] = tuple(dict.fromkeys([*before.sometimes.get(name, ()), *ways]))
    return replace(before, found=then.after.found | other.after.found, sometimes=sometimes)


def _sure(name: str, scope: Scope) -> bool:
    return name in scope.found and name not in scope.sometimes


def _ways(name: str, before: Scope, branch: Branch) -> list[Sometimes]:
    """Where the branch itself gives it."""
    if name not in branch.after.found:
        return []
    if _sure(name, branch.after):
        return [Sometimes(branch.holds, branch.written)]
    new = [each for each in branch.after.sometimes[name] if each not in before.sometimes.get(name, ())]
    return [replace(each, where=each.where | branch.holds) for each in new]
