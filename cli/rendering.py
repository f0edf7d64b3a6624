"""``mw render``: what the platform would do next for an App's manifest, compared with the cluster; nothing is changed.

A changed spec is carried out in parts, each an operation; shown is what the next one would apply (``cli.stage``). What
would be there is the API server's own answer to that apply (``dryRun``). The passwords and
certificates of an App are generated, never rendered, so no Secret is among the objects.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from api.app import App
from api.group import AgentBundle
from api.meta import service_address
from api.names import app_labels, metadata_name
from api.operations import OperationType
from cli.plugins import installed, installed_bundle
from cli.session import CommandError
from cli.stage import NextStage, next_stage, running
from clients.kubernetes import Kubernetes
from clients.resources import (
    APP,
    COMPONENT,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    DISRUPTION_BUDGET_BETA,
    GROUP,
    SERVICE,
    VOLUME_CLAIM,
    Manifest,
)
from render.desired.app import DesiredComponent, DesiredNode
from render.manifests.deployments import VERSION_LABELS, deployment_manifest, is_outdated, put_right
from render.manifests.lists import (
    REVISION,
    budget_manifests,
    config_maps_of,
    record_manifests,
    service_manifests,
)
from render.manifests.objects import metadata_config_map, node_volume_claim
from render.manifests.volumes import held_sizes
from render.plugin.at_start import shown
from render.plugin.problems import Problem
from render.validation.app import parse_app, validate

_ROLLING = (OperationType.UPGRADE, OperationType.RESIZE)
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
    sides: tuple[str, str] = ("live", "wanted")
    """What ``before`` and ``after`` are called."""

    @property
    def diff(self) -> list[str]:
        before, after, title = _text(self.before), _text(self.after), f"{self.object_kind} {self.name}"
        return list(
            difflib.unified_diff(before, after, f"{title} ({self.sides[0]})", f"{title} ({self.sides[1]})", lineterm="")
        )

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


async def next_objects(kubernetes: Kubernetes, manifest: Manifest, agent: AgentBundle) -> tuple[NextStage, Live]:
    """What the platform would carry out next for the manifest, and the App's live objects. Raises CommandError with
    every problem where it would be refused."""
    metadata = manifest["metadata"]
    live_app = await kubernetes.get(APP, metadata["name"], metadata["namespace"])
    metadata["uid"] = live_app["metadata"]["uid"] if live_app is not None else _NO_UID
    # Who was replaced as primary is held: the file does not say so.
    manifest = {**manifest, "status": {"fenced": ((live_app or {}).get("status") or {}).get("fenced") or []}}
    app, problems = parse_app(manifest)
    if app is None:
        raise _refused(problems)
    live = await live_objects(kubernetes, app)
    now = running(live_app, live)
    plugins = await installed(kubernetes)
    known: dict[str, list[str]] = {}
    for plugin in plugins:
        known.setdefault(plugin.name, []).append(plugin.version)
    reference, bundle = app.spec.plugin, None
    if reference.version in known.get(reference.name, []):
        bundle = await installed_bundle(kubernetes, reference.name, reference.version)
    claims = [each for (kind, _), each in live.items() if kind == VOLUME_CLAIM.kind]
    problems = validate(app, bundle, known, replace(now.recorded, held=held_sizes(claims)))
    if problems or bundle is None:
        raise _refused(problems)
    stage, problems = await next_stage(kubernetes, app, bundle, plugins, now, live, agent)
    if stage is None:
        raise _refused(problems)
    return stage, _compared(live, app.name, ran=stage.ran)


async def drift_of(kubernetes: Kubernetes, stage: NextStage, live: Live) -> list[str]:
    """A sentence for each object of what runs that somebody has changed or removed: the platform puts that back before
    it goes on with the spec."""
    if stage.runs is None or stage.operation == OperationType.REPAIR:
        return []
    runs = replace(stage, operation=OperationType.REPAIR, desired=stage.runs)
    changes = await compare(kubernetes, wanted_objects(runs, live), live)
    found = {"add": "is missing", "change": "was changed"}
    return [f"{each.object_kind} {each.name} {found[each.what]}" for each in changes if each.what in found]


def _compared(live: Live, app: str, *, ran: bool) -> Live:
    """Without what no operation applies: revisions, and the metadata ConfigMap once it is there, which is output."""
    output = ("ConfigMap", metadata_name(app)) if ran else None
    return {key: each for key, each in live.items() if key != output and key[0] != CONTROLLER_REVISION.kind}


def _refused(problems: Iterable[Problem]) -> CommandError:
    return CommandError("the App would be refused:" + "".join(f"\n  {problem}" for problem in problems))


async def live_objects(kubernetes: Kubernetes, app: App) -> Live:
    budget = DISRUPTION_BUDGET if await kubernetes.serves(DISRUPTION_BUDGET) else DISRUPTION_BUDGET_BETA
    kinds = (COMPONENT, GROUP, CONTROLLER_REVISION, SERVICE, CONFIG_MAP, VOLUME_CLAIM, DEPLOYMENT, budget)
    lists = await asyncio.gather(*(kubernetes.list(kind, app.namespace, labels=app_labels(app.name)) for kind in kinds))
    return {(each["kind"], each["metadata"]["name"]): each for items, _ in lists for each in items}


def wanted_objects(stage: NextStage, live: Live, budget_version: str = "policy/v1") -> list[Manifest]:
    """As they are when the stage is carried out, in the order in which a Deploy writes them. Pure."""
    desired = stage.desired
    manifests = [
        *([] if stage.ran else [metadata_config_map(desired)]),
        *record_manifests(desired),
        *service_manifests(desired),
        *budget_manifests(desired, budget_version),
    ]
    config_maps = {name: each for (kind, name), each in live.items() if kind == "ConfigMap"}
    addresses = {node.name: _address(live, node.name) for node in desired.nodes}
    for component in desired.components:
        bootstrap = None if stage.ran else component.bootstrap_node
        placed = [_placed(stage, component, node, live) for node in component.nodes]
        nodes = [node for node, _ in placed]
        deployments = {node.name: deployment for node, deployment in placed}
        rendered = config_maps_of(desired, component, nodes, addresses, config_maps, bootstrap=bootstrap)
        for node, config_map, _ in rendered:
            manifests += [config_map, *_claim(stage, component, node, live), deployments[node.name]]
    return manifests


def _placed(
    stage: NextStage, component: DesiredComponent, node: DesiredNode, live: Live
) -> tuple[DesiredNode, Manifest]:
    """The node, of the version that it has then, and its Deployment. Only an operation that rolls changes the Pod of a
    node that is of another record; it brings the newest agents too. However a newer platform would make the others,
    they stay."""
    group = component.group(node.group)
    wanted = deployment_manifest(stage.desired, component, group, node)
    present, member = live.get(("Deployment", node.name)), stage.state.members.get(node.name)
    if present is None:
        return node, wanted
    if is_outdated(wanted, present, member) and stage.operation in _ROLLING:
        node = replace(node, runtime_version=group.spec.runtime_version)
        return node, deployment_manifest(stage.desired, component, stage.desired.rolled(group), node)
    if stage.operation == OperationType.DEPLOY:
        return node, wanted
    recorded = stage.state.groups.get(group.resource_name)
    former = recorded.current if recorded is not None else None
    put = put_right(stage.desired, component, group, node, present, member, former)
    if "template" in put["spec"]:
        return node, put
    runs = {key: value for key, value in present["metadata"]["labels"].items() if key in VERSION_LABELS}
    labels = {**wanted["metadata"]["labels"], **runs}
    spec = {**wanted["spec"], "template": present["spec"]["template"]}
    return node, {**wanted, "metadata": {**wanted["metadata"], "labels": labels}, "spec": spec}


def _claim(stage: NextStage, component: DesiredComponent, node: DesiredNode, live: Live) -> Iterator[Manifest]:
    """A volume that is there stays as it is, but for its size."""
    wanted = node_volume_claim(stage.desired, component, component.group(node.group), node)
    present = live.get(("PersistentVolumeClaim", node.name))
    if wanted is None or present is None or stage.operation == OperationType.RESIZE:
        yield from [wanted] if wanted is not None else []
    else:
        yield bare(present)


def _address(live: Live, node: str) -> str:
    return service_address(live.get(("Service", node))) or _NO_ADDRESS.format(node)


async def compare(
    kubernetes: Kubernetes,
    wanted: Iterable[Manifest],
    live: Live,
    advance: Callable[[], None] = lambda: None,
    *,
    keeps_volumes: bool = False,
) -> list[Change]:
    """Raises KubernetesError, also where the person may not apply what a Deploy would. ``advance`` after each object.
    ``keeps_volumes``: of nodes that go, by the App's ``deletionPolicy``."""
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
        if (kind, name) not in names and (kind != "PersistentVolumeClaim" or not keeps_volumes)
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
    return dump(readable(manifest)).splitlines() if manifest is not None else []


def readable(manifest: Mapping[str, Any]) -> Manifest:
    """JSON in a ConfigMap spread out, or one long line would be the whole difference."""
    if manifest.get("kind") != "ConfigMap":
        return dict(manifest)
    return {**manifest, "data": dict(_spread(manifest.get("data") or {}))}


def _spread(data: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, text in sorted(data.items()):
        try:
            yield key, json.loads(text) if text.startswith(("{", "[")) else shown(text)
        except ValueError:
            yield key, shown(text)
