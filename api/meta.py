"""What the three resources share: model settings, Kubernetes names and quantities, conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

Manifest = dict[str, Any]
"""A Kubernetes object as a raw dictionary."""


def service_address(service: Mapping[str, Any] | None) -> str:
    """Its ClusterIP; empty for one that has none: a headless one, whose field says "None", is reached nowhere."""
    address = str(((service or {}).get("spec") or {}).get("clusterIP") or "")
    return "" if address == "None" else address


QUANTITY_PATTERN = r"^([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
_QUANTITY = re.compile(QUANTITY_PATTERN)
_SUFFIX: dict[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


class Model(BaseModel):
    """Base of everything read from outside: camelCase outside, unknown fields refused by name. The string below a field
    is its description, also in ``kubectl explain``."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class StatusModel(Model):
    """Status may have been written by a newer platform: unknown fields are ignored, never refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def parse_quantity(text: str) -> Decimal:
    """A Kubernetes quantity in its base unit (bytes, cores). Raises ValueError with the forms that would do."""
    number, suffix = quantity_parts(text)
    return Decimal(number) * _SUFFIX[suffix]


def quantity_parts(text: str) -> tuple[str, str]:
    """Number and suffix, as they are written. Raises ValueError with the forms that would do."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write for example 500m, 2, 64Mi or 1Gi")
    return match.group(1), match.group(2) or ""


def _checked_quantity(value: Any) -> str:
    """Like Kubernetes, ``cpu: 2`` is as good as ``cpu: "2"``."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise ValueError("is not a quantity; write for example 500m, 2, 64Mi or 1Gi")
    parse_quantity(text)
    return text


Quantity = Annotated[
    str,
    BeforeValidator(_checked_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 32}),
]


def counted(number: int, thing: str) -> str:
    """``1 node``, ``2 nodes``: for sentences."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


DNS_LABEL_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, max_length=63)]
SEMANTIC_VERSION_PATTERN = r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9a-z]+([.-][0-9a-z]+)*)?$"
SemanticVersion = Annotated[str, Field(pattern=SEMANTIC_VERSION_PATTERN, max_length=63)]
"""Lower case, because it becomes part of a ConfigMap's name."""

FreeForm = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""A Kubernetes object that we pass on unread (affinity, tolerations ...): the API server checks it."""


def by_key(*keys: str) -> dict[str, Any]:
    """Schema of a list that is a map by these fields: the API server refuses duplicates and merges applies by entry."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


class Condition(StatusModel):
    """As in the Kubernetes API conventions; ``reason`` is one CamelCase word, ``message`` a sentence."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str


Conditions = Annotated[list[Condition], Field(json_schema_extra=by_key("type"))]
