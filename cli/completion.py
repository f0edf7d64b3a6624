"""Names that the shell offers: Apps, and within an App its nodes, components and groups, as the cluster has them.

Somebody pressed the tab key: an answer in a moment or none at all, and never a word about what went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterable

import typer

from api.names import app_labels
from cli.session import kubeconfig_path
from clients.kubernetes import Kubernetes
from clients.resources import APP, GROUP, Manifest, Resource

WITHIN = 1.5
"""Seconds; a shell that hangs is worse than one that offers nothing."""


def app_names(context: typer.Context, incomplete: str) -> list[str]:
    """Of the namespace that was named, else of ``default``."""
    return _offered(incomplete, (str(app["metadata"]["name"]) for app in _objects(context, APP, "")))


def namespaces(context: typer.Context, incomplete: str) -> list[str]:
    """Those that have an App."""
    return _offered(incomplete, (str(app["metadata"]["namespace"]) for app in _objects(context, APP, None)))


def node_names(context: typer.Context, incomplete: str) -> list[str]:
    groups = _objects(context, GROUP, _app(context))
    return _offered(incomplete, (str(n["name"]) for g in groups for n in (g.get("status") or {}).get("nodes") or []))


def component_names(context: typer.Context, incomplete: str) -> list[str]:
    return _offered(incomplete, (str(group["spec"]["component"]) for group in _objects(context, GROUP, _app(context))))


def group_names(context: typer.Context, incomplete: str) -> list[str]:
    """Of the component that was named, else of all."""
    component = context.params.get("component")
    groups = _objects(context, GROUP, _app(context))
    wanted = (group["spec"] for group in groups if component in (None, "", group["spec"]["component"]))
    return _offered(incomplete, (str(spec["group"]) for spec in wanted))


def _app(context: typer.Context) -> str:
    # Behind an option whose value is still to come click has the arguments, but no names for them yet.
    return str(context.params.get("name") or next(iter(context.args), ""))


def _offered(incomplete: str, names: Iterable[str]) -> list[str]:
    # Within the silence, since an object that somebody spoilt is no reason to speak either.
    return _silently(lambda: sorted({name for name in names if name.startswith(incomplete)}))


def _silently(work: Callable[[], list[str]]) -> list[str]:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
        return work()
    return []


def _objects(context: typer.Context, resource: Resource, app: str | None) -> Iterable[Manifest]:
    """``app``: only that App's; empty: of the whole namespace; None: of the whole cluster. Asks when iterated over."""
    namespace = None if app is None else str(context.params.get("namespace") or "default")
    yield from asyncio.run(_listed(context.params.get("kubeconfig"), resource, namespace, app or ""))


async def _listed(kubeconfig: str | None, resource: Resource, namespace: str | None, app: str) -> list[Manifest]:
    async with asyncio.timeout(WITHIN), await Kubernetes.connect(kubeconfig_path(kubeconfig)) as kubernetes:
        found, _ = await kubernetes.list(resource, namespace, labels=app_labels(app) if app else "")
        return list(found)
