"""What the parts of an App's metadata hold: what runs, by the platform's own record. Pure: from former value to new.

``basic``: versions and times. ``nodes``: lists normal, adding, deleting; each entry has name, component, group and the
runtime version that the node runs. ``record``: what Components and Groups were made of, so that a hand-edited resource
is seen as such, and under ``previous`` what to go back to while a rolling operation runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from api.group import GroupSpec
from api.meta import parse_quantity
from api.operations import OperationType
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.desired.recorded_state import PREVIOUS_PLUGIN, STATES, lists, own_lists
from render.desired.recorded_state import UNVERIFIED as UNVERIFIED
from render.desired.recorded_state import Entry as Entry
from render.desired.recorded_state import entries as entries
from render.desired.recorded_state import way_back as way_back
from render.desired.spec_parts import pod_facts
from render.plugin.versions import version_key

BEGUN = "begun"
"""In ``basic`` of an App whose first Deploy has not completed: components of which no node may begin as first primary
any more, since others may have data."""
DATA = "data"
"""In a node's entry: the highest runtime version whose engine has had its volume, where an upgrade noted it."""


def basic(before: Any, desired: DesiredApp, now: str) -> dict[str, Any]:
    """Versions, when the App was made and last changed. ``deployed`` is added by ``finish``."""
    same = isinstance(before, dict) and before.get("uid") == desired.uid
    part: dict[str, Any] = dict(before) if same else {"uid": desired.uid, "created": now, "updated": now}
    facts = {
        "plugin": desired.bundle.name,
        "pluginVersion": desired.bundle.version,
        "runtimeVersion": desired.runtime_version,
        "topology": desired.topology,
    }
    former = part.get("pluginVersion")
    if former not in (None, facts["pluginVersion"]) and PREVIOUS_PLUGIN not in part:
        part[PREVIOUS_PLUGIN] = former
    if any(part.get(key) != value for key, value in facts.items()):
        part.update(facts, updated=now)
    return part


def begun(part: Any) -> list[str]:
    found = part.get(BEGUN) if isinstance(part, dict) else None
    return [str(name) for name in found] if isinstance(found, list) else []


def with_begun(before: Any, component: str) -> dict[str, Any]:
    part = before if isinstance(before, dict) else {}
    return {**part, BEGUN: sorted({*begun(part), component})}


def without_previous_plugin(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != PREVIOUS_PLUGIN}


def adding(before: Any, desired: DesiredApp, *, ran: bool = False) -> dict[str, list[Entry]]:
    """All wanted nodes that are not normal yet as ``adding``; none of them is on its way out any more.

    ``ran``: the App has run, so what an interrupted Scale has begun to add stays noted for the next one.
    """
    part = lists(before)
    wanted = {node.name for node in desired.nodes}
    normal = [node for node in part["normal"] if node.get("name") in wanted]
    known = {node["name"]: node for node in [*normal, *part["adding"]]}
    versions = {node.name: node.runtime_version for node in desired.nodes}
    return {
        "normal": [_versioned(node, versions) for node in normal],
        "adding": [
            *(known.get(n.name, entry(n)) for n in desired.nodes if n.name not in {each["name"] for each in normal}),
            *(node for node in part["adding"] if ran and node.get("name") not in wanted),
        ],
        "deleting": [node for node in part["deleting"] if node.get("name") not in wanted],
    }


def _versioned(node: Entry, versions: Mapping[str, str]) -> Entry:
    return node if node.get("version") else {**node, "version": versions[node["name"]]}


def entry(node: DesiredNode) -> Entry:
    return {
        "name": node.name,
        "component": node.component,
        "group": node.group,
        "version": node.runtime_version,
    }


def normal(before: Any, component: DesiredComponent, runs: Mapping[str, str] | None = None) -> dict[str, list[Entry]]:
    """All nodes of the component are there; what is noted of each stays. ``runs``: of which version each Deployment is:
    a Repair may have made it anew, of another one than was noted."""
    part = lists(before)
    known = {node["name"]: node for node in [*part["normal"], *part["adding"]]}
    own = [_running(known.get(node.name, entry(node)), (runs or {}).get(node.name, "")) for node in component.nodes]
    names = {node["name"] for node in own}

    def others(state: str) -> list[Entry]:
        return [node for node in part[state] if node.get("name") not in names]

    everybody = sorted([*others("normal"), *own], key=lambda node: node["name"])
    return {"normal": everybody, "adding": others("adding"), "deleting": others("deleting")}


def _running(node: Entry, runs: str) -> Entry:
    if not runs or UNVERIFIED in node:
        return node
    found = {**node, "version": runs}
    if DATA in node or runs != node.get("version", runs):
        found[DATA] = had(node, runs)
    return found


def rolled(before: Any, name: str, version: str) -> dict[str, list[Entry]]:
    """The node's Pod is of ``version`` from now on, which nobody has verified yet."""
    return _edited(before, name, lambda node: {**node, "version": version, UNVERIFIED: "true"})


def engine_ran(before: Any, name: str, version: str) -> dict[str, list[Entry]]:
    """An engine of ``version`` has had the node's volume: lower ones may not be able to read it any more."""

    def edit(node: Entry) -> Entry:
        known = node.get(DATA, "")
        return {**node, DATA: version} if not known or version_key(version) > version_key(known) else node

    return _edited(before, name, edit)


def had(entry: Mapping[str, str], runs: str) -> str:
    """The highest runtime version whose engine has had the node's volume, as far as anybody knows. ``runs``: what its
    Deployment is of; that of a node that was just rolled may not have started."""
    known = [version for version in (entry.get(DATA, ""), "" if UNVERIFIED in entry else runs) if version]
    return max(known, key=version_key, default="")


