"""A plugin version as one value: its definition, its files, their digest; and its form as ConfigMaps.

A version's digest never changes: who installs other content under the same version is refused, so ``digest`` says
exactly what an App runs with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from api.names import API_GROUP, LABEL_PLUGIN, LABEL_PLUGIN_VERSION, MANAGED_BY
from api.plugin import (
    WITHOUT_REFERENCES,
    ComponentDefinition,
    Parameter,
    Plugin,
    Topology,
    TopologyComponent,
    references,
)
from render.plugin.extension import ExtensionError, extended_folder, merged_definition, put_together
from render.plugin.parameters import control_characters, foreign_reference, schema_errors
from render.plugin.problems import Problem, at_line, field_path, in_file, near, read_model
from render.plugin.templates import Templates
from render.plugin.yaml_text import line_of, load_yaml, marks

DEFINITION = "plugin.yaml"
TESTS = "tests"
"""Folder of what ``mw plugin test`` runs; it is not installed."""
DIGEST_ANNOTATION = f"{API_GROUP}/digest"
TEMPLATES_KEY = "templates"
"""Key of the Plugin ConfigMap: JSON list of the names of its Template ConfigMaps."""
CONFIG_MAP_LIMIT = 900 * 1024
"""Bytes of data per ConfigMap: below the API server's 1 MiB for the whole object."""
_TEMPLATES_OF = re.compile(r"-templates(-[0-9]+)?$")
_SEPARATOR = "__"
"""Stands for ``/`` in a ConfigMap key, which may not hold one."""


class PluginRefused(Exception):  # noqa: N818 - it is a refusal, not a fault
    """A plugin that cannot be installed. ``problems`` say file (and line) and what would be right."""

    def __init__(self, plugin: str, problems: Sequence[Problem]) -> None:
        self.plugin = plugin
        self.problems = tuple(problems)
        super().__init__(f"plugin {plugin}: " + "; ".join(str(p) for p in problems))


@dataclass(frozen=True)
class PluginBundle:
    """``files``: relative path -> text, ``plugin.yaml`` included. ``parameters``: component -> parameter name ->
    Parameter."""

    plugin: Plugin
    files: Mapping[str, str]
    digest: str
    parameters: Mapping[str, Mapping[str, Parameter]]
    templates: Templates = field(compare=False, repr=False)

    def place_of(self, component: ComponentDefinition, parameter: str) -> tuple[str, int]:
        """File and line in which the parameter stands, for failures."""
        for file in reversed(component.parameters):
            if line := line_of(self.files.get(file, ""), f"{parameter}:"):
                return file, line
        return DEFINITION, 0

    def engine_version(self, component: str, runtime_version: str) -> str:
        """The version of the component's own engine where the App's is ``runtime_version``."""
        versions = (each for each in self.plugin.spec.runtime_versions if each.version == runtime_version)
        return next((each.components.get(component, each.version) for each in versions), runtime_version)

    def definition_in(self, at: TopologyComponent) -> ComponentDefinition:
        """The component as it is in the topology of ``at``."""
        own = next(each for each in self.plugin.spec.components if each.name == at.name)
        other = {"scaling": at.scaling, "ports": at.ports}
        return own.model_copy(update={name: value for name, value in other.items() if value is not None})

    def parameters_in(self, at: TopologyComponent) -> Mapping[str, Parameter]:
        """Its parameters, with the defaults of that topology."""
        own = self.parameters[at.name]
        changed = {
            name: own[name].model_copy(update={"default": value, "default_expression": None})
            for name, value in at.defaults.items()
        }
        return {**own, **changed}

    def topology(self, name: str) -> Topology:
        return next(each for each in self.plugin.spec.topologies if each.name == name)

    @property
    def name(self) -> str:
        return self.plugin.metadata.name

    @property
    def version(self) -> str:
        return self.plugin.metadata.version


def digest_of(files: Mapping[str, str]) -> str:
    """sha256 over the sorted files, each as length-prefixed name and content, so that no two sets run together."""
    total = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name].encode()):
            total.update(f"{len(part)}:".encode())
            total.update(part)
    return f"sha256:{total.hexdigest()}"


