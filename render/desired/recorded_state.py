"""What runs, as an App's metadata, Components and Groups say it, for operations and ``mw render``. Pure.

What cannot be read, since somebody edited it, is as good as missing here; ``damaged_parts`` says what that is. The
platform goes by no damaged part: a step that meets one ends its operation, and the next look at the App mends it from
what is true, or says why it cannot. Whoever may write the ConfigMap writes names into it: of a node is only taken what
the App's own names are put together to (``own_lists``), since steps read and remove objects by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api.component import Component, ComponentSpec
from api.group import Group, GroupSpec
from api.meta import Manifest
from api.names import group_name, node_ordinal
from render.desired.app import RecordedState
from render.desired.spec_parts import Deployed

PARTS = ("basic", "nodes", "record")
"""Those by which what runs is known. ``config`` and ``roles`` only tell of it."""
STATES = ("normal", "adding", "deleting")
PREVIOUS_PLUGIN = "previousPlugin"
"""In ``basic`` until an UpgradePlugin has ended: the version that an abort goes back to."""
UNVERIFIED = "unverified"
"""In a node's entry: a rolling operation has given it another Pod and has not seen it serve yet."""
Entry = dict[str, str]
"""Of a node, in the part ``nodes``."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SHOWN_NAMES = 3
_TEXTS = ("name", "component", "group", "version", "unverified", "data")


def read_part(config_map: Mapping[str, Any] | None, part: str) -> Any:
    """The part's value, None where it is missing or not JSON (somebody edited it)."""
    text = ((config_map or {}).get("data") or {}).get(part)
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def has_run(basic: Any, uid: str) -> bool:
    """Whether a Deploy of this App has completed, by the ``basic`` part of its metadata."""
    return isinstance(basic, dict) and basic.get("uid") == uid and bool(basic.get("deployed"))


def recorded_state(components: Mapping[str, Manifest], groups: Mapping[str, Manifest], record: Any) -> RecordedState:
    """``components`` and ``groups`` by resource name; ``record``: the part, which counts more than they do."""
    by_component = {(spec := Component.model_validate(each).spec).component: spec for each in components.values()}
    by_group = {name: Group.model_validate(each).spec for name, each in groups.items()}
    if isinstance(record, dict):
        scaled = {name: spec.replicas for name, spec in by_group.items()}
        # Which node begins as first primary is written into the Component, in mid-deploy over kept volumes.
        begun = {name: spec.bootstrap_node for name, spec in by_component.items()}
        by_component |= {
            name: spec.model_copy(update={"bootstrap_node": begun.get(name) or spec.bootstrap_node})
            for name, spec in _parsed(record.get("components"), ComponentSpec).items()
        }
        by_group |= _parsed(record.get("groups"), GroupSpec)
        by_group = {
            name: spec.model_copy(update={"replicas": scaled.get(name, spec.replicas)})
            for name, spec in by_group.items()
        }
    return RecordedState(by_component, by_group)


def _parsed(entries: Any, model: Any) -> dict[str, Any]:
    """What cannot be read (somebody edited it) is as good as missing."""
    found = {name: _read(entry, model) for name, entry in entries.items()} if isinstance(entries, dict) else {}
    return {name: spec for name, spec in found.items() if spec is not None}


def _read(entry: Any, model: Any) -> Any:
    """None where it cannot be read. A newer platform may have written fields that this one does not know."""
    if not isinstance(entry, dict):
        return None
    known = {field.alias or name for name, field in model.model_fields.items()}
    try:
        return model.model_validate({key: value for key, value in entry.items() if key in known})
    except ValidationError:
        return None


def deployed_state(app: str, uid: str, metadata: Manifest | None, recorded: RecordedState) -> Deployed | None:
    """None before the first Deploy completed."""
    basic = read_part(metadata, "basic")
    if not has_run(basic, uid):
        return None
    nodes = own_lists(read_part(metadata, "nodes"), app)
    ordinals: dict[str, set[int]] = {}
    versions: dict[str, str] = {}
    joining: dict[str, set[int]] = {}
    for state, found in (("normal", ordinals), ("adding", joining)):
        for node in nodes[state]:
            name = group_name(app, node["component"], node["group"])
            found.setdefault(name, set()).add(int(node["name"].rpartition("-")[2]))
            if node.get("version"):
                versions[node["name"]] = node["version"]
    return Deployed(
        plugin_version=str(basic.get("pluginVersion", "")),
        runtime_version=str(basic.get("runtimeVersion", "")),
        base_version=way_back(read_part(metadata, "record")) or str(basic.get("runtimeVersion", "")),
        recorded=recorded,
        ordinals={name: tuple(sorted(found)) for name, found in ordinals.items()},
        joining={name: tuple(sorted(found)) for name, found in joining.items()},
        versions=versions,
        removing=frozenset(node["name"] for node in nodes["deleting"]),
        previous_plugin=str(basic.get(PREVIOUS_PLUGIN, "")),
    )