def wiped(before: Any, name: str) -> dict[str, list[Entry]]:
    """The node's volume is empty."""
    return _edited(before, name, lambda node: {key: value for key, value in node.items() if key != DATA})


def verified(before: Any, name: str) -> dict[str, list[Entry]]:
    """The node serves, with the version that it should have."""
    return _edited(before, name, lambda node: {key: value for key, value in node.items() if key != UNVERIFIED})


def _edited(before: Any, name: str, edit: Callable[[Entry], Entry]) -> dict[str, list[Entry]]:
    part = lists(before)
    return {state: [edit(node) if node.get("name") == name else node for node in part[state]] for state in STATES}


def mended(part: Any, app: str, found: Mapping[str, tuple[str, Entry]]) -> dict[str, list[Entry]]:
    """What of the App's lists can be read, with every node of ``found`` (state and entry, by name) that they have
    lost."""
    kept = own_lists(part, app)
    known = {node["name"] for state in STATES for node in kept[state]}
    for name, (state, node) in found.items():
        if name not in known:
            kept[state].append(node)
    return {state: sorted(nodes, key=lambda node: node["name"]) for state, nodes in kept.items()}


def deleting(before: Any, names: Collection[str]) -> dict[str, list[Entry]]:
    """The named nodes are on their way out."""
    part = lists(before)
    moved = [node for state in ("normal", "adding") for node in part[state] if node.get("name") in names]
    kept = {state: [node for node in part[state] if node.get("name") not in names] for state in ("normal", "adding")}
    return {**kept, "deleting": sorted([*part["deleting"], *moved], key=lambda node: node["name"])}


def gone(before: Any, names: Collection[str]) -> dict[str, list[Entry]]:
    part = lists(before)
    return {state: [node for node in part[state] if node.get("name") not in names] for state in STATES}


def record(before: Any, desired: DesiredApp, operation: str) -> dict[str, Any]:
    """What ``desired`` is made of. A rolling operation notes once what was before it: it may be begun again. One that
    overtakes an upgrade from which there was no way back any more begins where that one had come to."""
    part: dict[str, Any] = {"uid": desired.uid}
    if isinstance(before, dict) and before.get("uid") == desired.uid:
        part = dict(before)
    groups = {group.resource_name: group.spec for component in desired.components for group in component.groups}
    former = part.get("groups") or {}
    changed = any(
        name in former and _dump(spec) != former[name] and _differs(spec, GroupSpec.model_validate(former[name]))
        for name, spec in groups.items()
    )
    earlier = part.get("previous")
    past_it = isinstance(earlier, dict) and earlier.get("final") and part["runtimeVersion"] != desired.runtime_version
    begins = earlier is None or past_it
    if operation in (OperationType.UPGRADE, OperationType.RESIZE) and changed and begins:
        part["previous"] = {"groups": former, "runtimeVersion": part.get("runtimeVersion", "")}
    part["runtimeVersion"] = desired.runtime_version
    part["groups"] = {name: _dump(spec) for name, spec in groups.items()}
    part["components"] = {component.name: component_record(desired, component) for component in desired.components}
    return part


def reconfigured(before: Any, desired: DesiredApp, component: DesiredComponent) -> dict[str, Any]:
    """The component's parameters are those of ``component`` from now on."""
    part: dict[str, Any] = dict(before) if isinstance(before, dict) else {"uid": desired.uid}
    part["components"] = {**(part.get("components") or {}), component.name: component_record(desired, component)}
    return part


def component_record(desired: DesiredApp, component: DesiredComponent) -> dict[str, Any]:
    found: dict[str, Any] = {
        "app": desired.name,
        "component": component.name,
        "topology": desired.topology,
        "config": dict(component.config),
        "groups": [group.name for group in component.groups],
    }
    if component.recorded_bootstrap is not None:
        found["bootstrapNode"] = component.recorded_bootstrap
    return found


def final(before: Any, version: str) -> Any:
    """The writable role goes to a node of ``version``: where an upgrade is under way there is only forward from it."""
    if not isinstance(before, dict) or "previous" not in before:
        return before
    former = str(before["previous"].get("runtimeVersion", ""))
    if not former or not version or version_key(version) <= version_key(former):
        return before
    return {**before, "previous": {**before["previous"], "final": True}}


def reopened(before: Any) -> Any:
    """It did not go there after all."""
    if not isinstance(before, dict) or "previous" not in before:
        return before
    return {**before, "previous": {key: value for key, value in before["previous"].items() if key != "final"}}


def settled(before: Any) -> Any:
    """Nothing to go back to any more."""
    if not isinstance(before, dict) or "previous" not in before:
        return before
    return {key: value for key, value in before.items() if key != "previous"}


def restored(before: Any, grown: Collection[str] = ()) -> Any:
    """What was before the rolling operation is the record again, but for the size of what has ``grown`` (names of
    groups): a volume that is made anew must not be smaller than its peers."""
    if not isinstance(before, dict) or "previous" not in before:
        return before
    previous, now = before["previous"], before.get("groups") or {}
    groups = {
        name: {**group, "storage": now[name]["storage"]} if name in grown else group
        for name, group in previous["groups"].items()
    }
    return {**settled(before), "groups": groups, "runtimeVersion": previous["runtimeVersion"]}


def _differs(spec: GroupSpec, former: GroupSpec) -> bool:
    """In what its Pods are made of, or in the size of its volumes."""
    sizes = [parse_quantity(each.storage.size) if each.storage else None for each in (spec, former)]
    return sizes[0] != sizes[1] or pod_facts(spec) != pod_facts(former)


def _dump(spec: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = spec.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped
