"""Names, labels and derived object names: the one place where a name is put together.

A derived name is part of the contract with users (they type it into clients and dashboards) and with running data
(a volume is found again by it), so it never changes once released.
"""

from __future__ import annotations

API_GROUP = "middleware.io"
API_VERSION = f"{API_GROUP}/v1alpha1"

FIELD_MANAGER = "middleware-platform"
"""Server-side apply owner of everything the activities write."""
STATUS_FIELD_MANAGER = "middleware-status"
"""Server-side apply owner of what the watcher writes (counts, roles, phase, message, what is observed)."""
STATE_FIELD_MANAGER = "middleware-state"
"""Owner of what activities decide by in the statuses of App, Component and Group: no apply of another part of a status
takes it away."""
ROLES_FIELD_MANAGER = "middleware-roles"
"""The same of the roles and their holders in a Component's status, which the watcher writes."""
FINALIZER = f"{API_GROUP}/finalizer"

LABEL_APP = f"{API_GROUP}/app"
LABEL_COMPONENT = f"{API_GROUP}/component"
LABEL_GROUP = f"{API_GROUP}/group"
LABEL_NODE = f"{API_GROUP}/node"
LABEL_ROLE = f"{API_GROUP}/role"
LABEL_STOP, STOP_REFUSED = f"{API_GROUP}/stop", "refused"
"""On a Pod whose engine says that it may not be stopped now; a disruption budget selects by it."""
LABEL_SERVICE_ROLE = f"{API_GROUP}/service-role"
"""On a role's Service: the writable role that it selects."""
LABEL_PLUGIN = f"{API_GROUP}/plugin"
LABEL_RUNTIME_VERSION = f"{API_GROUP}/runtime-version"
"""On Deployments and Pods of nodes: the App's version of which they are, which operations decide by. The recommended
``app.kubernetes.io/version`` is that of the component's own engine."""
LABEL_ENGINE_VERSION = "app.kubernetes.io/version"
LABEL_PLUGIN_VERSION = f"{API_GROUP}/plugin-version"

ANNOTATION_APP_UID = f"{API_GROUP}/app-uid"
"""On volume claims: the App whose data they hold. Another uid means data kept from an earlier App of the same name."""
UNDECIDED = "undecided"
"""In that annotation, of a claim made beside kept ones: its node waits for the same decision."""
ANNOTATION_RUNTIME_VERSION = f"{API_GROUP}/runtime-version"
"""On a kept claim: the highest version of the engine that has had its volume."""
ANNOTATION_EFFECTIVE = f"{API_GROUP}/effective"
"""On a node's ConfigMap: the parameters with which its engine runs (``render.check.applied_parameters``)."""
ANNOTATION_ADDRESS = f"{API_GROUP}/address"
"""On a node's Deployment: the address that its engine announces. Its Service is given it again whatever becomes of that
Service."""
ANNOTATION_CREDENTIALS = f"{API_GROUP}/credentials"
"""On a Pod: changed so that its kubelet looks at the App's credentials at once."""
ANNOTATION_VALID_UNTIL = f"{API_GROUP}/former-valid-until"
"""On an App's credentials, while they are changed: when the former ones are refused. ISO 8601."""
ANNOTATION_VALID_FOR = f"{API_GROUP}/former-valid-for"
"""On an App's credentials, until the next ones are in use: seconds for which the former ones are then still valid."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "middleware-platform"
"""Its value on every object of an App."""

SYSTEM_NAMESPACE = "middleware-system"
DNS_LABEL_LIMIT = 63
"""Longest name of a Service and longest label value (RFC 1123 label)."""

MIDDLEWARE_CONTAINER = "middleware"
"""The container in which agent 1 runs the engine."""
TOOLS_CONTAINER = "tools"
MANAGER_PORT = 50051
TOOLS_PORT = 50052
MANAGER_HEALTH_PORT = 50053
"""Plain HTTP, health only: kubelet probes cannot speak mutual TLS. Agent 1: ``/livez``."""
TOOLS_HEALTH_PORT = 50054
"""The same for agent 2, which shares the Pod's network namespace: ``/livez`` and ``/readyz``."""
AGENT_PORTS = (MANAGER_PORT, TOOLS_PORT, MANAGER_HEALTH_PORT, TOOLS_HEALTH_PORT)


def node_name(app: str, component: str, group: str, ordinal: int) -> str:
    """Deployment, Service, ConfigMap and volume claim of one node all carry this name."""
    return f"{app}-{component}-{group}-{ordinal}"


def node_ordinal(app: str, component: str, group: str, name: str) -> int | None:
    """The ordinal of the node that has this name; None where no node of the group can have it."""
    digits = name.rpartition("-")[2]
    if not (digits.isascii() and digits.isdecimal()) or name != node_name(app, component, group, int(digits)):
        return None
    return int(digits)


def component_name(app: str, component: str) -> str:
    """The Component resource, and the Service of all nodes of the component."""
    return f"{app}-{component}"


def group_name(app: str, component: str, group: str) -> str:
    """The Group resource."""
    return f"{app}-{component}-{group}"


def role_service_name(app: str, component: str, role: str) -> str:
    """The Service that selects the nodes holding one writable role."""
    return f"{app}-{component}-{role}"


def writable_budget_name(app: str, component: str) -> str:
    """The PodDisruptionBudget of the node that holds a writable role; that of the others is named as the component. The
    dot keeps it apart from that of a component of such a name."""
    return f"{app}-{component}.writable"


def unsafe_budget_name(app: str, component: str) -> str:
    """The PodDisruptionBudget of the nodes that may not be stopped now, by their own word."""
    return f"{app}-{component}.unsafe"


def metadata_name(app: str) -> str:
    """The App's metadata ConfigMap."""
    return f"{app}-metadata"


def credentials_name(app: str) -> str:
    """The Secret of generated passwords; kept with the volumes under ``deletionPolicy: Retain``."""
    return f"{app}-credentials"


def agent_tls_name(app: str) -> str:
    """The Secret with the agents' certificate and the CA they trust."""
    return f"{app}-agent-tls"


def agent_tls_server_name(app: str, namespace: str) -> str:
    """DNS SAN of the App's agent certificate; the platform checks it on every connection."""
    return f"{app}.{namespace}.agent.{API_GROUP}"


PLATFORM_IDENTITY = f"platform.{API_GROUP}"
"""DNS SAN of the platform's client certificate: the only caller an agent accepts."""


def app_labels(
    app: str, component: str | None = None, group: str | None = None, node: str | None = None
) -> dict[str, str]:
    """Selector labels of an object of the App; never changed after release."""
    labels = {LABEL_APP: app}
    if component is not None:
        labels[LABEL_COMPONENT] = component
    if group is not None:
        labels[LABEL_GROUP] = group
    if node is not None:
        labels[LABEL_NODE] = node
    return labels


def entity_workflow_id(installation: str, namespace: str, app: str) -> str:
    """Workflow id of the App's entity; operations append ``/<uid>/<type>/<sequence>``."""
    return f"{installation}/app/{namespace}/{app}"
