"""Whether Apps can move from one version of a plugin to the next."""

from __future__ import annotations

from collections.abc import Iterator

from language.versions import version_key
from render.plugin.bundle import DEFINITION, PluginBundle
from render.plugin.problems import Problem, in_file, listing


def shared_runtime_versions(one: PluginBundle, other: PluginBundle) -> list[str]:
    """Runtime versions that both support, oldest first."""
    versions = {v.version for v in one.plugin.spec.runtime_versions}
    return sorted(versions & {v.version for v in other.plugin.spec.runtime_versions}, key=version_key)


def check_successor(older: PluginBundle, newer: PluginBundle) -> list[Problem]:
    """Whether Apps can move between two adjacent versions of a plugin: they must share a runtime version."""
    if older.digest != newer.digest and older.version == newer.version:
        message = f"{newer.name} {newer.version} is installed with other content ({older.digest}); raise the version"
        return [in_file(DEFINITION, newer.files[DEFINITION], "metadata.version", message)]
    if moved := list(_other_ids(older, newer)):
        return moved
    if shared_runtime_versions(older, newer):
        return []
    has = listing(v.version for v in older.plugin.spec.runtime_versions)
    message = (
        f"shares no runtime version with {older.name} {older.version}, which has {has}; keep one, so that Apps can move"
    )
    return [in_file(DEFINITION, newer.files[DEFINITION], "spec.runtimeVersions", message)]


def _other_ids(older: PluginBundle, newer: PluginBundle) -> Iterator[Problem]:
    """A node that runs keeps its id: the engine knows it, and its data, by that."""
    before = {each.name: each.id_base for each in older.plugin.spec.components}
    for index, component in enumerate(newer.plugin.spec.components):
        had = before.get(component.name, component.id_base)
        if had != component.id_base:
            message = f"{older.name} {older.version} has idBase {had}, by which the nodes that run are known; keep it"
            yield in_file(DEFINITION, newer.files[DEFINITION], f"spec.components[{index}].idBase", message)
