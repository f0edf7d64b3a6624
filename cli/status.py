"""``mw status``: the tree App, component, group, node, from the statuses in the cluster; no Temporal needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from api.app import EndpointServes
from api.names import LABEL_ENGINE_VERSION, LABEL_NODE, app_labels
from cli.session import CommandError
from clients.errors import ForbiddenError, NotFoundError
from clients.kubernetes import Kubernetes
from clients.resources import APP, COMPONENT, GROUP, POD, Manifest
from render.desired.recorded_state import read_deployed

_NO_PLATFORM = "the cluster knows no Apps; install the platform first: mw install --temporal-address HOST:PORT"


@dataclass(frozen=True)
class Loaded:
    """An App with its Components and Groups; both empty in a list of all Apps."""

    app: Manifest
    components: Sequence[Manifest] = ()
    groups: Sequence[Manifest] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Node -> runtime version of its Pod, which is not the Group's while an upgrade is under way."""
    plugin_version: str = ""
    """With which it runs; empty where it is not known yet."""


async def load_all(kubernetes: Kubernetes, namespace: str | None) -> list[Loaded]:
    try:
        apps, _ = await kubernetes.list(APP, namespace)
    except NotFoundError as error:
        raise CommandError(_NO_PLATFORM) from error
    return [Loaded(app) for app in apps]


async def load_one(kubernetes: Kubernetes, namespace: str, name: str) -> Loaded:
    """Raises CommandError where there is no such App, naming those of the same name elsewhere."""
    app = await kubernetes.get(APP, name, namespace)
    if app is None:
        elsewhere = [each.app["metadata"]["namespace"] for each in await load_all(kubernetes, None)
                     if each.app["metadata"]["name"] == name]  # fmt: skip
        hint = f"; there is one in {', '.join(elsewhere)}: add -n {elsewhere[0]}" if elsewhere else ""
        raise CommandError(f"there is no App {name} in namespace {namespace}{hint}")
    components, _ = await kubernetes.list(COMPONENT, namespace, labels=app_labels(name))
    groups, _ = await kubernetes.list(GROUP, namespace, labels=app_labels(name))
    deployed = read_deployed(app)
    plugin_version = deployed.plugin_version if deployed is not None else ""
    return Loaded(app, components, groups, await _versions(kubernetes, namespace, name), plugin_version)


