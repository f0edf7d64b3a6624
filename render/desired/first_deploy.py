"""What a first Deploy has begun to make, by the record that it wrote before. Pure.

Until it has completed the spec may ask for anything else, or for what cannot be, while nodes serve already.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from api.app import App, ComponentTemplate, DeployedStatus, GroupTemplate, PluginReference
from api.group import AgentBundle
from render.desired.app import DesiredApp, Pinned, RecordedState, desired, pinned_to
from render.plugin.bundle import PluginBundle

_GROUP_FIELDS = tuple(name for name in GroupTemplate.model_fields if name != "name")


def app_begun(app: App, deployed: DeployedStatus | None, runtime_version: str, recorded: RecordedState) -> App | None:
    """The App with the spec that the record is of; None before there is one."""
    if deployed is None or not runtime_version or not recorded.components:
        return None
    components = [
        ComponentTemplate(
            name=name,
            config=component.config,
            groups=[
                GroupTemplate(name=group.group, **{field: getattr(group, field) for field in _GROUP_FIELDS})
                for group in recorded.groups.values()
                if group.component == name and group.group in component.groups
            ],
        )
        for name, component in recorded.components.items()
    ]
    changes = {
        "plugin": PluginReference(name=deployed.plugin, version=deployed.plugin_version),
        "runtime_version": runtime_version,
        "topology": deployed.topology,
        "components": components,
    }
    return app.model_copy(update={"spec": app.spec.model_copy(update=changes)})


def as_begun(
    begun: App,
    bundle: PluginBundle,
    recorded: RecordedState,
    reached: Collection[str],
    versions: Mapping[str, str],
    *,
    agent: AgentBundle,
) -> DesiredApp:
    """``reached``: names of the nodes that have an address; the others are not there yet for anybody. ``versions``: of
    what those that have a Deployment are, as the record may be newer."""
    whole = desired(begun, bundle, agent=agent, recorded=recorded)
    ordinals = {
        group.resource_name: [node.ordinal for node in group.nodes if node.name in reached]
        for component in whole.components
        for group in component.groups
    }
    return pinned_to(whole, Pinned(ordinals, versions=versions))
