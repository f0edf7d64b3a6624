"""``mw install``: what Helm is not good at (CRDs, private keys), then the chart by Helm."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api.names import FIELD_MANAGER, SYSTEM_NAMESPACE
from cli import search_attributes
from cli.session import CommandError, embedded_state, kubeconfig_path
from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes
from clients.pod_reason import why_not_ready
from clients.resources import POD, Manifest
from clients.tls.pki import ensure_pki

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
CHART, CRDS = DEPLOY / "chart", DEPLOY / "crds"
RELEASE = "middleware-platform"
HELM_SECONDS = 300
ESTABLISHED_SECONDS = 30.0
LOOK_SECONDS = 5.0
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Options:
    temporal_address: str
    temporal_namespace: str
    installation: str
    values: tuple[str, ...]
    """As Helm's ``--set``."""
    chart: Path
    crds: Path


async def install(
    kubernetes: Kubernetes, options: Options, kubeconfig: str | None, report: Callable[[str], None]
) -> None:
    """Everything may be repeated. Raises CommandError, KubernetesError."""
    helm = find_helm()
    version = await server_version(kubernetes)
    variant = crd_variant(version)
    names = await apply_crds(kubernetes, read_crds(options.crds / variant))
    report(f"CRDs ({variant}, Kubernetes {version[0]}.{version[1]}): {', '.join(names)}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}}
    await kubernetes.apply(namespace)
    _, client = await ensure_pki(kubernetes, options.installation)
    report(f"Certificates: platform-ca, platform-client (until {client.not_after:%Y-%m-%d}; the worker renews it)")
    report(await search_attributes.register(options.temporal_address, options.temporal_namespace))
    await _until_they_run(kubernetes, run_helm(helm, helm_arguments(options), kubeconfig_path(kubeconfig)), report)
    report(f"Watcher and worker run in {SYSTEM_NAMESPACE}")


async def _until_they_run(
    kubernetes: Kubernetes, helm: Coroutine[Any, Any, None], report: Callable[[str], None]
) -> None:
    """Helm waits without a word for Pods that may lack their image; so they are looked at meanwhile."""
    work = asyncio.ensure_future(helm)
    reasons: list[str] = []
    try:
        while not (await asyncio.wait({work}, timeout=LOOK_SECONDS))[0]:
            reasons = await _why_pods_wait(kubernetes)
            for reason in reasons[:1]:
                report(reason)
        work.result()
    except CommandError as error:
        raise CommandError("".join([str(error), *(f"\n  {reason}" for reason in reasons)])) from error
    finally:
        work.cancel()


async def _why_pods_wait(kubernetes: Kubernetes) -> list[str]:
    try:
        pods, _ = await kubernetes.list(POD, SYSTEM_NAMESPACE)
    except KubernetesError:
        return []  # Helm asks the same API server and has the last word
    told = {str(pod["metadata"]["name"]): why_not_ready(pod) for pod in pods}
    return [f"{name}: {why}" for name, why in sorted(told.items()) if why]


async def server_version(kubernetes: Kubernetes) -> tuple[int, int]:
    """Major and minor; a vendor's suffix (``25+``) is left out."""
    answer = await kubernetes.call("GET", "/version", doing="asking the API server for its version")
    major, minor = (str(answer.get(key, "")).rstrip("+") for key in ("major", "minor"))
    if not (major.isdigit() and minor.isdigit()):
        raise CommandError(f"the API server's version is {answer.get('gitVersion')!r}, which says no major and minor")
    return int(major), int(minor)


def crd_variant(version: tuple[int, int]) -> str:
    """CEL rules are refused before 1.25."""
    if version < (1, 20):
        raise CommandError(f"Kubernetes {version[0]}.{version[1]} is too old: 1.20 or later is needed")
    return "v1" if version >= (1, 25) else "v1-without-cel"


def read_crds(folder: Path) -> dict[str, Manifest]:
    """By name. Raises CommandError where there are none."""
    manifests = [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.yaml"))]
    if not manifests:
        raise CommandError(f"there are no CRDs in {folder}; name their folder with --crds")
    return {str(manifest["metadata"]["name"]): manifest for manifest in manifests}


async def apply_crds(kubernetes: Kubernetes, crds: Mapping[str, Manifest]) -> list[str]:
    """Applies the CRDs and waits until each is served; their names."""
    for name, manifest in crds.items():
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path, kind = f"{CRD_PATH}/{name}", "application/apply-patch+yaml"
        await kubernetes.call("PATCH", path, query=query, body=manifest, content_type=kind, doing=f"applying {name}")
    deadline = time.monotonic() + ESTABLISHED_SECONDS
    for name in crds:
        while not await _established(kubernetes, name):
            if time.monotonic() > deadline:
                seconds = f"{ESTABLISHED_SECONDS:.0f} s"
                raise CommandError(f"CRD {name} is not served after {seconds}; see: kubectl describe crd {name}")
            await asyncio.sleep(0.1)
    return list(crds)


async def _established(kubernetes: Kubernetes, name: str) -> bool:
    crd = await kubernetes.call("GET", f"{CRD_PATH}/{name}")
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def find_helm() -> str:
    path = f"{os.environ.get('PATH', '')}:{embedded_state() / 'bin'}"
    helm = shutil.which("helm", path=path)
    if helm is None:
        raise CommandError("helm is not on PATH; install Helm 3.8 or later (`make up` brings its own)")
    return helm


def helm_arguments(options: Options) -> list[str]:
    values = [
        f"temporal.address={options.temporal_address}",
        f"temporal.namespace={options.temporal_namespace}",
        f"installation={options.installation}",
        *options.values,
    ]
    arguments = ["upgrade", "--install", RELEASE, str(options.chart), "--namespace", SYSTEM_NAMESPACE]
    arguments += ["--wait", "--timeout", f"{HELM_SECONDS}s"]
    return arguments + [word for value in values for word in ("--set", value)]


async def run_helm(helm: str, arguments: list[str], kubeconfig: str | None) -> None:
    environment = {**os.environ, **({"KUBECONFIG": kubeconfig} if kubeconfig else {})}
    process = await asyncio.create_subprocess_exec(
        helm, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(HELM_SECONDS + 30):
            _, stderr = await process.communicate()
    except TimeoutError as error:
        process.kill()
        raise CommandError(f"helm did not end in {HELM_SECONDS + 30} s") from error
    if process.returncode != 0:
        raise CommandError(
            f"helm failed: {stderr.decode('utf-8', 'replace').strip()}; "
            f"see: kubectl get pods -n {SYSTEM_NAMESPACE}; kubectl get events -n {SYSTEM_NAMESPACE}"
        )