async def _versions(kubernetes: Kubernetes, namespace: str, name: str) -> dict[str, str]:
    try:
        pods, _ = await kubernetes.list(POD, namespace, labels=app_labels(name))
    except ForbiddenError:
        return {}
    labels = [pod["metadata"]["labels"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return {str(each[LABEL_NODE]): str(each.get(LABEL_ENGINE_VERSION, "")) for each in labels if LABEL_NODE in each}


def is_ready(app: Manifest) -> bool:
    return _ready(app).get("status") == "True"


_COLUMNS = ("NAMESPACE", "APP", "PLUGIN", "RUNTIME", "READY", "PHASE", "PRIMARY")
_GIVES_WAY = ("PRIMARY", "PLUGIN", "RUNTIME")
"""Columns that a narrow terminal does without, the first of these first; the others say which App, and how it is."""
_GAP, _WHY_WIDTH, _NARROW_WHY = 1, 24, 12


@dataclass(frozen=True)
class Listing:
    """The table of Apps, by the columns that the terminal has room for."""

    found: Sequence[Loaded]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [_row(each) for each in self.found]
        width = {
            title: max(len(title), *(Text.from_markup(row[title]).cell_len for row in rows)) + _GAP
            for title in _COLUMNS
        }
        why = min(_WHY_WIDTH, max(Text.from_markup(row[""]).cell_len for row in rows))
        shown = list(_COLUMNS)
        for title in _GIVES_WAY:
            if sum(width[each] for each in shown) + why > options.max_width:
                shown.remove(title)
        fits = sum(width[each] for each in shown) + min(why, _NARROW_WHY) <= options.max_width
        result = Table(box=None, pad_edge=False)
        for title in shown:  # where even these are too wide a name is folded, and none of it lost
            result.add_column(title, no_wrap=fits or title not in ("NAMESPACE", "APP"), overflow="fold")
        result.add_column("", overflow="fold")  # a long refusal makes its own column longer, not the others narrower
        for row in rows:
            result.add_row(*(row[title] for title in (*shown, "")))
        yield result


def table(found: Sequence[Loaded]) -> Listing | str:
    return Listing(found) if found else "There are no Apps"


def _row(each: Loaded) -> Mapping[str, str]:
    """By column, as markup."""
    metadata, spec, status = each.app["metadata"], each.app["spec"], each.app.get("status") or {}
    return {
        "NAMESPACE": escape(str(metadata["namespace"])),
        "APP": escape(str(metadata["name"])),
        "PLUGIN": escape(f"{spec['plugin']['name']} {spec['plugin']['version']}"),
        "RUNTIME": escape(str(status.get("runtimeVersion", ""))),
        "READY": _colored(str(status.get("ready", "")), is_ready(each.app)),
        "PHASE": escape(str(status.get("phase", ""))),
        "PRIMARY": escape(str(status.get("primary", ""))),
        "": "" if is_ready(each.app) else escape(_why(each.app)),
    }


def tree(found: Loaded) -> Tree:
    app, spec, status = found.app, found.app["spec"], found.app.get("status") or {}
    name = f"{app['metadata']['namespace']}/{app['metadata']['name']}"
    wanted = str(spec["plugin"]["version"])
    move = f" (to be {wanted})" if found.plugin_version not in ("", wanted) else ""
    plugin = f"{spec['plugin']['name']} {found.plugin_version or wanted}{move}"
    ready = _colored(str(status.get("ready", "0/0")), is_ready(app))
    root = Tree(f"[bold]{escape(name)}[/bold]  plugin {plugin}  {ready}  {status.get('phase', '')}")
    why, message = "" if is_ready(app) else _why(app), str(status.get("message") or "")
    if message and message not in why:  # what keeps it from being ready is often the same sentence
        root.add(f"[dim]{escape(message)}[/dim]")
    if why:
        root.add(f"[yellow]{escape(why)}[/yellow]")
    operation = status.get("operation")
    if operation:
        step = f", {operation['step']}" if operation.get("step") else ""
        line = f"{operation.get('type')} {operation.get('state', '')}{step}  {operation.get('workflowId', '')}"
        root.add(f"[dim]operation[/dim] {escape(line)}")
    if endpoints := status.get("endpoints") or []:
        branch = root.add("[dim]endpoints, by names that resolve in the cluster[/dim]")
        for endpoint in endpoints:
            branch.add(f"{escape(str(endpoint['address']))}  [dim]{escape(serves(endpoint))}[/dim]")
    for component in sorted(found.components, key=lambda c: str(c["spec"]["component"])):
        _add_component(root, component, found)
    return root


def serves(endpoint: Mapping[str, Any]) -> str:
    """Who answers there, in words."""
    component = str(endpoint.get("component") or "")
    if endpoint.get("serves") == EndpointServes.WRITES:
        return f"writes to {component}"
    return f"any node of {component}" if component else "any node"


def _add_component(root: Tree, component: Manifest, found: Loaded) -> None:
    name, counts = str(component["spec"]["component"]), component.get("status") or {}
    complete = counts.get("ready") == counts.get("total")
    count = _colored(f"{counts.get('ready', 0)}/{counts.get('total', 0)}", complete)
    branch = root.add(f"[bold]{escape(name)}[/bold]  {count}")
    for group in (g for g in found.groups if g["spec"]["component"] == name):
        spec, status = group["spec"], group.get("status") or {}
        count = _colored(f"{status.get('ready', 0)}/{spec['replicas']}", status.get("ready") == spec["replicas"])
        leaves = branch.add(f"{escape(str(spec['group']))}  {count}  {escape(_engine(spec))}")
        for node in status.get("nodes") or []:
            version = found.versions.get(str(node["name"]), "")
            leaves.add(_node(node, version if version != _engine(spec) else ""))


def _engine(spec: Mapping[str, Any]) -> str:
    """The version of the component's own engine."""
    return str(spec.get("engineVersion", ""))


def _node(node: Mapping[str, Any], version: str) -> str:
    """``version`` where it is another than the group's."""
    state = "[green]ready[/green]" if node.get("ready") else "[red]not ready[/red]"
    role = f"  [cyan]{escape(str(node['role']))}[/cyan]" if node.get("role") else ""
    message = f"  [dim]{escape(str(node['message']))}[/dim]" if node.get("message") and not node.get("ready") else ""
    other = f"  [yellow]{escape(version)}[/yellow]" if version else ""
    return f"{escape(str(node['name']))}{role}  {state}{other}{message}"


def app_json(found: Loaded) -> dict[str, Any]:
    """The same as data: names and statuses, without specs."""
    status = found.app.get("status") or {}
    metadata = found.app["metadata"]
    result: dict[str, Any] = {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "plugin": found.app["spec"]["plugin"],
        "isReady": is_ready(found.app),
        "status": status,
    }
    if found.components:
        result["components"] = [
            {"name": c["spec"]["component"], "status": c.get("status") or {}} for c in found.components
        ]
    if found.groups:
        result["groups"] = [
            {
                "component": g["spec"]["component"],
                "name": g["spec"]["group"],
                "runtimeVersion": g["spec"].get("runtimeVersion", ""),
                "engineVersion": _engine(g["spec"]),
                "status": g.get("status") or {},
            }
            for g in found.groups
        ]
        result["engineVersions"] = dict(found.versions)
        result["pluginVersion"] = found.plugin_version
    return result


def _ready(app: Manifest) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = (app.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == "Ready"), {})


def _why(app: Manifest) -> str:
    condition = _ready(app)
    if not condition:
        return "no watcher has looked at it yet; does one run in middleware-system?"
    return f"{condition.get('reason')}: {condition.get('message')}"


def _colored(text: str, good: bool) -> str:
    return f"[{'green' if good else 'red'}]{escape(text)}[/]"