@dataclass(frozen=True)
class Reading:
    """What could be made of a plugin's files, and all that is wrong with them by now. ``bundle`` is None where
    ``plugin.yaml`` gives nothing to go on with."""

    origin: str
    bundle: PluginBundle | None
    problems: tuple[Problem, ...]


def from_files(files: Mapping[str, str], origin: str = "") -> PluginBundle:
    """Parses definition and parameter files. ``origin`` names the plugin in failures. Raises PluginRefused."""
    read = read_files(files, origin)
    if read.problems or read.bundle is None:
        raise PluginRefused(read.origin, read.problems)
    return read.bundle


def read_files(files: Mapping[str, str], origin: str = "") -> Reading:
    """As far as it goes: what is wrong is left out, so that one mistake does not hide the others."""
    label = origin or "?"
    if DEFINITION not in files:
        return Reading(label, None, (at_line(DEFINITION, 0, "the file is missing; it defines the plugin"),))
    document, problems = parsed_yaml(DEFINITION, files[DEFINITION])
    if problems:
        return Reading(label, None, tuple(problems))
    text = files[DEFINITION]
    plugin, problems = read_model(Plugin, document, DEFINITION, text, context=WITHOUT_REFERENCES)
    if plugin is None:
        return Reading(label, None, tuple(problems))
    label = f"{plugin.metadata.name} {plugin.metadata.version}"
    problems += [
        in_file(DEFINITION, text, ("spec", *at), said, word=word) for at, word, said in references(plugin.spec)
    ]
    problems += [*_taken_version(plugin.metadata.version, files), *_undeclared_files(plugin, files)]
    parameters: dict[str, Mapping[str, Parameter]] = {}
    for component in plugin.spec.components:
        known: dict[str, Parameter] = {}
        for file in (each for each in component.parameters if each in files):
            found, wrong = _parse_parameters(file, files[file])
            known |= found
            problems += wrong
        parameters[component.name] = known
    bundle = PluginBundle(plugin, dict(files), digest_of(files), parameters, Templates(label, files))
    return Reading(label, bundle, tuple(dict.fromkeys(problems)))


def load_folder(path: Path) -> PluginBundle:
    """A plugin's folder. Raises PluginRefused, OSError."""
    return from_files(folder_files(path), path.name)


def folder_files(path: Path) -> dict[str, str]:
    """The files of a plugin's folder, and of the one that it extends. Raises PluginRefused, OSError."""
    return _extended(path, (path.resolve().name,))


def _extended(path: Path, chain: tuple[str, ...]) -> dict[str, str]:
    files = _own_files(path)
    definition, problems = parsed_yaml(DEFINITION, files.get(DEFINITION, ""))
    try:
        base = None if problems else extended_folder(definition)
        if base is None:
            return files
        if base in chain:
            raise ExtensionError(f"goes round in a circle, {' -> '.join([*chain, base])}")
        if not (path.parent / base / DEFINITION).is_file():
            raise ExtensionError(f"there is no plugin in a folder {base!r} beside this one")
    except ExtensionError as error:
        raise PluginRefused(path.name, [in_file(DEFINITION, files[DEFINITION], ("extends",), str(error))]) from error
    below = _extended(path.parent / base, (*chain, base))
    under, _ = parsed_yaml(DEFINITION, below[DEFINITION])
    return put_together(below, files, merged_definition(under, definition, base), DEFINITION)


def _own_files(path: Path) -> dict[str, str]:
    """Hidden files and folders left out, and the plugin's own ``tests``. Raises PluginRefused, OSError.

    A link may lead to a file of the same plugin, or of one beside it, of which it is another version: what is read is
    stored where many may read it, and a plugin is somebody else's.
    """
    files: dict[str, str] = {}
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if not file.is_file() or any(part.startswith(".") for part in relative.parts) or relative.parts[0] == TESTS:
            continue
        if not _of_a_plugin(path, file.resolve()):
            message = f"leads to {file.resolve()}, which is no file of this plugin or of one beside it; copy it here"
            raise PluginRefused(path.name, [at_line(relative.as_posix(), 0, message)])
        try:
            files[relative.as_posix()] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise PluginRefused(path.name, [at_line(relative.as_posix(), 0, "is not UTF-8 text")]) from error
    return files


