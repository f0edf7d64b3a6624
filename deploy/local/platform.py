"""The platform on the embedded cluster, or on the current one: the same steps as `mw install`, then plugins and an App.

The cluster's own modules need nothing but the standard library; this one is loaded after them and uses the product's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cli import installation, plugins
from cli.session import CommandError
from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes
from deploy.local import example
from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.progress import Progress

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGINS = ("redis", "redis-1.1", "zookeeper")
EXAMPLE = REPOSITORY / "examples" / "production-redis.yaml"


def install(instance: Instance, *, with_example: bool = False) -> None:
    """CRDs, certificates, watcher, worker, plugins; with `with_example` the example App until it is Ready.

    The nodes have the images. May be repeated. Raises LocalError with a sentence and where to look.
    """
    progress = instance.progress
    os.environ["PATH"] = f"{instance.paths.bin}:{os.environ.get('PATH', '')}"  # Helm
    options = installation.Options(
        temporal_address=instance.temporal_address,
        temporal_namespace="default",
        installation=instance.name,
        values=(*replicas(instance.node_count()), f"image.build={_build_of(instance)}", "agentImage.delivery=volume"),
        chart=installation.CHART,
        crds=installation.CRDS,
    )
    kubeconfig = str(instance.paths.kubeconfig)
    with progress.step("Platform (watcher, worker)"):
        _run(_install(kubeconfig, options, progress))
    with progress.step(f"Plugins {', '.join(PLUGINS)}"):
        _run(_plugins(kubeconfig, progress))
    _link_mw(instance)
    if with_example:
        with progress.step(f"Example App ({EXAMPLE.name})"):
            lines = _run(_example(kubeconfig, instance))
        for line in lines:
            progress.note(line)


def replicas(nodes: int) -> tuple[str, str]:
    """On a single machine a second worker would only take memory, on several one of them must outlive its machine; the
    second watcher shows that one takes over."""
    return "watcher.replicas=2", f"worker.replicas={min(nodes, 2)}"


def _link_mw(instance: Instance) -> None:
    """`mw` and `kubectl mw` beside the instance's other programs: `deploy.local env` puts them on PATH."""
    script = f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m cli "$@"\n'
    for name in ("mw", "kubectl-mw"):
        path = instance.paths.bin / name
        path.write_text(script)
        path.chmod(0o755)


def install_current(progress: Progress, values: Sequence[str] = ()) -> None:
    """The platform and its plugins on the cluster of KUBECONFIG, with the Temporal server of TEMPORAL_ADDRESS.

    ``values`` are the chart's, as in Helm's ``--set``.
    """
    kubeconfig = _current_kubeconfig()
    address = os.environ.get("TEMPORAL_ADDRESS")
    if not address:
        raise LocalError("Set TEMPORAL_ADDRESS to host:port of your Temporal frontend, as the cluster's Pods reach it")
    options = installation.Options(
        temporal_address=address,
        temporal_namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
        installation=os.environ.get("MW_INSTALLATION", "default"),
        values=tuple(values),
        chart=installation.CHART,
        crds=installation.CRDS,
    )
    progress.note(f"Cluster: that of {kubeconfig}; Temporal: {address}, namespace {options.temporal_namespace}")
    with progress.step("Platform (watcher, worker)"):
        _run(_install(kubeconfig, options, progress))
    with progress.step(f"Plugins {', '.join(PLUGINS)}"):
        _run(_plugins(kubeconfig, progress))
    progress.note(f"Now: kubectl apply -f {EXAMPLE.relative_to(REPOSITORY)}; .venv/bin/python -m cli status")


def _current_kubeconfig() -> str:
    """KUBECONFIG or ``~/.kube/config``; never the embedded cluster's, which has its own ``make up``."""
    path = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(part).exists() for part in path.split(os.pathsep)):
        raise LocalError(f"There is no {path}: set KUBECONFIG to the kubeconfig of your cluster")
    return path


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (CommandError, KubernetesError) as error:
        raise LocalError(str(error)) from error


async def _install(kubeconfig: str | None, options: installation.Options, progress: Progress) -> None:
    async with await Kubernetes.connect(kubeconfig) as kubernetes:
        await installation.install(kubernetes, options, kubeconfig, progress.update)


async def _plugins(kubeconfig: str | None, progress: Progress) -> None:
    async with await Kubernetes.connect(kubeconfig) as kubernetes:
        for name in PLUGINS:
            progress.update(await plugins.install(kubernetes, REPOSITORY / "plugins" / name))


def _build_of(instance: Instance) -> str:
    """Changes with the platform image's content; its tag is the version, which does not."""
    record = instance.paths.state / "images.json"
    loaded: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    archive = next((file for reference, file in loaded.items() if "/platform:" in reference), "")
    return Path(archive).stem.rpartition("-")[2]


async def _example(kubeconfig: str, instance: Instance) -> list[str]:
    async with await Kubernetes.connect(kubeconfig) as kubernetes:
        app = await example.bring_up(kubernetes, instance, EXAMPLE, instance.progress)
        return await example.how_to_reach(kubernetes, app)
