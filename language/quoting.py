"""Values as the places take them into which they are put: ``{{ value | quoted }}``.

A text is somebody's own, with spaces, quotes or a ``#`` in it; as it is it would end a word, or begin a comment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_PROPERTY = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}


def quoted(text: str) -> str:
    """In double quotes, with backslashes before what they would end: redis.conf, sentinel.conf, lines to Redis."""
    signs = (_NAMED.get(sign) or (sign if _printable(sign) else f"\\x{ord(sign):02x}") for sign in text)
    return f'"{"".join(signs)}"'


def as_json(value: object) -> str:
    """JSON, which YAML takes as well: a text as a string, numbers and truth values as they are."""
    plain = value is None or isinstance(value, bool | int | float)
    return json.dumps(value if plain else str(value), ensure_ascii=False)


def as_property(text: str) -> str:
    """A value of a Java properties file, such as zoo.cfg."""
    return "".join(
        _PROPERTY.get(sign)
        or (f"\\{sign}" if sign in "\\=:#! " else sign if " " <= sign <= "~" else _unicode_escape(sign))
        for sign in text
    )


def _printable(sign: str) -> bool:
    return sign >= " " and sign != "\x7f"


def _unicode_escape(sign: str) -> str:
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


QUOTINGS: Mapping[str, Callable[[str], str]] = {
    "quoted": quoted,
    "json": as_json,
    "properties": as_property,
    "raw": str,
}
"""By the name that a plugin writes. ``raw`` says that nothing has to be quoted there."""
