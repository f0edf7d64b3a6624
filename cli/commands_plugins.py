"""The commands of ``mw plugin``: what an author needs at the desk, and what brings a plugin to a cluster."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli import plugins
from cli.authoring import lint as linting
from cli.authoring import render as rendering
from cli.authoring import skeleton, trial
from cli.commands_nodes import RenderForm, show_changes
from cli.options import Form, Kubeconfig, Output
from cli.session import EXIT_DIFFERENT, EXIT_FAILED, CommandError, fail, output, with_cluster

Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with plugin.yaml.")]
app = typer.Typer(no_args_is_help=True, help="Plugins: what the platform can run.")


@app.command("install")
def install(folder: Folder, form: Output = Form.TEXT, kubeconfig: Kubeconfig = None) -> None:
    """Checks a plugin's folder and installs its version. Installing the same content again changes nothing."""
    done = with_cluster(kubeconfig, lambda kubernetes: plugins.install(kubernetes, folder))
    if form is Form.JSON:
        output.print_json(data={"message": done})
    else:
        output.print(escape(done))


@app.command("list")
def show(form: Output = Form.TEXT, kubeconfig: Kubeconfig = None) -> None:
    """Installed plugins, their versions, and which runtime versions each supports."""
    found = with_cluster(kubeconfig, plugins.installed)
    if form is Form.JSON:
        output.print_json(data=[plugin.as_json() for plugin in found])
    else:
        output.print(plugins.table(found))


@app.command("lint")
def lint(folder: Folder, form: Output = Form.TEXT) -> None:
    """Says all that is wrong with a plugin, as `install` would; no cluster is needed. Exit code 1: it is refused."""
    found = linting.found(folder)
    if form is Form.JSON:
        output.print_json(data=[linting.as_json(each) for each in found])
    else:
        for line in linting.lines(folder, found):
            output.print(escape(line), soft_wrap=True)
    if linting.refused(found):
        raise typer.Exit(EXIT_FAILED)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Of the plugin: lower-case letters, digits and dashes.")],
    parent: Annotated[Path, typer.Option("--in", help="Folder in which the plugin's own is made.")] = Path(),
) -> None:
    """Makes a plugin to go on from: it passes lint and its own tests, and it deploys."""
    try:
        files = skeleton.made(name, parent / name)
    except (CommandError, OSError) as error:
        fail(str(error))
    for file in files:
        output.print(escape(str(file)), soft_wrap=True)
    folder = parent / name
    for command in ("lint", "test", "install"):
        output.print(escape(f"  mw plugin {command} {folder}"), soft_wrap=True)


@app.command("render")
def render(
    folder: Folder,
    against: Annotated[
        Path | None, typer.Option("--against", exists=True, file_okay=False, help="Another version's folder.")
    ] = None,
    topology: Annotated[str | None, typer.Option("--topology", help="Default: the plugin's.")] = None,
    runtime_version: Annotated[str | None, typer.Option("--runtime-version", help="Default: the plugin's.")] = None,
    form: Annotated[
        RenderForm, typer.Option("-o", "--output", help="Without --against diff is yaml.")
    ] = RenderForm.DIFF,
) -> None:
    """All files and objects of an example App; with --against what differs from another version's (exit code 4)."""
    try:
        objects = rendering.objects(folder, topology, runtime_version)
        if against is None:
            if form is RenderForm.JSON:
                output.print_json(data=rendering.readable_objects(objects))
            else:
                typer.echo(rendering.document(objects), nl=False)
            return
        sides = (str(against), str(folder))
        changes = rendering.differences(objects, rendering.objects(against, topology, runtime_version), sides)
    except (CommandError, OSError) as error:
        fail(str(error))
    show_changes(changes, form)
    if any(change.what != "none" for change in changes):
        raise typer.Exit(EXIT_DIFFERENT)


@app.command("test")
def run_tests(folder: Folder, form: Output = Form.TEXT) -> None:
    """Runs a plugin's own tests, tests/*.yaml: recorded answers of the engine, and what a tool must make of them."""
    try:
        found = trial.run(folder)
    except (CommandError, OSError) as error:
        fail(str(error))
    if form is Form.JSON:
        output.print_json(data=[asdict(each) for each in found])
    else:
        for line in trial.lines(folder, found):
            output.print(escape(line), soft_wrap=True)
    if any(each.wrong for each in found):
        raise typer.Exit(EXIT_FAILED)
