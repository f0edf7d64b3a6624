"""CEL rules of the CRDs: what can be refused at ``kubectl apply``. Each is checked again by the planner.

The API server estimates each rule's worst cost from ``maxItems`` and ``maxLength`` and refuses the CRD where it is
too high: lists are therefore bounded, and rules compare by list-map keys. Only functions of 1.25 are used:
``quantity`` came in 1.29. That ``storageClassName`` cannot change is left to the planner, which knows whether there
are volumes yet: a class that does not exist must be correctable.
"""

from __future__ import annotations

from typing import Any

from api.meta import DNS_LABEL_PATTERN, QUANTITY_PATTERN, SEMANTIC_VERSION_PATTERN
from api.names import DNS_LABEL_LIMIT, credentials_name

Rule = dict[str, Any]


def _rule(expression: str, message: str) -> Rule:
    return {"rule": expression, "message": message}


_APP_NAME = DNS_LABEL_LIMIT - len(credentials_name(""))
"""Longest App name: the longest name that is derived from it alone still fits."""

_APP = [
    _rule(
        f"self.metadata.name.size() <= {_APP_NAME} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"metadata.name begins the names of Services: use at most {_APP_NAME} lower-case letters, digits and dashes, "
        "beginning with a letter.",
    )
]
_APP_SPEC = [
    _rule(
        "!has(oldSelf.topology) || (has(self.topology) && self.topology == oldSelf.topology)",
        "The topology cannot change after creation; make a new App and move the data.",
    ),
    _rule(
        "self.plugin.name == oldSelf.plugin.name",
        "The plugin cannot change after creation, only its version; make a new App and move the data.",
    ),
    _rule(
        "!has(oldSelf.components) || (has(self.components) && oldSelf.components.all(old, "
        "self.components.exists(new, new.name == old.name)))",
        "The names of components cannot change after creation.",
    ),
]
_APP_COMPONENT = [
    _rule(
        "!has(oldSelf.groups) || oldSelf.groups.size() == 0 || (has(self.groups) && "
        "self.groups.size() == oldSelf.groups.size() && "
        "oldSelf.groups.all(old, self.groups.exists(new, new.name == old.name)))",
        "The names of groups cannot change after creation.",
    )
]


_SAID = {
    SEMANTIC_VERSION_PATTERN: "Write the version of an installed plugin, with three numbers, like 1.0.0.",
    QUANTITY_PATTERN: "Write a quantity, like 500m or 2 of cpu, 512Mi or 2Gi of memory and storage.",
    DNS_LABEL_PATTERN: "Use lower-case letters, digits and dashes, beginning with a letter.",
}
"""What a pattern means: beside it, since API servers without CEL have it alone, and it tells nobody what to write."""


def add_rules(kind: str, schema: dict[str, Any]) -> None:
    """Puts the rules of ``kind`` into its schema."""
    if kind != "App":
        return
    spec = schema["properties"]["spec"]
    component = spec["properties"]["components"]["items"]
    for place, rules in ((schema, _APP), (spec, _APP_SPEC), (component, _APP_COMPONENT)):
        place["x-kubernetes-validations"] = rules
    _say_patterns(spec)


def _say_patterns(schema: dict[str, Any]) -> None:
    pattern = schema.get("pattern")
    if pattern in _SAID:
        text = "type(self) == int || " if schema.get("x-kubernetes-int-or-string") else ""
        schema["x-kubernetes-validations"] = [_rule(f"{text}self.matches(r'{pattern}')", _SAID[pattern])]
    for part in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(part, dict):
            _say_patterns(part)
