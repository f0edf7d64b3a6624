"""What may not change after an App was created, compared with its records.

The CRD's CEL rules say the same at once; API servers before 1.25 have no CEL, and a rule cannot see the plugin's
defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from api.app import App, GroupTemplate, Storage
from api.meta import parse_quantity
from api.names import group_name
from api.plugin import Topology, TopologyComponent
from render.desired.app import RecordedState, chosen_topology, effective_config, group_templates
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem, listing


def immutability_problems(app: App, bundle: PluginBundle, topology: Topology, recorded: RecordedState) -> list[Problem]:
    """Changes of topology, components, groups, storage and immutable parameters; none before the first deploy."""
    before = next((record.topology for record in recorded.components.values() if record.topology), None)
    if before is not None and before != topology.name:
        message = f"cannot change from {before!r} to {topology.name!r} after creation; make a new App and move the data"
        return [Problem("spec.topology", message)]
    return [*_groups(app, topology, recorded), *_parameters(app, bundle, topology, recorded)]


def _groups(app: App, topology: Topology, recorded: RecordedState) -> Iterator[Problem]:
    for default in topology.components:
        record = recorded.components.get(default.name)
        if record is None:
            continue
        index = next((i for i, c in enumerate(app.spec.components) if c.name == default.name), None)
        path = f"spec.components[{index}].groups" if index is not None else "spec.components"
        groups = group_templates(app.spec.components[index] if index is not None else None, default)
        names = {group.name for group in groups}
        if names != set(record.groups):
            message = f"the groups of {default.name} cannot change after creation; they are {listing(record.groups)}"
            yield Problem(path, message)
            continue
        for position, name, was, storage in _storages(app, default, groups, recorded):
            # Not what was asked for: where no volume has got it, a slip of the pen can be corrected.
            none = recorded.held is not None and name not in recorded.held
            has = "0" if none else min(was.size, (recorded.held or {}).get(name, was.size), key=parse_quantity)
            if parse_quantity(storage.size) < parse_quantity(has):
                message = f"a volume cannot shrink; it has {has}"
                yield Problem(f"{path}[{position}].storage.size", message)
            if was.storage_class_name != storage.storage_class_name and not none:
                shown = was.storage_class_name or "the cluster's default"
                message = f"cannot change where there are volumes; it is {shown}"
                yield Problem(f"{path}[{position}].storage.storageClassName", message)


def _storages(
    app: App, default: TopologyComponent, groups: Iterable[GroupTemplate], recorded: RecordedState
) -> Iterator[tuple[int, str, Storage, Storage]]:
    """Of each group with storage, before and now: its position, its Group resource's name, the former, the present."""
    for position, group in enumerate(groups):
        name = group_name(app.name, default.name, group.name)
        was, storage = recorded.groups.get(name), group.storage or default.storage
        if was is not None and was.storage is not None and storage is not None:
            yield position, name, was.storage, storage


def depends_on_volumes(app: App, bundle: PluginBundle, recorded: RecordedState) -> bool:
    """Whether a group is to have less than was last asked for, or another StorageClass, so that it matters what its
    volumes are."""
    topology = chosen_topology(app, bundle)
    given = {component.name: component for component in app.spec.components}
    return any(
        parse_quantity(storage.size) < parse_quantity(was.size) or storage.storage_class_name != was.storage_class_name
        for default in (topology.components if topology is not None else ())
        for _, _, was, storage in _storages(app, default, group_templates(given.get(default.name), default), recorded)
    )


def _parameters(app: App, bundle: PluginBundle, topology: Topology, recorded: RecordedState) -> Iterator[Problem]:
    for default in topology.components:
        record = recorded.components.get(default.name)
        if record is None:
            continue
        index = next((i for i, c in enumerate(app.spec.components) if c.name == default.name), None)
        parameters = bundle.parameters_in(default)
        config = effective_config(app.spec.components[index] if index is not None else None, parameters)
        for name, parameter in parameters.items():
            if parameter.apply == "immutable" and config.get(name) != record.config.get(name):
                path = f"spec.components[{index}].config.{name}" if index is not None else f"spec.components.{name}"
                message = f"cannot change after creation; it is {record.config.get(name)!r}"
                yield Problem(path, message)
