"""An App as it would be deployed from a plugin's folder, with stand-ins for what only a cluster has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.app import App, Scalar
from api.group import AgentBundle
from cli.session import CommandError
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode, desired
from render.manifests.node import node_config_map, stand_in_addresses
from render.plugin.bundle import PluginBundle, PluginRefused, load_folder
from render.plugin.templates import TemplateFailure

NAME, NAMESPACE = "example", "default"


def loaded(folder: Path) -> PluginBundle:
    """Raises CommandError."""
    try:
        return load_folder(folder)
    except PluginRefused as error:
        raise CommandError(f"{error}; mw plugin lint {folder} says all that is wrong") from error


def example(
    bundle: PluginBundle,
    *,
    topology: str | None = None,
    runtime_version: str | None = None,
    replicas: Mapping[str, int] | None = None,
    config: Mapping[str, Mapping[str, Scalar]] | None = None,
) -> DesiredApp:
    """``replicas`` and ``config``: by component; the rest is the plugin's own. Raises CommandError."""
    spec = bundle.plugin.spec
    topologies = {each.name: each for each in spec.topologies}
    chosen = topology or next(each.name for each in spec.topologies if each.default)
    if chosen not in topologies:
        raise CommandError(f"the plugin has no topology {chosen!r}; it has {', '.join(topologies)}")
    version = runtime_version or spec.default_runtime_version
    versions = [each.version for each in spec.runtime_versions]
    if version not in versions:
        raise CommandError(f"the plugin has no runtime version {version!r}; it has {', '.join(versions)}")
    components: list[dict[str, Any]] = []
    for each in topologies[chosen].components:
        count = (replicas or {}).get(each.name, each.replicas)
        own = dict((config or {}).get(each.name, {}))
        components.append({"name": each.name, "config": own, "groups": [{"name": "nodes", "replicas": count}]})
    app = App.model_validate(
        {
            "apiVersion": "middleware.io/v1alpha1",
            "kind": "App",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "example"},
            "spec": {
                "plugin": {"name": bundle.name, "version": bundle.version},
                "topology": chosen,
                "runtimeVersion": version,
                "components": components,
            },
        }
    )
    return desired(app, bundle, agent=AgentBundle(image="middleware.local/agent:example"))


def node_files(of: DesiredApp, component: DesiredComponent, node: DesiredNode, *, first: bool) -> dict[str, str]:
    """The data of the node's ConfigMap, as ``node_config``."""
    data: dict[str, str] = node_config(of, component, node, first=first)["data"]
    return data


def node_config(of: DesiredApp, component: DesiredComponent, node: DesiredNode, *, first: bool) -> dict[str, Any]:
    """The node's ConfigMap. ``first``: as at the App's first deploy. Raises CommandError."""
    bootstrap = component.bootstrap_node if first else None
    addresses = stand_in_addresses(of)
    try:
        return node_config_map(of, component, node, addresses=addresses, bootstrap=bootstrap, revision=1)
    except TemplateFailure as error:
        raise CommandError(str(error)) from error
