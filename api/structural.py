"""A pydantic model's JSON Schema as the structural OpenAPI v3 schema that the API server takes.

It takes no ``$ref``, no ``null`` type, no ``const``, no ``title``-only noise, and ``additionalProperties`` only for
maps. A field that may be None becomes one that may be left out.
"""

from __future__ import annotations

from typing import Any

from api.meta import Model

_KEPT = (
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "uniqueItems",
)
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EXTENSIONS = (
    _PRESERVE,
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
)


def structural_schema(model: type[Model]) -> dict[str, Any]:
    """The schema of ``model`` by its outside (camelCase) names."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def _convert(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return _convert({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        return _convert_union(node, definitions)
    if "const" in node:
        node = {**node, "type": "string", "enum": [node["const"]]}
    result: dict[str, Any] = {key: node[key] for key in (*_KEPT, *_EXTENSIONS) if key in node}
    if "default" in node and _worth_a_default(node["default"]):
        result["default"] = node["default"]
    if "description" in result:
        result["description"] = " ".join(str(result["description"]).replace("``", "`").split())
    if result.get(_PRESERVE):
        return result
    if "properties" in node:
        result["properties"] = {name: _convert(value, definitions) for name, value in node["properties"].items()}
        if node.get("required"):
            result["required"] = node["required"]
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
    return result


def _convert_union(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """``X | None`` is X. Any other union is left to the planner: a structural schema has no word for it."""
    branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
    around = {key: value for key, value in node.items() if key not in ("anyOf", "default", "title")}
    if len(branches) == 1:
        return _convert({**branches[0], **around}, definitions)
    return {_PRESERVE: True, **{key: value for key, value in around.items() if key in _KEPT}}


def _worth_a_default(value: Any) -> bool:
    """Only plain values are filled in by the API server: an empty list or object says no more than its absence."""
    return isinstance(value, str | int | float | bool) and value != ""
