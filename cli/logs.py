"""``mw logs``: the logs of an App's nodes, through the API server; followed, they go on in the Pod that comes next."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import typer
from rich.markup import escape

from api.names import LABEL_NODE
from cli.nodes import Node, current_pods
from cli.session import CommandError, errors
from clients.errors import InvalidError, NotFoundError, UnavailableError
from clients.kubernetes import Kubernetes
from clients.pod_reason import why_not_ready
from clients.resources import POD, Manifest

_COLORS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")
_PAUSE = 1.0

Emit = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    namespace: str
    app: str
    container: str
    follow: bool
    tail: int | None
    as_json: bool = False


def emitters(nodes: Sequence[Node], *, as_json: bool = False) -> dict[str, Emit]:
    """Node -> how its lines are written: alone as they are, among others with its name before each; for scripts each as
    one object on a line."""
    if as_json:
        return {node.name: partial(_object, node.name) for node in nodes}
    if len(nodes) == 1:
        return {nodes[0].name: typer.echo}
    width = max(len(node.name) for node in nodes)

    def emitter(name: str, color: str) -> Emit:
        prefix = typer.style(f"{name:{width}} | ", fg=color)
        return lambda line: typer.echo(prefix + line)

    return {node.name: emitter(node.name, color) for node, color in zip(nodes, itertools.cycle(_COLORS), strict=False)}


def _object(node: str, line: str) -> None:
    typer.echo(json.dumps({"node": node, "line": line}, ensure_ascii=False))


async def show(kubernetes: Kubernetes, wish: Wish, nodes: Sequence[Node]) -> None:
    """Writes the logs of all nodes. Raises KubernetesError, and CommandError that names those without a log; followed,
    it ends only by being cancelled."""
    emit = emitters(nodes, as_json=wish.as_json)
    if wish.follow:
        await asyncio.gather(*(_follow(kubernetes, wish, node.name, emit[node.name]) for node in nodes))
        return
    missing = []
    for node in nodes:  # one after the other: side by side the lines of old logs would only be mixed up
        try:
            async for line in kubernetes.pod_log(node.pod, wish.namespace, wish.container, tail=wish.tail):
                emit[node.name](line)
        except InvalidError:  # of the others there may be much to read
            missing.append(_not_started(node.name, node.reason))
    if missing:
        raise CommandError("; ".join(missing))


def _not_started(node: str, reason: str) -> str:
    return f"{node} has not started, so it has no log{f': {reason}' if reason else ''}"


async def _follow(kubernetes: Kubernetes, wish: Wish, node: str, emit: Emit) -> None:
    """Node after node's Pod, container after container, through restarts of either and a broken connection."""
    loop = asyncio.get_running_loop()
    seen, heard, tail, told = "", loop.time(), wish.tail, False
    while True:
        pod = await _pod(kubernetes, wish, node)
        run = _run(pod, wish.container) if pod is not None else ""
        if pod is not None and not run and not told:
            errors.print(f"[dim]{escape(_not_started(node, why_not_ready(pod)))}; waiting[/dim]", soft_wrap=True)
        told = told or pod is not None
        if pod is not None and run:
            since = int(loop.time() - heard) + 1 if run == seen else 0
            try:
                lines = kubernetes.pod_log(
                    pod["metadata"]["name"], wish.namespace, wish.container, follow=True, tail=tail, since=since
                )
                async for line in lines:
                    emit(line)
                    heard = loop.time()
            except (InvalidError, NotFoundError, UnavailableError):
                pass  # it has not started, it is gone, the connection broke: look again
            seen, tail = run, None
            heard = loop.time()
        await asyncio.sleep(_PAUSE)


async def _pod(kubernetes: Kubernetes, wish: Wish, node: str) -> Manifest | None:
    try:
        pods, _ = await kubernetes.list(POD, wish.namespace, labels={LABEL_NODE: node})
    except UnavailableError:
        return None
    return current_pods(pods).get(node)


def _run(pod: Manifest, container: str) -> str:
    """Changes with each start of the container; empty while it has none."""
    states: list[dict[str, Any]] = (pod.get("status") or {}).get("containerStatuses") or []
    return next((str(each.get("containerID") or "") for each in states if each.get("name") == container), "")
