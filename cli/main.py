"""The commands of ``mw``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli import installation, plugins, status
from cli.session import EXIT_NOT_READY, embedded_state, fail, output, with_cluster
from clients.kubernetes import Kubernetes
from clients.pki import ensure_pki

app = typer.Typer(
    name="mw",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Installs the middleware platform and its plugins, and shows what is what.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the App that was asked about is not Ready.",
)
plugin_app = typer.Typer(no_args_is_help=True, help="Plugins: what the platform can run.")
app.add_typer(plugin_app, name="plugin")

Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="Default: KUBECONFIG, ~/.kube/config, `make up`'s.")
]
Installation = Annotated[str, typer.Option("--installation", help="First part of the workflow ids.")]


@app.command()
def install(
    temporal_address: Annotated[str, typer.Option("--temporal-address", help="host:port, as Pods reach it.")],
    temporal_namespace: Annotated[str, typer.Option("--temporal-namespace")] = "default",
    installation_name: Installation = "default",
    values: Annotated[list[str] | None, typer.Option("--set", help="Further values for the chart, as in helm.")] = None,
    chart: Annotated[Path, typer.Option("--chart", help="Folder of the chart.")] = installation.CHART,
    crds: Annotated[Path, typer.Option("--crds", help="Folder with the CRDs' variants.")] = installation.CRDS,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Installs or upgrades the platform: CRDs, certificates, watcher and worker. May be repeated."""
    options = installation.Options(
        temporal_address, temporal_namespace, installation_name, tuple(values or ()), chart, crds
    )

    async def work(kubernetes: Kubernetes) -> None:
        await installation.install(kubernetes, options, kubeconfig, lambda line: output.print(escape(line)))

    with_cluster(kubeconfig, work)


@app.command("install-pki")
def install_pki(installation_name: Installation = "default", kubeconfig: Kubeconfig = None) -> None:
    """Makes the platform's CA and client certificate where they are absent, renews the latter where it is due."""

    async def work(kubernetes: Kubernetes) -> None:
        _, client = await ensure_pki(kubernetes, installation_name)
        output.print(f"Secrets platform-ca and platform-client are there; renew before {client.not_after:%Y-%m-%d}")

    with_cluster(kubeconfig, work)


@plugin_app.command("install")
def plugin_install(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with plugin.yaml.")],
    kubeconfig: Kubeconfig = None,
) -> None:
    """Checks a plugin's folder and installs its version. Installing the same content again changes nothing."""

    async def work(kubernetes: Kubernetes) -> None:
        output.print(escape(await plugins.install(kubernetes, folder)))

    with_cluster(kubeconfig, work)


@plugin_app.command("list")
def plugin_list(
    form: Annotated[status.Form, typer.Option("-o", "--output")] = status.Form.TEXT, kubeconfig: Kubeconfig = None
) -> None:
    """Installed plugins, their versions, and which runtime versions each supports."""
    found = with_cluster(kubeconfig, plugins.installed)
    if form is status.Form.JSON:
        output.print_json(data=[plugin.as_json() for plugin in found])
    else:
        output.print(plugins.table(found))


@app.command("status")
def show_status(
    name: Annotated[str | None, typer.Argument(metavar="[APP]")] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="Default with APP: default.")] = None,
    form: Annotated[status.Form, typer.Option("-o", "--output")] = status.Form.TEXT,
    kubeconfig: Kubeconfig = None,
) -> None:
    """All Apps, or one App as a tree: components, groups, nodes with their roles."""
    if name is None:
        found = with_cluster(kubeconfig, lambda kubernetes: status.load_all(kubernetes, namespace))
        if form is status.Form.JSON:
            output.print_json(data=[status.app_json(each) for each in found])
        else:
            output.print(status.table(found))
        return
    one = with_cluster(kubeconfig, lambda kubernetes: status.load_one(kubernetes, namespace or "default", name))
    if form is status.Form.JSON:
        output.print_json(data=status.app_json(one))
    else:
        output.print(status.tree(one))
    if not status.is_ready(one.app):
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
    app()
