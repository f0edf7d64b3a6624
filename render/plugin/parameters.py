"""An App's parameters against the plugin's schemas, in sentences for a person rather than for a schema author."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

import jsonschema
import referencing
import referencing.exceptions

from api.app import Scalar
from api.plugin import Parameter
from render.plugin.problems import Problem, listing, near

_TYPES = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false"}

_BREAKING = ("Cc", "Co", "Zl", "Zp")
"""Unicode's categories of control characters and of separators of lines and paragraphs."""


def parameter_problems(
    path: str, component: str, config: Mapping[str, Scalar], parameters: Mapping[str, Parameter]
) -> list[Problem]:
    """Unknown names (with near ones) and values outside their schema (with what the schema allows).

    A text with a line break is refused whatever the schema says: ``$`` in a pattern lets one at the end through.
    """
    problems = []
    for name, value in config.items():
        at = f"{path}.{name}"
        parameter = parameters.get(name)
        if parameter is None:
            hint = near(name, parameters) or f"; it has {listing(parameters)}"
            problems.append(Problem(at, f"component {component} has no parameter {name!r}{hint}"))
            continue
        unwritable = control_characters(value)
        if unwritable:
            problems.append(Problem(at, unwritable))
            continue
        if schema_errors(parameter.schema_, value):
            message = f"{json.dumps(value)} is not allowed; write {allowed(parameter.schema_)}"
            if parameter.description:
                message += f" ({parameter.description.rstrip('.')})"
            problems.append(Problem(at, message))
    return problems


def schema_errors(schema: Mapping[str, Any], value: object) -> list[str]:
    """What the schema has against the value. Nothing is ever fetched for it: what a schema refers to beyond itself is
    unknown, and so an error."""
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    try:
        return [error.message for error in validator.iter_errors(value)]
    except referencing.exceptions.Unresolvable as error:
        return [f"the schema refers to {error.ref!r}, which is not in it"]


def foreign_reference(schema: object) -> str:
    """A ``$ref`` that leads out of the schema, empty for none: another's answer would decide what an App may say."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
                return str(value)
            if found := foreign_reference(value):
                return found
    if isinstance(schema, list | tuple):
        return next((found for each in schema if (found := foreign_reference(each))), "")
    return ""


def control_characters(value: object) -> str:
    """A sentence where ``value`` is a text with line breaks, tabs and the like; they would end the line of a
    configuration file, or of a command to the engine, in its middle."""
    if not isinstance(value, str):
        return ""
    spaced = "".join(" " if unicodedata.category(each) in _BREAKING else each for each in value)
    if spaced == value:
        return ""
    better = json.dumps(" ".join(spaced.split()))
    return f"{json.dumps(value)} has a line break, a tab or another control character; write {better}, on one line"


def allowed(schema: Mapping[str, Any]) -> str:
    """What a schema lets through, in words."""
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(allowed(branch) for branch in schema[union])
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(choice) for choice in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kinds = schema.get("type", [])
    words = " or ".join(_TYPES.get(kind, str(kind)) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    text = words or "another value"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        text += f" from {low} to {high}"
    elif low is not None:
        text += f" of at least {low}"
    elif high is not None:
        text += f" of at most {high}"
    if "pattern" in schema:
        text += f" like {schema['examples'][0]}" if schema.get("examples") else f" that matches {schema['pattern']}"
    if "minLength" in schema or "maxLength" in schema:
        text += f" of {schema.get('minLength', 0)} to {schema.get('maxLength', 'any number of')} characters"
    return text
