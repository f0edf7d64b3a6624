"""``mw history``, the verbs for the operation that runs, and ``mw restart``, ``switchover``, ``failover`` and
``rotate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from api.operations import LONGEST_OVERLAP, OVERLAP, OperationInput, OperationResult, OperationType, Verb
from cli import completion, history, operate
from cli.options import (
    AppName,
    ComponentOption,
    Form,
    FoundInstallation,
    Kubeconfig,
    Namespace,
    Output,
    TemporalAddress,
    TemporalNamespace,
)
from cli.platform import Given, Platform, with_platform
from cli.progress import Steps
from cli.session import EXIT_INTERRUPTED, errors, output
from clients.resources import APP

_VERBS = {
    Verb.PAUSE: "Stops the operation that runs at its next safe point, between two nodes or steps.",
    Verb.RESUME: "Lets a paused operation go on.",
    Verb.RETRY: "Tries the step that failed for good once more.",
    Verb.SKIP: "Goes on without the node whose step failed; it stays as it is.",
    Verb.ABORT: "Ends the operation; what can be put back is put back.",
}
Reason = Annotated[str, typer.Option("--reason", help="For the history.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Start it and print its workflow id.")]


def add_to(app: typer.Typer) -> None:
    app.command("history")(show_history)
    for verb in Verb:
        _add_verb(app, verb)
    app.command("restart")(restart)
    app.command("switchover")(switchover)
    app.command("failover")(failover)
    app.command("rotate")(rotate)


def show_history(
    name: AppName,
    namespace: Namespace = "default",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
    temporal_address: TemporalAddress = None,
    temporal_namespace: TemporalNamespace = None,
    installation: FoundInstallation = None,
) -> None:
    """The App's operations: what, why, how they ended, also after they ended. Also of an App that is gone."""

    async def work(platform: Platform) -> tuple[list[history.Entry], bool]:
        entity = platform.entity_id(namespace, name)
        entries = await history.history(platform.temporal, entity, namespace, name, limit)
        # Of one that has a history it makes no difference, so the cluster is not asked.
        return entries, not entries and await platform.kubernetes.get(APP, name, namespace) is not None

    entries, exists = with_platform(Given(kubeconfig, temporal_address, temporal_namespace, installation), work)
    if form is Form.JSON:
        output.print_json(data=[entry.as_json() for entry in entries])
    else:
        output.print(history.table(entries, exists=exists))


def _add_verb(app: typer.Typer, verb: Verb) -> None:
    def command(
        name: AppName,
        namespace: Namespace = "default",
        form: Output = Form.TEXT,
        kubeconfig: Kubeconfig = None,
        temporal_address: TemporalAddress = None,
        temporal_namespace: TemporalNamespace = None,
        installation: FoundInstallation = None,
    ) -> None:
        given = Given(kubeconfig, temporal_address, temporal_namespace, installation)
        answer = with_platform(given, lambda platform: operate.control(platform, namespace, name, verb))
        _say(form, answer, {"message": answer})

    app.command(str(verb), help=_VERBS[verb])(command)


def restart(
    name: AppName,
    component: ComponentOption = "",
    group: Annotated[str, typer.Option("--group", help="Only this group.", autocompletion=completion.group_names)] = "",
    node: Annotated[
        str,
        typer.Option(
            "--node",
            help="Only this node; the App's name before it may be left out.",
            autocompletion=completion.node_names,
        ),
    ] = "",
    reason: Reason = "",
    no_wait: NoWait = False,
    namespace: Namespace = "default",
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
    temporal_address: TemporalAddress = None,
    temporal_namespace: TemporalNamespace = None,
    installation: FoundInstallation = None,
) -> None:
    """Restarts all nodes of an App, or of a part of it, one after another, the primary last."""
    request = OperationInput(namespace, name, reason or "mw restart", component=component, group=group, node=node)
    given = Given(kubeconfig, temporal_address, temporal_namespace, installation)
    _run(given, OperationType.RESTART, request, form, no_wait=no_wait)


