"""``mw plugin``: a plugin's folder becomes immutable ConfigMaps; a version's content never changes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rich.table import Table

from api.names import LABEL_PLUGIN, LABEL_PLUGIN_VERSION, SYSTEM_NAMESPACE
from api.plugin import Plugin
from cli.session import CommandError
from clients.errors import AlreadyExistsError, ForbiddenError
from clients.kubernetes import Kubernetes
from clients.resources import APP, CONFIG_MAP, Manifest
from language.versions import version_key
from render.check.successor import check_successor
from render.lint.plugin import errors, lint
from render.plugin.bundle import (
    DEFINITION,
    DIGEST_ANNOTATION,
    PluginBundle,
    PluginRefused,
    config_map_name,
    folder_files,
    from_config_maps,
    from_files,
    is_plugin_map,
    template_map_names,
    to_config_maps,
)
from render.plugin.problems import Problem
from render.plugin.yaml_text import load_yaml

_SELECTOR = "app.kubernetes.io/component=plugin"
_FORBIDDEN = (
    f"you may not read the plugins in {SYSTEM_NAMESPACE}; an administrator lets you: kubectl create rolebinding NAME "
    f"-n {SYSTEM_NAMESPACE} --role=middleware-reader --user=YOU"
)


@dataclass(frozen=True)
class Installed:
    name: str
    version: str
    digest: str
    runtime_versions: tuple[str, ...]
    apps: tuple[str, ...]
    """``namespace/name`` of the Apps that use this version."""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "runtimeVersions": list(self.runtime_versions),
            "apps": list(self.apps),
        }


def neighbours(version: str, others: Sequence[str]) -> tuple[str | None, str | None]:
    """The next older and the next newer of ``others``. Pure."""
    older = [other for other in others if version_key(other) < version_key(version)]
    newer = [other for other in others if version_key(other) > version_key(version)]
    return max(older, key=version_key, default=None), min(newer, key=version_key, default=None)


async def install(kubernetes: Kubernetes, folder: Path) -> str:
    """Installs the version in ``folder``; a sentence on what was done. Raises CommandError, KubernetesError."""
    try:
        files = folder_files(folder)
        bundle = from_files(files, folder.name)
        maps = to_config_maps(bundle, SYSTEM_NAMESPACE)
    except PluginRefused as error:
        raise _refusal(folder, error.problems) from error
    present = await installed(kubernetes)
    own = [plugin for plugin in present if plugin.name == bundle.name]
    same = next((plugin for plugin in own if plugin.version == bundle.version), None)
    if same is not None:
        if same.digest == bundle.digest:
            return f"Plugin {bundle.name} {bundle.version} is installed already"
        raise CommandError(
            f"plugin {bundle.name} {bundle.version} is installed with other content ({same.digest}, the folder has "
            f"{bundle.digest}); a version never changes: raise metadata.version in {folder / DEFINITION}"
        )
    problems = errors(lint(files, folder.name))
    before, after = neighbours(bundle.version, [plugin.version for plugin in own])
    if before is not None:
        problems += check_successor(await installed_bundle(kubernetes, bundle.name, before), bundle)
    if after is not None:
        problems += check_successor(bundle, await installed_bundle(kubernetes, bundle.name, after))
    if problems:
        raise _refusal(folder, problems)
    # The definition last: whoever sees it finds all that it refers to.
    for manifest in reversed(maps):
        await _create(kubernetes, manifest, bundle)
    runtimes = ", ".join(runtime.version for runtime in bundle.plugin.spec.runtime_versions)
    return f"Plugin {bundle.name} {bundle.version} installed (runtime versions {runtimes})"


def _refusal(folder: Path, problems: Sequence[Problem]) -> CommandError:
    lines = "".join(f"\n  {problem}" for problem in problems)
    return CommandError(f"the plugin in {folder} is refused:{lines}")


async def installed_bundle(kubernetes: Kubernetes, name: str, version: str) -> PluginBundle:
    """Raises CommandError where it is not installed, or damaged, or may not be read."""
    try:
        definition = await kubernetes.get(CONFIG_MAP, config_map_name(name, version), SYSTEM_NAMESPACE)
    except ForbiddenError as error:
        raise CommandError(_FORBIDDEN) from error
    if definition is None or not is_plugin_map(definition):
        raise CommandError(f"plugin {name} {version} is not installed; mw plugin list shows what is")
    found = [await kubernetes.get(CONFIG_MAP, each, SYSTEM_NAMESPACE) for each in template_map_names(definition)]
    try:
        return from_config_maps(definition, [each for each in found if each is not None])
    except PluginRefused as error:
        raise CommandError(f"installed plugin {name} {version} is damaged: {error}; install it again") from error


async def _create(kubernetes: Kubernetes, manifest: Manifest, bundle: PluginBundle) -> None:
    name = str(manifest["metadata"]["name"])
    try:
        await kubernetes.create(manifest)
    except AlreadyExistsError:
        live = await kubernetes.get(CONFIG_MAP, name, SYSTEM_NAMESPACE)
        if live is not None and _digest(live) == bundle.digest:
            return
        # Left by an installation that was interrupted before its definition: nobody refers to it.
        await kubernetes.delete(CONFIG_MAP, name, SYSTEM_NAMESPACE)
        await kubernetes.create(manifest)


async def installed(kubernetes: Kubernetes) -> list[Installed]:
    """By name, then version, oldest first. Without the Apps that use each, for who may not list Apps everywhere."""
    try:
        maps, _ = await kubernetes.list(CONFIG_MAP, SYSTEM_NAMESPACE, labels=_SELECTOR)
    except ForbiddenError as error:
        raise CommandError(_FORBIDDEN) from error
    apps: Sequence[Manifest] = []
    if await kubernetes.serves(APP):
        with contextlib.suppress(ForbiddenError):
            apps, _ = await kubernetes.list(APP)
    found = []
    for config_map in maps:
        labels = config_map["metadata"].get("labels") or {}
        name, version = str(labels.get(LABEL_PLUGIN)), str(labels.get(LABEL_PLUGIN_VERSION))
        users = tuple(
            f"{app['metadata']['namespace']}/{app['metadata']['name']}"
            for app in apps
            if app["spec"]["plugin"] == {"name": name, "version": version}
        )
        found.append(Installed(name, version, _digest(config_map), _runtimes(config_map), users))
    return sorted(found, key=lambda plugin: (plugin.name, version_key(plugin.version)))


def table(found: Sequence[Installed]) -> Table | str:
    if not found:
        return "No plugin is installed; mw plugin install plugins/redis installs one"
    result = Table("PLUGIN", "VERSION", "RUNTIME VERSIONS", "APPS", "DIGEST", box=None, pad_edge=False)
    for plugin in found:
        digest = plugin.digest.removeprefix("sha256:")[:12]
        runtimes = ", ".join(plugin.runtime_versions)
        result.add_row(plugin.name, plugin.version, runtimes, str(len(plugin.apps)), digest)
    return result


def _digest(config_map: Manifest) -> str:
    return str((config_map["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION, ""))


def _runtimes(config_map: Manifest) -> tuple[str, ...]:
    try:
        plugin = Plugin.model_validate(load_yaml((config_map.get("data") or {}).get(DEFINITION, "")))
    except (yaml.YAMLError, ValidationError):
        return ()  # of a newer platform, or spoilt: it is listed all the same
    return tuple(runtime.version for runtime in plugin.spec.runtime_versions)
