"""``mw render``: the objects that an App's manifest asks for, compared with those of the cluster; nothing is changed.

What would be there is the API server's own answer to the apply that a Deploy would send (``dryRun``). The passwords and
certificates of an App are generated, never rendered, so no Secret is among the objects.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from api.app import App
from api.component import Component
from api.group import Group
from api.names import app_labels, metadata_name
from cli.plugins import installed, installed_bundle
from cli.session import CommandError
from clients.kubernetes import Kubernetes
from clients.resources import (
    APP,
    COMPONENT,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    DISRUPTION_BUDGET_BETA,
    GROUP,
    SERVICE,
    VOLUME_CLAIM,
    Manifest,
)
from render.desired import DesiredApp, RecordedState, desired
from render.manifests import REVISION, budget_manifests, config_maps_of, has_run, record_manifests, service_manifests
from render.objects import metadata_config_map, node_deployment, node_volume_claim
from render.problems import Problem
from render.stages import pod_facts
from render.validation import parse_app, validate

_AT_ONCE = 8
_NO_UID = "made-with-the-app"
_NO_ADDRESS = "address-of-{}"
"""In files of nodes whose Service is yet to be made."""
_OTHERS = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp")
"""Metadata that the API server writes."""

Key = tuple[str, str]
Live = dict[Key, Manifest]


@dataclass(frozen=True)
class Change:
    """``kind`` of change: add, change, none, remove (no longer wanted). ``before`` and ``after`` without what the API
    server writes."""

    what: str
    object_kind: str
    name: str
    before: Manifest | None
    after: Manifest | None

    @property
    def diff(self) -> list[str]:
        before, after, title = _text(self.before), _text(self.after), f"{self.object_kind} {self.name}"
        return list(difflib.unified_diff(before, after, f"{title} (live)", f"{title} (wanted)", lineterm=""))

    def as_json(self) -> dict[str, Any]:
        return {"change": self.what, "kind": self.object_kind, "name": self.name, "diff": "\n".join(self.diff)}


def pick(text: str, name: str | None, namespace: str) -> Manifest:
    """The App of that name, or the only one, among a file's documents. Raises CommandError."""
    try:
        documents = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except yaml.YAMLError as error:
        raise CommandError(f"the file is not YAML: {error}") from error
    apps = [each for each in documents if each.get("kind") == "App" and isinstance(each.get("metadata"), dict)]
    fitting = [each for each in apps if name in (None, each["metadata"].get("name"))]
    if len(fitting) != 1:
        names = ", ".join(str(each["metadata"].get("name")) for each in apps) or "none"
        raise CommandError(f"the file must hold one App {name or ''}; it has {names}".replace("  ", " "))
    fitting[0]["metadata"].setdefault("namespace", namespace)
    return dict(fitting[0])


async def wanted_app(kubernetes: Kubernetes, manifest: Manifest, agent_image: str) -> tuple[DesiredApp, Live]:
    """What the manifest asks for over what is recorded, and the App's live objects. Raises CommandError with every
    problem where it would be refused."""
    metadata = manifest["metadata"]
    live_app = await kubernetes.get(APP, metadata["name"], metadata["namespace"])
    metadata["uid"] = live_app["metadata"]["uid"] if live_app is not None else _NO_UID
    app, problems = parse_app(manifest)
    if app is None:
        raise _refused(problems)
    live = await live_objects(kubernetes, app)
    recorded = recorded_state(live, app.uid)
    known: dict[str, list[str]] = {}
    for plugin in await installed(kubernetes):
        known.setdefault(plugin.name, []).append(plugin.version)
    reference, bundle = app.spec.plugin, None
    if reference.version in known.get(reference.name, []):
        bundle = await installed_bundle(kubernetes, reference.name, reference.version)
    problems = validate(app, bundle, known, recorded)
    if problems or bundle is None:
        raise _refused(problems)
    return desired(app, bundle, agent_image=agent_image, recorded=recorded), live


def _refused(problems: Iterable[Problem]) -> CommandError:
    return CommandError("the App would be refused:" + "".join(f"\n  {problem}" for problem in problems))


async def live_objects(kubernetes: Kubernetes, app: App) -> Live:
    budget = DISRUPTION_BUDGET if await kubernetes.serves(DISRUPTION_BUDGET) else DISRUPTION_BUDGET_BETA
    kinds = (COMPONENT, GROUP, SERVICE, CONFIG_MAP, VOLUME_CLAIM, DEPLOYMENT, budget)
    lists = await asyncio.gather(*(kubernetes.list(kind, app.namespace, labels=app_labels(app.name)) for kind in kinds))
    return {(each["kind"], each["metadata"]["name"]): each for items, _ in lists for each in items}


