"""Amounts of processor, memory and storage that cannot be meant, though Kubernetes takes them.

``512m`` of memory is half a byte, ``500Mi`` of processor are half a billion cores. Kubernetes accepts both, and the
container never starts, or the Pod never finds a machine. What was meant is one letter away, so the sentence says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from api.app import Resources
from api.meta import parse_quantity, quantity_parts
from render.plugin.problems import Problem

_LEAST_BYTES = 1024 * 1024
"""Less than this of memory or of a volume is a slip: no process and no file system fits."""
_MOST_CORES = Decimal(1024)
_MOST_BYTES = Decimal(1024) ** 5
"""A pebibyte, of memory."""
_BYTES = ("memory", "ephemeral-storage")


def resource_problems(path: str, resources: Resources) -> Iterator[Problem]:
    """What is wrong with a container's resources, by the field's path."""
    for kind, amounts in (("limits", resources.limits), ("requests", resources.requests)):
        for name, amount in amounts.items():
            wrong = _amount(name, amount, zero=kind == "requests")
            if wrong:
                yield Problem(f"{path}.{kind}.{name}", wrong)
    yield from _above_limit(path, resources.requests, resources.limits)


def _above_limit(path: str, requests: Mapping[str, str], limits: Mapping[str, str]) -> Iterator[Problem]:
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is not None and parse_quantity(limit) and parse_quantity(request) > parse_quantity(limit):
            message = f"{request} is above the limit {limit}; lower it or raise limits.{name}"
            yield Problem(f"{path}.requests.{name}", message)


def size_problem(size: str, example: str) -> str:
    """What is wrong with the size of a volume; empty for a good one."""
    if parse_quantity(size) >= _LEAST_BYTES:
        return ""
    return f"{size} is less than 1Mi; {_meant(size) or f'write for example {example}'}"


def _amount(name: str, text: str, *, zero: bool) -> str:
    """``zero``: nothing may be asked for, while a limit of nothing leaves nothing to run with."""
    value = parse_quantity(text)
    if value == 0:
        return "" if zero else "a limit of 0 leaves nothing to run with; raise or remove it"
    if name == "cpu" and value > _MOST_CORES:
        return f"{text} is {_plain(value)} cores; did you mean {quantity_parts(text)[0]}m?"
    if name in _BYTES and value < _LEAST_BYTES:
        return f"{text} is {_plain(value)} bytes; {_meant(text)}"
    if name == "memory" and value > _MOST_BYTES:
        return f"{text} is more than any machine has; write for example 512Mi or 4Gi"
    return ""


def _meant(text: str) -> str:
    number, _ = quantity_parts(text)
    if number.strip("0.") == "":
        return ""
    return f"did you mean {number}Mi?"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
