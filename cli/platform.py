"""Where the platform of this cluster is: which Temporal, which installation. Its own worker's settings say so.

What the person gives comes first. A worker that does not run as a Pod (a developer's) leaves the defaults.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from temporalio.client import Client
from temporalio.service import RPCError

from api.group import AgentBundle
from api.names import SYSTEM_NAMESPACE, entity_workflow_id
from cli.session import CommandError, with_cluster
from clients import temporal
from clients.errors import KubernetesError
from clients.image_volumes import Delivery, mounts_agents
from clients.kubernetes import Kubernetes
from clients.resources import DEPLOYMENT

T = TypeVar("T")
WORKER = "middleware-worker"
PATIENCE = 3.0
_LONGEST = 8.0


@dataclass(frozen=True)
class Given:
    """What the person has said; None: find out."""

    kubeconfig: str | None = None
    temporal_address: str | None = None
    temporal_namespace: str | None = None
    installation: str | None = None


@dataclass(frozen=True)
class Found:
    temporal_address: str
    temporal_namespace: str
    installation: str
    agent: AgentBundle
    """What the worker gives to new nodes; its image is empty where nobody says."""


@dataclass(frozen=True)
class Platform:
    kubernetes: Kubernetes
    temporal: Client
    installation: str

    def entity_id(self, namespace: str, app: str) -> str:
        return entity_workflow_id(self.installation, namespace, app)


async def find(kubernetes: Kubernetes, given: Given) -> Found:
    """Without the right to read Deployments of the platform's namespace the defaults hold."""
    try:
        deployment = await kubernetes.get(DEPLOYMENT, WORKER, SYSTEM_NAMESPACE) or {}
    except KubernetesError:
        deployment = {}
    pod = deployment.get("spec", {}).get("template", {}).get("spec", {})
    variables = [each for container in pod.get("containers") or [] for each in container.get("env") or []]
    settings = {str(each["name"]): str(each.get("value") or "") for each in variables}
    image = settings.get("MW_AGENT_IMAGE", "")
    try:
        mounted = await mounts_agents(kubernetes, Delivery(settings.get("MW_AGENT_DELIVERY") or Delivery.COPY))
    except KubernetesError:  # without the right to list the machines
        mounted = False
    return Found(
        given.temporal_address or settings.get("TEMPORAL_ADDRESS") or "localhost:7233",
        given.temporal_namespace or settings.get("TEMPORAL_NAMESPACE") or "default",
        given.installation or settings.get("MW_INSTALLATION") or "default",
        AgentBundle(image=image, mounted=mounted),
    )


async def connect(found: Found) -> Client:
    """Tries for a few seconds. Raises CommandError that says what to do."""
    try:
        async with asyncio.timeout(_LONGEST):
            return await temporal.connect(found.temporal_address, found.temporal_namespace, patience=PATIENCE)
    except (RuntimeError, RPCError, TimeoutError) as error:
        said = re.findall(r'message: "([^"]+)"', str(error))  # the SDK's own text is a nest of structures
        reason = said[-1] if said else str(error) or f"no answer in {_LONGEST:.0f} s"
        raise CommandError(
            f"Temporal at {found.temporal_address} cannot be reached: {reason}. Set TEMPORAL_ADDRESS or "
            "--temporal-address; one that only Pods reach is brought here by: kubectl port-forward; the embedded one "
            "is started by `make up`. Operations already begun go on without this command"
        ) from error


def with_platform(given: Given, work: Callable[[Platform], Awaitable[T]]) -> T:
    """Runs ``work`` with connections to cluster and Temporal; what goes wrong becomes a sentence and an exit code."""

    async def connected(kubernetes: Kubernetes) -> T:
        found = await find(kubernetes, given)
        return await work(Platform(kubernetes, await connect(found), found.installation))

    return with_cluster(given.kubeconfig, connected)