def recorded_state(live: Live, uid: str) -> RecordedState:
    """Of this very App, not of an earlier one of its name."""
    own = {
        key: each
        for key, each in live.items()
        if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])
    }
    components = [Component.model_validate(each).spec for (kind, _), each in own.items() if kind == "Component"]
    groups = {name: Group.model_validate(each).spec for (kind, name), each in own.items() if kind == "Group"}
    return RecordedState({each.component: each for each in components}, groups)


def wanted_objects(desired: DesiredApp, live: Live, budget_version: str = "policy/v1") -> list[Manifest]:
    """In the order in which a Deploy writes them. Pure."""
    manifests = [
        metadata_config_map(desired),
        *record_manifests(desired),
        *service_manifests(desired),
        *budget_manifests(desired, budget_version),
    ]
    config_maps = {name: each for (kind, name), each in live.items() if kind == "ConfigMap"}
    ran = has_run(_basic(config_maps.get(metadata_name(desired.name))), desired.uid)
    addresses = {node.name: _address(live, node.name) for node in desired.nodes}
    for component in desired.components:
        bootstrap = None if ran else component.bootstrap_node
        rendered = config_maps_of(desired, component, component.nodes, addresses, config_maps, bootstrap=bootstrap)
        for node, config_map, _ in rendered:
            group = component.group(node.group)
            claim = node_volume_claim(desired, component, group, node)
            deployment = node_deployment(desired, component, group, node)
            manifests += [config_map, *([claim] if claim is not None else []), deployment]
    return [_as_recorded(desired, each, live) for each in manifests]


def _as_recorded(desired: DesiredApp, manifest: Manifest, live: Live) -> Manifest:
    """A Pod of an unchanged Group stays as it is, however a newer platform would make it."""
    present = live.get((manifest["kind"], manifest["metadata"]["name"]))
    if manifest["kind"] != "Deployment" or present is None:
        return manifest
    node = next(node for node in desired.nodes if node.name == manifest["metadata"]["name"])
    group = desired.component(node.component).group(node.group)
    record = live.get(("Group", group.resource_name))
    if record is None or pod_facts(Group.model_validate(record).spec) != pod_facts(group.spec):
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "template": present["spec"]["template"]}}


def _basic(config_map: Manifest | None) -> Any:
    try:
        return json.loads(((config_map or {}).get("data") or {}).get("basic", "null"))
    except ValueError:
        return None


def _address(live: Live, node: str) -> str:
    service = live.get(("Service", node)) or {}
    return str(service.get("spec", {}).get("clusterIP") or _NO_ADDRESS.format(node))


async def compare(
    kubernetes: Kubernetes, wanted: Iterable[Manifest], live: Live, advance: Callable[[], None] = lambda: None
) -> list[Change]:
    """Raises KubernetesError, also where the person may not apply what a Deploy would. ``advance`` after each
    object."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def change(manifest: Manifest) -> Change:
        try:
            return await changed(manifest)
        finally:
            advance()

    async def changed(manifest: Manifest) -> Change:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        present = live.get((kind, name))
        if present is None:
            return Change("add", kind, name, None, bare(manifest))
        async with gate:
            answer = await kubernetes.apply(manifest, dry_run=True)
        before, after = bare(present), bare(answer)
        return Change("none" if before == after else "change", kind, name, before, after)

    changes = await asyncio.gather(*(change(manifest) for manifest in wanted))
    names = {(each.object_kind, each.name) for each in changes}
    left = [
        Change("remove", kind, name, bare(manifest), None) for (kind, name), manifest in live.items()
        if (kind, name) not in names
    ]  # fmt: skip
    return [*changes, *left]


def bare(manifest: Mapping[str, Any]) -> Manifest:
    """Without status, what the API server writes, and the platform's own digests and revisions."""
    result = {key: value for key, value in manifest.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _OTHERS}
    notes = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if not _digest(key)}
    metadata |= {"annotations": notes} if notes else {}
    head: Manifest = {key: result.pop(key) for key in ("apiVersion", "kind") if key in result}
    return {**head, "metadata": metadata, **result}


def _digest(annotation: str) -> bool:
    return annotation == REVISION or (annotation.startswith("middleware.io/") and annotation.endswith("-hash"))


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as such, so that a diff shows lines of configuration files."""


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _string)


def dump(manifest: Mapping[str, Any]) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _text(manifest: Mapping[str, Any] | None) -> list[str]:
    return dump(_readable(manifest)).splitlines() if manifest is not None else []


def _readable(manifest: Mapping[str, Any]) -> Manifest:
    """JSON in a ConfigMap spread out, or one long line would be the whole difference."""
    if manifest.get("kind") != "ConfigMap":
        return dict(manifest)
    return {**manifest, "data": dict(_spread(manifest.get("data") or {}))}


def _spread(data: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, text in sorted(data.items()):
        try:
            yield key, json.loads(text) if text.startswith(("{", "[")) else text
        except ValueError:
            yield key, text
