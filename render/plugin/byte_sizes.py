"""Amounts of bytes as middleware writes them: ``256mb``, ``64k``, ``1.5G``. Pure.

Engines differ in what one letter alone multiplies by: ``64k`` are 64,000 bytes for Redis and 65,536 for Java. So a size
is a number and a power until somebody says which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b|i)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@dataclass(frozen=True)
class ByteSize:
    """``bare``: a letter alone, without ``i`` or ``b`` behind it."""

    number: Decimal
    power: int
    bare: bool

    def at(self, base: int) -> Decimal:
        factor: int = base**self.power
        return self.number * factor


def byte_size(text: str) -> ByteSize | None:
    """None for what is no amount of bytes. A number alone is one."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    number, power, unit = match.groups()
    return ByteSize(Decimal(number), _POWERS[power.lower()], not unit)


def in_bytes(value: Any, letter: int = 1024) -> int:
    """``256mb`` as a number of bytes. ``letter``: what a letter alone multiplies by. Raises ValueError."""
    size = byte_size(str(value))
    if size is None or size.number != int(size.number):
        raise ValueError(f"{value!r} is no amount of bytes, such as 256mb")
    return int(size.at(letter if size.bare else 1024))
