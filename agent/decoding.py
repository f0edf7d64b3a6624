"""JSON -> frozen dataclasses, tolerantly: unknown fields are ignored, so a newer platform's document is still
understood. And back, for what one agent tells the other.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class DecodingError(ValueError):
    """A sentence that names the field."""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, str, Any, bool], ...]:
    """Name, key, type and whether it must be there. Once for each class: hints are text that Python has to compile, and
    a document has hundreds of objects."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        (
            field.name,
            field.metadata.get("key", _camel(field.name)),
            hints[field.name],
            field.default is missing and field.default_factory is missing,
        )
        for field in dataclasses.fields(cls)
    )


def decode(cls: type[T], data: object, where: str) -> T:
    """Builds ``cls`` from a JSON object; keys are camelCase, or ``key`` in the field's metadata.

    Raises DecodingError where a field without a default is missing or a value has another type.
    """
    if not isinstance(data, Mapping):
        raise DecodingError(f"{where} must be an object, found {type(data).__name__}")
    arguments: dict[str, Any] = {}
    for name, key, hint, required in _fields(cls):  # type: ignore[arg-type]
        if key in data:
            arguments[name] = _value(hint, data[key], f"{where}.{key}")
        elif required:
            raise DecodingError(f"{where}.{key} is missing")
    return cls(**arguments)


def encode(data: object) -> object:
    """What ``decode`` reads."""
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {key: encode(getattr(data, name)) for name, key, _, _ in _fields(type(data))}
    return data


def _value(hint: Any, data: object, where: str) -> Any:
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, data, where)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _union(typing.get_args(hint), data, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise DecodingError(f"{where} must be a list, found {type(data).__name__}")
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, item, f"{where}[{index}]") for index, item in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise DecodingError(f"{where} must be an object, found {type(data).__name__}")
        inner = typing.get_args(hint)[1]
        return {str(key): _value(inner, item, f"{where}.{key}") for key, item in data.items()}
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, hint) or (hint is int and isinstance(data, bool)):
        raise DecodingError(f"{where} must be {hint.__name__}, found {data!r}")
    return data


def _union(options: tuple[Any, ...], data: object, where: str) -> Any:
    if data is None and type(None) in options:
        return None
    failure: DecodingError | None = None
    for option in options:
        if option is type(None):
            continue
        try:
            return _value(option, data, where)
        except DecodingError as error:
            failure = error
    raise failure or DecodingError(f"{where} has no possible type")
