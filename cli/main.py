"""The commands of ``mw``."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.markup import escape

from api.names import SYSTEM_NAMESPACE
from cli import commands_nodes, commands_operations, commands_plugins, completion, installation, status, watching
from cli import uninstall as uninstallation
from cli.authoring import images
from cli.options import Form, Installation, Kubeconfig, Output
from cli.session import EXIT_INTERRUPTED, EXIT_NOT_READY, embedded_state, errors, fail, output, with_cluster
from cli.uninstall import Apps
from clients.kubernetes import Kubernetes
from clients.tls.pki import ensure_pki

app = typer.Typer(
    name="mw",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Installs the middleware platform and its plugins, shows what is what, and runs Apps day by day.",
    epilog="Exit codes: 0 done, 1 failed or refused (the sentence says why), 2 wrong usage, 3 the App that was asked "
    "about is not Ready, 4 render found a difference, 130 interrupted.",
)
app.add_typer(commands_plugins.app, name="plugin")
app.add_typer(images.app, name="image")

commands_operations.add_to(app)
commands_nodes.add_to(app)


@app.command()
def install(
    temporal_address: Annotated[str, typer.Option("--temporal-address", help="host:port, as Pods reach it.")],
    temporal_namespace: Annotated[str, typer.Option("--temporal-namespace")] = "default",
    installation_name: Installation = "default",
    values: Annotated[list[str] | None, typer.Option("--set", help="Further values for the chart, as in helm.")] = None,
    chart: Annotated[Path, typer.Option("--chart", help="Folder of the chart.")] = installation.CHART,
    crds: Annotated[Path, typer.Option("--crds", help="Folder with the CRDs' variants.")] = installation.CRDS,
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Installs or upgrades the platform: CRDs, certificates, watcher and worker. May be repeated."""
    options = installation.Options(
        temporal_address, temporal_namespace, installation_name, tuple(values or ()), chart, crds
    )

    progress = errors if form is Form.JSON else output

    async def work(kubernetes: Kubernetes) -> None:
        await installation.install(kubernetes, options, kubeconfig, lambda line: progress.print(escape(line)))

    with_cluster(kubeconfig, work)
    if form is Form.JSON:
        where = {"temporalAddress": temporal_address, "temporalNamespace": temporal_namespace}
        output.print_json(data={"installation": installation_name, "namespace": SYSTEM_NAMESPACE, **where})


@app.command()
def uninstall(
    apps: Annotated[
        Apps | None,
        typer.Option("--apps", help="What becomes of Apps that are still there; refused without it."),
    ] = None,
    seconds: Annotated[float, typer.Option("--timeout", min=1, help="Seconds for the Apps to be gone.")] = 600.0,
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Removes the platform. Refused while there are Apps, unless it is said what becomes of them."""
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        if form is not Form.JSON:
            output.print(escape(line))

    with_cluster(kubeconfig, lambda kubernetes: uninstallation.uninstall(kubernetes, apps, seconds, kubeconfig, report))
    if form is Form.JSON:
        output.print_json(data={"done": said})


@app.command("install-pki")
def install_pki(
    installation_name: Installation = "default", form: Output = Form.TEXT, kubeconfig: Kubeconfig = None
) -> None:
    """Makes the platform's CA and client certificate where they are absent, renews the latter where it is due."""

    async def work(kubernetes: Kubernetes) -> None:
        _, client = await ensure_pki(kubernetes, installation_name)
        if form is Form.JSON:
            output.print_json(
                data={"secrets": ["platform-ca", "platform-client"], "until": client.not_after.isoformat()}
            )
        else:
            until = f"{client.not_after:%Y-%m-%d}"
            output.print(f"Secrets platform-ca and platform-client are there, the latter until {until}")

    with_cluster(kubeconfig, work)


@app.command("status")
def show_status(
    name: Annotated[str | None, typer.Argument(metavar="[APP]", autocompletion=completion.app_names)] = None,
    namespace: Annotated[
        str | None,
        typer.Option("-n", "--namespace", help="Default with APP: default.", autocompletion=completion.namespaces),
    ] = None,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Draw it anew each second, until Ctrl-C.")] = False,
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
) -> None:
    """All Apps, or one App as a tree: components, groups, nodes with their roles. Exit code 3: it is not Ready."""
    if watch and form is Form.JSON:
        raise typer.BadParameter("--watch draws for people; ask again for JSON")
    seen: list[status.Loaded] = []

    async def load(kubernetes: Kubernetes) -> list[status.Loaded]:
        if name is None:
            return await status.load_all(kubernetes, namespace)
        return [await status.load_one(kubernetes, namespace or "default", name)]

    def draw(found: list[status.Loaded]) -> RenderableType:
        return status.table(found) if name is None else status.tree(found[0])

    def keep(found: list[status.Loaded]) -> None:
        seen[:] = found

    if watch:
        try:
            with_cluster(kubeconfig, lambda kubernetes: watching.watch(lambda: load(kubernetes), draw, keep))
        except typer.Exit as end:
            if end.exit_code != EXIT_INTERRUPTED:
                raise
    else:
        keep(with_cluster(kubeconfig, load))
        if form is Form.JSON:
            data = [status.app_json(each) for each in seen]
            output.print_json(data=data if name is None else data[0])
        else:
            output.print(draw(seen))
    if name is not None and not all(status.is_ready(each.app) for each in seen):
        raise typer.Exit(EXIT_NOT_READY)


@app.command(
    "kubectl", context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
)
def kubectl(context: typer.Context) -> None:
    """kubectl on the embedded cluster: `mw kubectl -- get pods -A`. MW_STATE chooses another instance's."""
    state = embedded_state()
    kubeconfig = state / "kubeconfig"
    if not kubeconfig.exists():
        fail(f"there is no embedded cluster in {state}; `make up` makes one, MW_STATE names another place")
    program = shutil.which("kubectl", path=f"{state / 'bin'}:{os.environ.get('PATH', '')}")
    if program is None:
        fail(f"there is no kubectl in {state / 'bin'} nor on PATH; `make up` brings one")
    os.execv(program, [program, f"--kubeconfig={kubeconfig}", *context.args])  # noqa: S606 - no shell wanted


def main() -> None:
    # What the clients log is for servers; here every command says in one sentence what is wrong.
    logging.basicConfig(level=logging.CRITICAL)
    # Its own name, though it runs as `python -m cli`: shell completion is made for it.
    app(prog_name="mw")
