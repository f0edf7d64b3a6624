"""JSON Schemas of a plugin's files from the models: ``python -m api.schemas [--check] [--output plugins/schema]``.

Editors complete and check by them (``# yaml-language-server: $schema=`` at the head of a file). They say no more than
the models do; what holds between fields, and in expressions, ``mw plugin lint`` says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from api.generated import write_generated
from api.meta import Model
from api.plugin import Parameter, Plugin
from api.tools import ACTIONS, Toolbox
from api.trial import TrialFile

_DIALECT = "http://json-schema.org/draft-07/schema#"
"""The latest that editors' YAML servers know well."""
_PART = "PartOf"
_KEYS = ("apiVersion", "metadata", "name", "version")
"""What also a part of a plugin says; of things in lists how they are known."""


def schema_of(model: type[Model]) -> dict[str, Any]:
    """Of the model as people write it."""
    _, made = models_json_schema([(model, "validation")], by_alias=True, ref_template="#/definitions/{model}")
    definitions = {name: _plain(each) for name, each in made["$defs"].items()}
    if "Step" in definitions:
        step = definitions["Step"]
        names = step["properties"]["as"]["items"]
        step["properties"]["as"] = {**step["properties"]["as"], "type": ["string", "array"], "items": names}
        step["oneOf"] = [{"required": [action]} for action in ACTIONS]
    for component in [each for name, each in definitions.items() if name == "ComponentDefinition"]:
        files = component["properties"]["parameters"]
        component["properties"]["parameters"] = {
            **files,
            "type": ["string", "array"],
            "pattern": files["items"]["pattern"],
        }
    own = definitions.pop(model.__name__)
    return {"$schema": _DIALECT, **own, "definitions": definitions}


def _plain(schema: Any) -> Any:
    """Without titles, which only repeat the names, and without ``null``, which nobody writes; a mapping with names of a
    pattern has no others."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _plain(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if "description" in made and isinstance(made["description"], str):
        made["description"] = " ".join(made["description"].replace("``", "`").split())
    if "patternProperties" in made:
        made.setdefault("additionalProperties", False)
    if made.get("default", ...) in (None, [], {}):
        del made["default"]
    branches = [each for each in made.get("anyOf", ()) if each != {"type": "null"}]
    if "anyOf" in made and len(branches) == 1:
        del made["anyOf"]
        return {**branches[0], **made}
    if branches:
        made["anyOf"] = branches
    return made


def _plugin() -> dict[str, Any]:
    """A plugin is whole, or extends another: then whatever it leaves out is as there."""
    whole = schema_of(Plugin)
    definitions, dialect = whole.pop("definitions"), whole.pop("$schema")
    parts = {_PART + name: _part(each) for name, each in definitions.items()}
    extends = {
        "description": "Folder of another plugin, beside this one: what is not said here is as there.",
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    }
    part = _part(whole)
    part["properties"] = {**part["properties"], "extends": extends}
    return {
        "$schema": dialect,
        "if": {"required": ["extends"]},
        "then": part,
        "else": whole,
        "definitions": {**definitions, **parts},
    }


def _part(schema: Any) -> Any:
    """Nothing but names is required of what is merged with something."""
    if isinstance(schema, list):
        return [_part(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _part(value) for key, value in schema.items()}
    if isinstance(made.get("required"), list):
        made["required"] = [name for name in made["required"] if name in _KEYS]
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace("#/definitions/", f"#/definitions/{_PART}")
    return made


def _parameters() -> dict[str, Any]:
    """A file is a mapping of names that the plugin's author chooses."""
    one = schema_of(Parameter)
    definitions = one.pop("definitions")
    dialect = one.pop("$schema")
    return {
        "$schema": dialect,
        "description": "Parameters of a component, by name.",
        "type": "object",
        "additionalProperties": {"$ref": "#/definitions/Parameter"},
        "definitions": {**definitions, "Parameter": one},
    }


def generated() -> dict[str, str]:
    """File name -> text."""
    made = {
        "plugin.json": _plugin(),
        "parameters.json": _parameters(),
        "tools.json": schema_of(Toolbox),
        "tests.json": schema_of(TrialFile),
    }
    return {name: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for name, schema in made.items()}


if __name__ == "__main__":
    sys.exit(write_generated("api.schemas", generated(), Path("plugins/schema")))
