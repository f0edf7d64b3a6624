"""What an engine said before it ended: of its last lines those that tell why. Pure.

The same for every engine. Lines of a lesser level (what it does while it goes down), and those that are indented (where
in its code it was), are left out where others remain; of these the last few tell, as the cause of a cause comes last.
The time at which each was written is left out too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_LINES = 5
_LONGEST = 250
"""Characters: with what stands around them, they still fit into each place where a message is cut."""
_WHEN = re.compile(r"\[?\d{4}-\d\d-\d\d[T\s]+\d{1,2}:\d\d\S*\s*")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LESSER = re.compile(r"\b(?:TRACE|DEBUG|INFO|NOTICE)\b|\bLOG:|\[(?:Note|System)\]|\blevel\"?[=:]\s*\"?(?:debug|info)\b")


def last_words(lines: Sequence[str], mask: Callable[[str], str]) -> str:
    """One line of at most 250 characters; empty where it said nothing. ``mask`` blackens secrets: the engine may print
    the line of its configuration that has one."""
    shown = [_printable(line) for line in mask("\n".join(lines)).splitlines()]
    shown = [line for line in shown if line.strip()]
    shown = [line for line in shown if line[0] != " "] or shown
    shown = [line for line in shown if _LESSER.search(line) is None] or shown
    text = mask(" | ".join(_WHEN.sub("", line.strip(), count=1) for line in shown[-_LINES:]))
    return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else " " for each in _COLOUR.sub("", line))
