"""Installed plugins, read from their ConfigMaps and kept for a moment: a version's content never changes."""

from __future__ import annotations

import contextlib
import time

from api.names import LABEL_PLUGIN, LABEL_PLUGIN_VERSION, SYSTEM_NAMESPACE
from clients.kubernetes import Kubernetes
from clients.resources import CONFIG_MAP
from render.plugin.bundle import (
    PluginBundle,
    PluginRefused,
    config_map_name,
    from_config_maps,
    is_plugin_map,
    template_map_names,
)

_KEPT_SECONDS = 60.0
"""Long enough for all steps of a Deploy, short enough that a version that was uninstalled is missed soon."""


class Plugins:
    def __init__(self, kubernetes: Kubernetes) -> None:
        self._kubernetes = kubernetes
        self._bundles: dict[tuple[str, str], tuple[float, PluginBundle]] = {}

    async def bundle(self, name: str, version: str) -> PluginBundle | None:
        """None where it is not installed. Raises PluginRefused for one that is damaged."""
        known = self._bundles.get((name, version))
        if known is not None and time.monotonic() - known[0] < _KEPT_SECONDS:
            return known[1]
        definition = await self._kubernetes.get(CONFIG_MAP, config_map_name(name, version), SYSTEM_NAMESPACE)
        if definition is None or not is_plugin_map(definition):
            self._bundles.pop((name, version), None)
            return None
        templates = [
            found
            for map_name in template_map_names(definition)
            if (found := await self._kubernetes.get(CONFIG_MAP, map_name, SYSTEM_NAMESPACE)) is not None
        ]
        bundle = from_config_maps(definition, templates)
        self._bundles[name, version] = (time.monotonic(), bundle)
        return bundle

    async def runtimes(self, name: str) -> dict[str, list[str]]:
        """Installed versions of a plugin, with the runtime versions that each supports; damaged ones are left out."""
        found = {}
        for version in (await self.known()).get(name, []):
            with contextlib.suppress(PluginRefused):
                bundle = await self.bundle(name, version)
                found[version] = [v.version for v in bundle.plugin.spec.runtime_versions] if bundle else []
        return found

    async def known(self) -> dict[str, list[str]]:
        """Installed versions by name, for the sentence that says what would do."""
        found, _ = await self._kubernetes.list(
            CONFIG_MAP, SYSTEM_NAMESPACE, labels="app.kubernetes.io/component=plugin"
        )
        versions: dict[str, list[str]] = {}
        for definition in found:
            labels = definition["metadata"].get("labels") or {}
            versions.setdefault(labels.get(LABEL_PLUGIN, ""), []).append(labels.get(LABEL_PLUGIN_VERSION, ""))
        return {name: sorted(each) for name, each in sorted(versions.items()) if name}
