"""In which roles a component's nodes take writes, which of them at most one node may hold, and who replaces the holder:
from the plugin that the App names."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from api.names import LABEL_COMPONENT, LABEL_PLUGIN, LABEL_PLUGIN_VERSION, LABEL_SERVICE_ROLE
from api.plugin import Plugin
from clients.resources import Manifest
from clients.shared_watch import Change, WatchEvent
from watcher.cache import pods
from watcher.cache.caches import Caches

log = logging.getLogger(__name__)

_DEFINITION = "plugin.yaml"


@dataclass(frozen=True)
class _Rules:
    """``writable`` and ``exclusive`` by component. ``replaced``: topology -> components whose lost holder the platform
    replaces; that of the default topology also under an empty name."""

    writable: dict[str, frozenset[str]]
    exclusive: dict[str, frozenset[str]]
    replaced: dict[str, frozenset[str]]


class RoleRules:
    """Reads each installed plugin version once; its ConfigMap is immutable."""

    def __init__(self, cluster: Caches) -> None:
        self._cluster = cluster
        self._rules: dict[tuple[str, str], _Rules | None] = {}
        """None: one that cannot be read; it is looked at again when its ConfigMap changes."""
        self._last: dict[tuple[str, str], tuple[_Rules, str]] = {}
        """App -> rules and topology that were good last: a spec that names others by mistake is refused, and what runs
        goes on."""
        cluster.plugins.subscribe(self._changed)
        cluster.apps.subscribe(self._app_changed)

    def writable(self, namespace: str, app: str, component: str) -> frozenset[str]:
        """Each has a Service. Where the plugin cannot be read, those that there are say which."""
        found = self._of_app(namespace, app)
        if found is not None and component in found[0].writable:
            return found[0].writable[component]
        return self._with_service(namespace, app, component)

    def exclusive(self, namespace: str, app: str, component: str) -> frozenset[str]:
        """Where the plugin cannot be read, every role that has a Service: one holder too few is the safe mistake."""
        found = self._of_app(namespace, app)
        if found is not None and component in found[0].exclusive:
            return found[0].exclusive[component]
        return self._with_service(namespace, app, component)

    def _with_service(self, namespace: str, app: str, component: str) -> frozenset[str]:
        services = self._cluster.services_of.of((namespace, app))
        roles = (pods.label(s, LABEL_SERVICE_ROLE) for s in services if pods.label(s, LABEL_COMPONENT) == component)
        return frozenset(role for role in roles if role)

    def replaced(self, namespace: str, app: str, component: str) -> bool:
        """Whether the platform, not the engine, replaces a lost holder of the component's writable exclusive role.

        No where the plugin cannot be read: a primary that is not replaced is the safe mistake.
        """
        found = self._of_app(namespace, app)
        return found is not None and component in found[0].replaced.get(found[1], frozenset())

    def _of_app(self, namespace: str, app: str) -> tuple[_Rules, str] | None:
        """Rules and topology."""
        spec = (self._cluster.apps.get(namespace, app) or {}).get("spec") or {}
        plugin = spec.get("plugin") or {}
        rules = self._of(str(plugin.get("name")), str(plugin.get("version")))
        topology = str(spec.get("topology") or "")
        if rules is not None and topology in rules.replaced:
            self._last[namespace, app] = rules, topology
        elif (namespace, app) in self._last:
            return self._last[namespace, app]
        return (rules, topology) if rules is not None else None

    def _of(self, name: str, version: str) -> _Rules | None:
        if (name, version) not in self._rules:
            wanted = {LABEL_PLUGIN: name, LABEL_PLUGIN_VERSION: version}
            found = self._cluster.plugins.list(labels=wanted)
            if not found:
                return None
            self._rules[name, version] = _parse(found[0])
        return self._rules[name, version]

    def _app_changed(self, event: WatchEvent) -> None:
        if event.change is Change.DELETED:
            self._last.pop((str(event.object["metadata"]["namespace"]), str(event.object["metadata"]["name"])), None)

    def _changed(self, event: WatchEvent) -> None:
        # A deleted version's rules stay for the Apps that still run with it; one installed anew is read anew.
        if event.change is not Change.DELETED:
            key = pods.label(event.object, LABEL_PLUGIN), pods.label(event.object, LABEL_PLUGIN_VERSION)
            self._rules.pop(key, None)


def _parse(config_map: Manifest) -> _Rules | None:
    try:
        plugin = Plugin.model_validate(yaml.safe_load((config_map.get("data") or {}).get(_DEFINITION, "")))
    except (yaml.YAMLError, ValidationError) as error:
        log.error("plugin cannot be read: %s", error, extra={"config_map": config_map["metadata"]["name"]})
        return None
    components, topologies = plugin.spec.components, plugin.spec.topologies
    writable = {c.name: frozenset(r.name for r in c.roles if r.writable) for c in components}
    exclusive = {c.name: frozenset(r.name for r in c.roles if r.writable and r.exclusive) for c in components}
    replaced = {
        t.name: frozenset(c.name for c in t.components if t.failover == "platform" and exclusive.get(c.name))
        for t in topologies
    }
    default = next(t.name for t in topologies if t.default)
    return _Rules(writable, exclusive, {**replaced, "": replaced[default]})