def _of_a_plugin(folder: Path, file: Path) -> bool:
    """Whether the file (without links) lies in the folder, or in a plugin's folder beside it."""
    beside = folder.resolve().parent
    if not file.is_relative_to(beside):
        return False
    parts = file.relative_to(beside).parts
    if len(parts) < 2 or any(part.startswith(".") for part in parts):
        return False
    return parts[0] == folder.resolve().name or (beside / parts[0] / DEFINITION).is_file()


def config_map_name(plugin: str, version: str) -> str:
    """Name of the Plugin ConfigMap in the platform's namespace."""
    return f"plugin-{plugin}-{version}"


def to_config_maps(bundle: PluginBundle, namespace: str) -> list[dict[str, Any]]:
    """The Plugin ConfigMap first, then its Template ConfigMaps. Raises PluginRefused where one file is too large."""
    base = config_map_name(bundle.name, bundle.version)
    parts: list[dict[str, str]] = []
    size = CONFIG_MAP_LIMIT + 1
    for path in sorted(set(bundle.files) - {DEFINITION}):
        key, text = path.replace("/", _SEPARATOR), bundle.files[path]
        weight = len(key) + len(text.encode())
        if weight > CONFIG_MAP_LIMIT:
            raise PluginRefused(
                base, [at_line(path, 0, f"is {weight} bytes; a file may have at most {CONFIG_MAP_LIMIT}")]
            )
        if size + weight > CONFIG_MAP_LIMIT:
            parts.append({})
            size = 0
        parts[-1][key] = text
        size += weight
    names = [f"{base}-templates" if number == 0 else f"{base}-templates-{number}" for number in range(len(parts))]
    definition = {DEFINITION: bundle.files[DEFINITION], TEMPLATES_KEY: json.dumps(names)}
    return [_config_map(bundle, namespace, base, definition)] + [
        _config_map(bundle, namespace, name, part) for name, part in zip(names, parts, strict=True)
    ]


def _config_map(bundle: PluginBundle, namespace: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    labels = {
        LABEL_PLUGIN: bundle.name,
        LABEL_PLUGIN_VERSION: bundle.version,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/name": bundle.name,
        "app.kubernetes.io/component": "plugin" if TEMPLATES_KEY in data else "plugin-templates",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {DIGEST_ANNOTATION: bundle.digest},
        },
        "immutable": True,
        "data": data,
    }


def is_plugin_map(config_map: Mapping[str, Any]) -> bool:
    """Whether the ConfigMap is a Plugin ConfigMap, and not one of templates, whose name another version could have."""
    return DEFINITION in (config_map.get("data") or {})


def template_map_names(plugin_map: Mapping[str, Any]) -> list[str]:
    """Names of the Template ConfigMaps that a Plugin ConfigMap refers to."""
    names = json.loads(plugin_map.get("data", {}).get(TEMPLATES_KEY, "[]"))
    return [str(name) for name in names]


