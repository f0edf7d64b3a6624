"""What every activity needs: connections, shared watches, and the few settings of this installation."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.plugins import Plugins
from activities.terminated_pods import TerminatedPods
from api.group import AgentBundle
from api.names import LABEL_APP
from api.steps import ErrorType
from clients.agents import Agents
from clients.kubernetes import Kubernetes
from clients.resources import DEPLOYMENT, POD
from clients.shared_watch import SharedWatch
from clients.tls.certificates import KeyPair


@dataclass
class Platform:
    """One for each worker process. ``authority`` signs the Apps' agent certificates."""

    kubernetes: Kubernetes
    agents: Agents
    temporal: Client
    plugins: Plugins
    deployments: SharedWatch
    pods: SharedWatch
    terminated_pods: TerminatedPods
    authority: KeyPair
    installation: str
    agent: AgentBundle


def watches(kubernetes: Kubernetes) -> tuple[SharedWatch, SharedWatch]:
    """Deployments and Pods of all Apps, for waiting."""
    return SharedWatch(kubernetes, DEPLOYMENT, labels=LABEL_APP), SharedWatch(kubernetes, POD, labels=LABEL_APP)


def permanent(kind: ErrorType, message: str, *details: str) -> ApplicationError:
    """An error that trying again does not cure: it ends the operation with this sentence. ``details``: as its ``kind``
    says."""
    return ApplicationError(message, *details, type=kind, non_retryable=True)