def way_back(part: Any) -> str:
    """The runtime version that an unfinished upgrade can still go back to; empty where there is none."""
    previous = part.get("previous") if isinstance(part, dict) else None
    if not isinstance(previous, dict) or previous.get("final"):
        return ""
    return str(previous.get("runtimeVersion", ""))


def own_lists(before: Any, app: str) -> dict[str, list[Entry]]:
    """What of the part can be read, and names a node that this App can have."""
    return {state: [node for node in nodes if _is_own(node, app)] for state, nodes in lists(before).items()}


def _is_own(node: Entry, app: str) -> bool:
    return node_ordinal(app, node.get("component", ""), node.get("group", ""), node["name"]) is not None


def lists(before: Any) -> dict[str, list[Entry]]:
    """What of the part can be read. What cannot (somebody edited it) is forgotten, and so is a node's second entry. For
    a part that was found undamaged; of any other: ``own_lists``."""
    part = before if isinstance(before, dict) else {}
    found: dict[str, list[Entry]] = {state: [] for state in STATES}
    seen: set[str] = set()
    for state in STATES:
        listed = part.get(state)
        for node in listed if isinstance(listed, list) else ():
            if _is_entry(node) and node["name"] not in seen:
                seen.add(node["name"])
                found[state].append(node)
    return found


def _is_entry(node: Any) -> bool:
    """Whether what is known of it is text, and its name that of a node of its component and group."""
    if not isinstance(node, dict) or not all(isinstance(node.get(key, ""), str) for key in _TEXTS):
        return False
    name, place = node.get("name", ""), f"-{node.get('component', '')}-{node.get('group', '')}-"
    before, _, ordinal = name.rpartition("-")
    decimal = ordinal.isascii() and ordinal.isdecimal()
    return bool(decimal and before and f"{before}-".endswith(place)) and _NAME.fullmatch(name) is not None


def entries(part: Any) -> dict[str, Entry]:
    """All nodes by name, in whichever state."""
    read = lists(part)
    return {node["name"]: node for state in STATES for node in read[state]}


def unreadable(part: Any, app: str) -> str:
    """What is wrong with the App's lists; empty for good ones."""
    if not isinstance(part, dict):
        return "is no JSON object"
    readable = lists(part)
    left = [state for state in STATES if (part.get(state) or []) != readable[state]]
    if left:
        return f"has unreadable entries: {', '.join(left)}"
    own = own_lists(part, app)
    foreign = [node["name"] for state in STATES for node in readable[state] if node not in own[state]]
    shown = ", ".join(repr(name[:80]) for name in foreign[:_SHOWN_NAMES])
    return f"names what can be no node of {app}: {shown}" if foreign else ""


def damaged_parts(config_map: Mapping[str, Any] | None, app: str, uid: str, *, made: bool) -> dict[str, str]:
    """By part, what is wrong with the metadata of the App. ``made``: it has Components or Groups, so its metadata were
    written before them."""
    data = (config_map or {}).get("data") or {}
    basic, nodes, record = (read_part(config_map, part) for part in PARTS)
    found = {}
    if "basic" in data or made:
        found["basic"] = _basic(basic, uid) if "basic" in data else "is missing"
    if "nodes" in data:
        found["nodes"] = unreadable(nodes, app)
    if has_run(basic, uid) and not entries(nodes):
        found["nodes"] = found.get("nodes") or "names no node"
    if "record" in data:
        found["record"] = _record(record, uid)
    return {part: what for part, what in found.items() if what}


def _basic(part: Any, uid: str) -> str:
    if not isinstance(part, dict):
        return "is no JSON object"
    if part.get("uid") != uid:
        return "is of another App"
    if not part.get("deployed"):
        return ""
    lost = [name for name in ("pluginVersion", "runtimeVersion") if not _text(part.get(name))]
    return f"has no {' and no '.join(lost)}" if lost else ""


def _record(part: Any, uid: str) -> str:
    if not isinstance(part, dict):
        return "is no JSON object"
    if part.get("uid") != uid:
        return "is of another App"
    previous = part.get("previous", {})
    if not isinstance(previous, dict) or (previous and not _text(previous.get("runtimeVersion", ""), empty=True)):
        return "says unreadable things of what was before (previous)"
    wrong = [
        *_wrong(part, "components", ComponentSpec),
        *_wrong(part, "groups", GroupSpec),
        *(f"previous.{name}" for name in _wrong(previous, "groups", GroupSpec)),
    ]
    return f"has unreadable entries: {', '.join(wrong)}" if wrong else ""


def _wrong(part: Mapping[str, Any], key: str, model: type[ComponentSpec] | type[GroupSpec]) -> list[str]:
    entries = part.get(key, {})
    if not isinstance(entries, dict):
        return [key]
    return [f"{key}.{name}" for name, entry in entries.items() if _read(entry, model) is None]


def _text(value: Any, *, empty: bool = False) -> bool:
    return isinstance(value, str) and (empty or bool(value))
