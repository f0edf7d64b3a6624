"""The example App of `make up`: applied where there is none, left alone where there is one, waited for, and shown.

Whoever has changed it finds it as it was left: `up` starts a cluster, it changes nobody's App.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from api.app import AppSpec, EndpointServes, Phase
from api.names import SYSTEM_NAMESPACE
from cli.status import serves
from clients.kubernetes import Kubernetes
from clients.resources import APP, POD, SECRET, SERVICE, Manifest
from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.progress import Progress

READY_SECONDS = 300
_AT_WORK = frozenset({Phase.PENDING, Phase.DEPLOYING, Phase.UPDATING, Phase.DELETING})


@dataclass(frozen=True)
class State:
    """Of an App that is waited for. ``settled``: it serves, by its newest spec, and nothing is under way."""

    settled: bool
    refused: str
    said: str


def example_app(path: Path) -> Manifest:
    documents = yaml.safe_load_all(path.read_text())
    app: Manifest = next(each for each in documents if each["kind"] == "App")
    return app


def same_spec(one: Manifest, other: Manifest) -> bool:
    """With the defaults filled in; what cannot be read is not the same."""
    try:
        return AppSpec.model_validate(one.get("spec")) == AppSpec.model_validate(other.get("spec"))
    except ValidationError:
        return False


def state_of(app: Manifest) -> State:
    """Ready is an answer to the generation that it names: after an edit the one before says nothing yet."""
    generation, status = app["metadata"].get("generation"), app.get("status") or {}
    ready = _ready(app)
    current = ready.get("observedGeneration") == generation
    at_work = status.get("phase", Phase.PENDING) in _AT_WORK
    refused = str(ready.get("message")) if current and ready.get("reason") == "InvalidSpec" else ""
    said = str(status.get("message") or ready.get("message") or "no watcher has looked at it yet")
    return State(ready.get("status") == "True" and current and not at_work, refused, said)


async def bring_up(kubernetes: Kubernetes, instance: Instance, path: Path, progress: Progress) -> Manifest:
    """The example App once it is settled; applied first where it is absent. Raises LocalError where it is refused, or
    does not get there."""
    example = example_app(path)
    namespace, name = str(example["metadata"]["namespace"]), str(example["metadata"]["name"])
    live = await kubernetes.get(APP, name, namespace)
    if live is None:
        await asyncio.to_thread(instance.kubectl, "apply", "-f", str(path))
    elif not same_spec(live, example):
        progress.note(f"App {namespace}/{name} differs from {path.name}, and is left as it is")
    return await _wait(kubernetes, namespace, name, progress, instance)


async def _wait(kubernetes: Kubernetes, namespace: str, name: str, progress: Progress, instance: Instance) -> Manifest:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        app = await kubernetes.get(APP, name, namespace)
        if app is None:
            raise LocalError(f"App {namespace}/{name} has been deleted: `make up` makes it again")
        state = state_of(app)
        if state.settled:
            return app
        progress.update(f"{(app.get('status') or {}).get('ready', '')} nodes ready; {state.said}")
        if state.refused:
            raise LocalError(f"App {namespace}/{name} is refused: {state.refused}")
        if time.monotonic() > deadline:
            raise LocalError(await _what_is_wrong(kubernetes, namespace, name, state.said, instance))
        await asyncio.sleep(0.5)


async def _what_is_wrong(kubernetes: Kubernetes, namespace: str, name: str, said: str, instance: Instance) -> str:
    platform, _ = await kubernetes.list(POD, SYSTEM_NAMESPACE)
    down = [str(pod["metadata"]["name"]) for pod in platform if not _pod_ready(pod)]
    lines = [f"App {namespace}/{name} is not Ready after {READY_SECONDS} s: {said}"]
    if down:
        lines.append(f"  Not ready in {SYSTEM_NAMESPACE}: {', '.join(down)}")
    lines += [
        f"  What it does:   .venv/bin/python -m cli status {name} -n {namespace}"
        f" --kubeconfig {instance.paths.kubeconfig}",
        f"  Its Events:     {instance.paths.bin}/kubectl --kubeconfig={instance.paths.kubeconfig}"
        f" describe app {name} -n {namespace}",
        f"  Its operations: {instance.temporal_ui}",
        f"  Logs of Pods:   {instance.paths.logs}/pods",
    ]
    return "\n".join(lines)


async def how_to_reach(kubernetes: Kubernetes, app: Manifest) -> list[str]:
    """Lines that a person needs next: where it writes, from where, with which password."""
    namespace, name = str(app["metadata"]["namespace"]), str(app["metadata"]["name"])
    endpoints: list[dict[str, Any]] = app["status"].get("endpoints") or []
    services = [await kubernetes.get(SERVICE, str(each["name"]), namespace) or {} for each in endpoints]
    addresses = [str((service.get("spec") or {}).get("clusterIP", "")) for service in services]
    secret = await kubernetes.get(SECRET, f"{name}-credentials", namespace) or {}
    return reach_lines(app, addresses, secret.get("data") or {})


def reach_lines(app: Manifest, addresses: list[str], credentials: Mapping[str, str]) -> list[str]:
    """``addresses``: of the endpoints' Services, in the same order. ``credentials``: the keys of the App's Secret."""
    namespace, name = str(app["metadata"]["namespace"]), str(app["metadata"]["name"])
    lines = [f"App {namespace}/{name} is Ready, primary {app['status'].get('primary') or 'none'}"]
    endpoints = app["status"].get("endpoints") or []
    # What takes writes first: it is what most look for.
    both = sorted(zip(endpoints, addresses, strict=True), key=lambda e: e[0].get("serves") != EndpointServes.WRITES)
    for endpoint, address in both:
        port = str(endpoint["address"]).rpartition(":")[2]
        lines.append(f"  {serves(endpoint)}: {address}:{port} (in the cluster: {endpoint['address']})")
    for key in sorted(key for key in credentials if _is_asked_for(key, credentials)):
        lines.append(
            f"  {key}: kubectl get secret {name}-credentials -n {namespace} -o jsonpath='{{.data.{key}}}' | base64 -d"
        )
    return lines


def _is_asked_for(key: str, credentials: Mapping[str, str]) -> bool:
    """A password that people read and edit, not the platform's own note beside it (``password.used``, ...)."""
    return not key.startswith(".") and not any(key.startswith(f"{other}.") for other in credentials)


def _ready(app: Manifest) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = (app.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == "Ready"), {})


def _pod_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