def from_config_maps(plugin_map: Mapping[str, Any], template_maps: Sequence[Mapping[str, Any]]) -> PluginBundle:
    """The inverse of ``to_config_maps``; the digest is computed anew and compared. Raises PluginRefused."""
    origin = str(plugin_map["metadata"]["name"])
    given = {str(m["metadata"]["name"]): m for m in template_maps}
    missing = sorted(set(template_map_names(plugin_map)) - set(given))
    if missing:
        raise PluginRefused(
            origin, [Problem(TEMPLATES_KEY, f"ConfigMap {', '.join(missing)} is missing; install again")]
        )
    if not is_plugin_map(plugin_map):
        raise PluginRefused(origin, [Problem(DEFINITION, "the ConfigMap has no definition of a plugin")])
    files = {DEFINITION: str(plugin_map["data"][DEFINITION])}
    for name in template_map_names(plugin_map):
        for key, text in (given[name].get("data") or {}).items():
            files[str(key).replace(_SEPARATOR, "/")] = str(text)
    bundle = from_files(files, origin)
    recorded = (plugin_map["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION)
    if recorded != bundle.digest:
        raise PluginRefused(origin, [Problem(DIGEST_ANNOTATION, f"says {recorded}, the content has {bundle.digest}")])
    return bundle


def parsed_yaml(file: str, text: str) -> tuple[Any, list[Problem]]:
    """What it holds, and what keeps it from being YAML, or hides a part of it."""
    try:
        document = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"is not YAML: {getattr(error, 'problem', error)}"
        return None, [at_line(file, *((mark.line + 1, message, mark.column + 1) if mark is not None else (0, message)))]
    twice = [
        Problem(
            field_path(path), "stands twice, and only one of them would count; remove one", file, at.line, at.column
        )
        for path, at in marks(text).duplicates
    ]
    return document, twice


def _taken_version(version: str, files: Mapping[str, str]) -> list[Problem]:
    """``1.0.0-templates`` would be stored where the templates of 1.0.0 are."""
    if _TEMPLATES_OF.search(version) is None:
        return []
    message = f"{version!r} ends as the names of Template ConfigMaps do; write for example 1.0.0-rc.1"
    return [in_file(DEFINITION, files[DEFINITION], ("metadata", "version"), message)]


def _undeclared_files(plugin: Plugin, files: Mapping[str, str]) -> list[Problem]:
    problems = [
        at_line(path, 0, f"a file name may not hold {_SEPARATOR!r}; rename it")
        for path in sorted(files)
        if _SEPARATOR in path
    ]
    for index, component in enumerate(plugin.spec.components):
        at = ("spec", "components", index)
        named: list[tuple[tuple[str | int, ...], str]] = [
            ((*at, "files", i, "template"), f.template) for i, f in enumerate(component.files)
        ]
        named += [((*at, "parameters"), name) for name in component.parameters]
        for place, name in named:
            if name not in files:
                message = f"file {name!r} is not in the plugin{near(name, files)}"
                problems.append(in_file(DEFINITION, files[DEFINITION], place, message))
    return problems


def _parse_parameters(file: str, text: str) -> tuple[dict[str, Parameter], list[Problem]]:
    document, problems = parsed_yaml(file, text)
    if document is None and problems:
        return {}, problems
    if not isinstance(document, dict):
        return {}, [at_line(file, 1, "is not a mapping of parameter names")]
    parameters: dict[str, Parameter] = {}
    for key, value in document.items():
        name = str(key)
        parameter, wrong = read_model(Parameter, value, file, text, (name,))
        problems += wrong
        if parameter is None:
            continue
        parameters[name] = parameter
        try:
            jsonschema.Draft202012Validator.check_schema(parameter.schema_)
        except jsonschema.SchemaError as error:
            at = (name, "schema", *error.absolute_path)
            message = f"is not JSON Schema: {error.message}{_reason(error)}"
            problems.append(in_file(file, text, at, message))
            parameters[name] = parameter.model_copy(update={"schema_": {"enum": []}, "default": None})
            continue
        if reference := foreign_reference(parameter.schema_):
            message = f"refers to {reference!r}, and nothing is fetched; write that schema here"
            problems.append(in_file(file, text, (name, "schema"), message))
            continue
        if parameter.default is not None:
            said = [*schema_errors(parameter.schema_, parameter.default), control_characters(parameter.default)]
            problems += [in_file(file, text, (name, "default"), each) for each in said if each]
    return parameters, problems


def _reason(error: jsonschema.SchemaError) -> str:
    """Why a pattern is none; the schema of schemas only says that it is none."""
    if error.validator != "format" or error.validator_value != "regex":
        return ""
    try:
        re.compile(str(error.instance))
    except re.error as wrong:
        return f": {wrong}"
    return ""