def switchover(
    name: AppName,
    component: ComponentOption = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="The next primary; default: the one with the most data.",
            autocompletion=completion.node_names,
        ),
    ] = "",
    reason: Reason = "",
    no_wait: NoWait = False,
    namespace: Namespace = "default",
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
    temporal_address: TemporalAddress = None,
    temporal_namespace: TemporalNamespace = None,
    installation: FoundInstallation = None,
) -> None:
    """Moves the primary to another node, losing nothing."""
    request = OperationInput(namespace, name, reason or "mw switchover", component=component, candidate=to)
    given = Given(kubeconfig, temporal_address, temporal_namespace, installation)
    _run(given, OperationType.SWITCHOVER, request, form, no_wait=no_wait)


def failover(
    name: AppName,
    component: ComponentOption = "",
    node: Annotated[
        str,
        typer.Option(
            "--node",
            help="The lost primary; default: whoever was primary last.",
            autocompletion=completion.node_names,
        ),
    ] = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="The next primary; default: the one with the most data.",
            autocompletion=completion.node_names,
        ),
    ] = "",
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where the primary is well, or acknowledged writes would be lost."),
    ] = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    namespace: Namespace = "default",
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
    temporal_address: TemporalAddress = None,
    temporal_namespace: TemporalNamespace = None,
    installation: FoundInstallation = None,
) -> None:
    """Replaces a lost primary, where the engine does not do that itself; refused where it would lose data."""
    why = reason or "mw failover"
    request = OperationInput(namespace, name, why, component=component, node=node, candidate=to, force=force)
    given = Given(kubeconfig, temporal_address, temporal_namespace, installation)
    _run(given, OperationType.FAILOVER, request, form, no_wait=no_wait)


def rotate(
    name: AppName,
    overlap: Annotated[
        int,
        typer.Option("--overlap", min=0, max=LONGEST_OVERLAP, help="Seconds for which the former one stays valid."),
    ] = OVERLAP,
    reason: Reason = "",
    no_wait: NoWait = False,
    namespace: Namespace = "default",
    form: Output = Form.TEXT,
    kubeconfig: Kubeconfig = None,
    temporal_address: TemporalAddress = None,
    temporal_namespace: TemporalNamespace = None,
    installation: FoundInstallation = None,
) -> None:
    """Changes the App's passwords; both are valid for a while, so that no client is refused. An edit of the App's
    Secret does the same with a password of your own."""
    request = OperationInput(namespace, name, reason or "mw rotate", overlap=overlap)
    given = Given(kubeconfig, temporal_address, temporal_namespace, installation)
    _run(given, OperationType.ROTATE_CREDENTIALS, request, form, no_wait=no_wait)


def _run(given: Given, kind: OperationType, request: OperationInput, form: Form, *, no_wait: bool) -> None:
    started: list[str] = []

    async def work(platform: Platform) -> OperationResult | None:
        handle = await operate.start(platform, kind, request)
        started.append(handle.id)
        if no_wait:
            return None
        with Steps(f"{kind} {request.namespace}/{request.app}") as tell:
            return await operate.follow(platform, request.namespace, request.app, handle, tell)

    try:
        result = with_platform(given, work)
    except typer.Exit as end:
        if started and end.exit_code == EXIT_INTERRUPTED:
            errors.print(f"It goes on; what ends it: temporal workflow cancel -w {escape(started[0])}", soft_wrap=True)
        raise
    if result is None:
        _say(form, f"Started as {started[0]}", {"workflowId": started[0]})
    else:
        _say(form, f"{kind} {result.outcome}: {result.message}", {**asdict(result), "requestedBy": started[0]})


def _say(form: Form, sentence: str, data: dict[str, Any]) -> None:
    if form is Form.JSON:
        output.print_json(data=data)
    else:
        output.print(escape(sentence), soft_wrap=True)
