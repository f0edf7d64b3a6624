"""Whether an engine runs with the value that it was given, though it writes it in its own way.

``256mb`` comes back as ``268435456``, ``true`` as ``yes``, and a list of words in another order. So a difference is
found only between two values that can be compared: two numbers, two sizes (a number without a unit is one where the
plugin says that it counts bytes), two switches, two words of one list of choices. Pure.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from api.app import Scalar
from api.plugin import Parameter
from render.plugin.byte_sizes import byte_size

_SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def number_of(value: object) -> Decimal | None:
    """None for what is no finite number, a switch among it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def differs(parameter: Parameter, asked: Scalar, answered: str) -> bool:
    """Whether the engine says another value than it was given; not where the two cannot be compared."""
    text, answer = str(asked).strip().lower(), answered.strip().lower()
    if text == answer:
        return False
    if isinstance(asked, bool):
        return _SWITCHES.get(answer, asked) is not asked
    numbers = number_of(asked), number_of(answered)
    if None not in numbers:
        return numbers[0] != numbers[1]
    sizes = _sizes(text), _sizes(answer)
    if sizes[0] and sizes[1] and (parameter.unit == "bytes" or None is numbers[0] is numbers[1]):
        return not sizes[0] & sizes[1]
    choices = {str(choice).lower() for choice in parameter.schema_.get("enum", ())}
    return {text, answer} <= choices


def _sizes(text: str) -> frozenset[Decimal]:
    """In bytes, as whichever engine may mean it: 1k is 1000 for some and 1024 for others."""
    size = byte_size(text)
    return frozenset(size.at(base) for base in (1000, 1024)) if size is not None else frozenset()
