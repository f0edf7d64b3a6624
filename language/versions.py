"""Which of two versions is the higher one: of plugins and of engines, in one place.

As Semantic Versioning has it: numbers compare as numbers, and what stands behind a dash comes before its release
(``7.0-rc1`` before ``7.0``). Engines' versions have any number of parts, so missing ones are zeros.
"""

from __future__ import annotations

import re

Word = tuple[int, int, str]
VersionKey = tuple[tuple[int, ...], bool, tuple[Word, ...]]

_DIGITS = re.compile(r"\d*")
_WORD = re.compile(r"\d+|[^\d.-]+")


def version_key(version: str) -> VersionKey:
    """To sort by. A part that is no number ends the numbers: ``7.0rc1`` is ``7.0-rc1``."""
    core, _, rest = version.partition("+")[0].partition("-")
    numbers: list[int] = []
    pre = [rest] if rest else []
    for part in core.split("."):
        letters = _DIGITS.sub("", part, count=1)
        numbers.append(int(part.removesuffix(letters) or 0))
        if letters:
            pre.insert(0, letters)
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    words = tuple(_word(word) for word in _WORD.findall("-".join(pre)))
    return tuple(numbers), not words, words


def _word(word: str) -> Word:
    """Numbers before words."""
    return (0, int(word), "") if word.isdigit() else (1, 0, word)
