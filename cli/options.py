"""Options and arguments that several commands have, so that each is called and explained the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli import completion


class Form(StrEnum):
    TEXT = "text"
    JSON = "json"


AppName = Annotated[str, typer.Argument(metavar="APP", help="Name of the App.", autocompletion=completion.app_names)]
Namespace = Annotated[
    str, typer.Option("-n", "--namespace", help="Namespace of the App.", autocompletion=completion.namespaces)
]
Output = Annotated[Form, typer.Option("-o", "--output")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="Default: KUBECONFIG, ~/.kube/config, `make up`'s.")
]
Installation = Annotated[str, typer.Option("--installation", help="First part of the workflow ids.")]
FoundInstallation = Annotated[
    str | None,
    typer.Option("--installation", envvar="MW_INSTALLATION", help="Default: what the cluster's worker has."),
]
TemporalAddress = Annotated[
    str | None,
    typer.Option(
        "--temporal-address", envvar="TEMPORAL_ADDRESS", help="host:port. Default: what the cluster's worker has."
    ),
]
TemporalNamespace = Annotated[str | None, typer.Option("--temporal-namespace", envvar="TEMPORAL_NAMESPACE")]
ComponentOption = Annotated[
    str, typer.Option("--component", help="Only this component.", autocompletion=completion.component_names)
]
