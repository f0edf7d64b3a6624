"""``mw logs``, ``mw connect``, ``mw tool`` and ``mw render``."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from rich.progress import Progress

from api.app import DeletionPolicy
from api.names import MIDDLEWARE_CONTAINER, TOOLS_CONTAINER
from cli import client, completion, logs, rendering
from cli import tool as tools
from cli.nodes import app_nodes, named, primary_of
from cli.options import AppName, ComponentOption, Form, Kubeconfig, Namespace, Output
from cli.platform import Given, find
from cli.session import EXIT_DIFFERENT, CommandError, errors, fail, kubeconfig_path, output, with_cluster
from cli.stage import NextStage, said
from clients.kubernetes import Kubernetes
from clients.resources import APP, Manifest


class RenderForm(StrEnum):
    DIFF = "diff"
    YAML = "yaml"
    JSON = "json"


_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def add_to(app: typer.Typer) -> None:
    app.command("logs")(show_logs)
    app.command("connect")(connect)
    app.command("tool")(run_tool)
    app.command("render")(render)


def show_logs(
    name: AppName,
    node: Annotated[
        str | None,
        typer.Argument(metavar="[NODE]", help="Default: all nodes.", autocompletion=completion.node_names),
    ] = None,
    primary: Annotated[bool, typer.Option("--primary", help="The primary's.")] = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on, also in the Pod that comes next.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only so many of the last lines.")] = None,
    agent: Annotated[bool, typer.Option("--agent", help="Agent 2's instead of the engine's (and agent 1's).")] = False,
    namespace: Namespace = "default",
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Logs of the App's nodes; of several, each line with its node before it."""
    if node is not None and primary:
        raise typer.BadParameter("name a node, or --primary, not both")
    container = TOOLS_CONTAINER if agent else MIDDLEWARE_CONTAINER
    wish = logs.Wish(namespace, name, container, follow, tail, as_json=form is Form.JSON)

    async def work(kubernetes: Kubernetes) -> None:
        loaded, nodes = await app_nodes(kubernetes, namespace, name)
        wanted = primary_of(loaded) if primary else node
        if primary and not wanted:
            raise CommandError(f"{namespace}/{name} has no primary now; see: mw status {name} -n {namespace}")
        await logs.show(kubernetes, wish, nodes if wanted is None else [named(nodes, name, wanted)])

    with_cluster(kubeconfig, work)


def connect(
    name: AppName,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS]", help="For the client.")] = None,
    component: ComponentOption = "",
    node: Annotated[
        str,
        typer.Option("--node", help="Default: the primary, else a ready node.", autocompletion=completion.node_names),
    ] = "",
    namespace: Namespace = "default",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Opens the engine's own client on the primary, logged in. Its exit code is the command's."""
    try:
        program = client.find_kubectl()
    except CommandError as error:
        fail(str(error))

    async def work(kubernetes: Kubernetes) -> client.Connection:
        return await client.connection(kubernetes, namespace, name, component, node)

    found = with_cluster(kubeconfig, work)
    if errors.is_terminal:
        errors.print(f"[dim]{escape(found.node.name)}[/dim]")
    command = client.shell_command(found.client, arguments or [])
    _become([program, *client.kubectl_arguments(found.node.pod, namespace, command)], kubeconfig)


def _become(words: list[str], kubeconfig: str | None) -> NoReturn:
    path = kubeconfig_path(kubeconfig)
    environment = {**os.environ, **({"KUBECONFIG": path} if path else {})}
    os.execve(words[0], words, environment)  # noqa: S606 - no shell wanted


def run_tool(
    name: AppName,
    node: Annotated[str, typer.Argument(metavar="NODE", autocompletion=completion.node_names)],
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="Of the plugin, such as ready; another name lists them.")],
    given: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="The tool's arguments.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Also what each step sent, got and decided.")] = False,
    whole: Annotated[bool, typer.Option("--trace-full", help="The same, with long answers whole.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also a tool that changes the engine.")] = False,
    namespace: Namespace = "default",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Runs one tool of the plugin on one node, as the platform does; secrets are masked. Exit code 1: it failed."""
    try:
        program = client.find_kubectl()
        tools.check(tool, force=force)
        command = tools.command(tool, tools.arguments(given or []), trace=trace, whole=whole)
    except CommandError as error:
        fail(str(error))

    async def work(kubernetes: Kubernetes) -> str:
        _, nodes = await app_nodes(kubernetes, namespace, name)
        return client.running(named(nodes, name, node)).pod

    pod = with_cluster(kubeconfig, work)
    _become([program, *client.kubectl_arguments(pod, namespace, command, TOOLS_CONTAINER)], kubeconfig)


def render(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[APP]", help="May be left out with a file of one App.", autocompletion=completion.app_names
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", exists=True, dir_okay=False, help="Manifest; default: the live App.")
    ] = None,
    form: Annotated[RenderForm, typer.Option("-o", "--output", help="yaml: the objects themselves.")] = RenderForm.DIFF,
    namespace: Namespace = "default",
    kubeconfig: Kubeconfig = None,
) -> None:
    """What the next operation would apply for an App, as a diff against the cluster; which one, and what comes after
    it, is said on stderr. Exit code 4 where something would change."""
    if name is None and file is None:
        raise typer.BadParameter("name an App, or a file with -f")

    text = file.read_text() if file is not None else None

    async def work(kubernetes: Kubernetes) -> tuple[NextStage, list[rendering.Change], list[str]]:
        manifest = await _manifest(kubernetes, name, text, namespace)
        found = await find(kubernetes, Given())
        stage, live = await rendering.next_objects(kubernetes, manifest, found.agent)
        objects = rendering.wanted_objects(stage, live)
        keeps = stage.desired.deletion_policy == DeletionPolicy.RETAIN
        with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
            task = bar.add_task(f"Asking the API server about {len(objects)} objects", total=len(objects))
            found_changes = await rendering.compare(
                kubernetes, objects, live, lambda: bar.advance(task), keeps_volumes=keeps
            )
        return stage, found_changes, await rendering.drift_of(kubernetes, stage, live)

    stage, changes, drift = with_cluster(kubeconfig, work)
    differs = any(change.what != "none" for change in changes)
    errors.print(escape(said(stage, differs=differs, drift=drift)), soft_wrap=True)
    show_changes(changes, form)
    if differs:
        raise typer.Exit(EXIT_DIFFERENT)


async def _manifest(kubernetes: Kubernetes, name: str | None, text: str | None, namespace: str) -> Manifest:
    if text is not None:
        return rendering.pick(text, name, namespace)
    manifest = await kubernetes.get(APP, str(name), namespace)
    if manifest is None:
        raise CommandError(f"there is no App {name} in namespace {namespace}; -f renders a file")
    return manifest


def show_changes(changes: list[rendering.Change], form: RenderForm) -> None:
    if form is RenderForm.JSON:
        output.print_json(data=[change.as_json() for change in changes])
        return
    if form is RenderForm.YAML:
        documents = [rendering.dump(change.after) for change in changes if change.after is not None]
        typer.echo("---\n".join(documents), nl=False)
        return
    for line in (line for change in changes if change.what != "none" for line in change.diff):
        typer.echo(typer.style(line, fg=_COLORS.get(line[:1])))
    counts = {what: sum(change.what == what for change in changes) for what in ("add", "change", "remove", "none")}
    words = {"add": "to add", "change": "to change", "remove": "no longer wanted", "none": "as they are"}
    errors.print(", ".join(f"{count} {words[what]}" for what, count in counts.items() if count))
