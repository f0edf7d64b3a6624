"""The components of an instance: command line, the order in which they start, and how one knows that they serve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.configs import FEATURE_GATES
from deploy.local.paths import Paths
from deploy.local.slots import Addresses

SEARCH_ATTRIBUTES = ("MiddlewareApp", "MiddlewareNamespace", "MiddlewareOperation", "MiddlewarePlugin")


@dataclass(frozen=True)
class Health:
    """What answers when the component serves: an HTTP path on a port (with `status`), or a Unix socket that accepts."""

    port: int = 0
    path: str = ""
    local: bool = True  # on 127.0.0.1 of the namespace; otherwise on the node's address
    tls: bool = False
    status: int = 200
    socket: Path | None = None


@dataclass(frozen=True)
class Component:
    """One program of the instance.

    `ports` are those it listens on, so that a stranger on one of them is named before the start fails. `grace` is how
    long it may take to end, in seconds; `start_seconds` how long to begin. Those of one `wave` start together; the
    next wave starts when they serve.
    """

    name: str
    command: tuple[str, ...]
    health: Health
    ports: tuple[int, ...] = ()
    grace: float = 10
    start_seconds: float = 60
    wave: int = 2


def _flags(**values: object) -> tuple[str, ...]:
    return tuple(f"--{key.replace('_', '-')}={value}" for key, value in values.items())


def all_components(paths: Paths, addresses: Addresses, node_name: str) -> list[Component]:
    """In the order in which they start; they stop in the opposite one."""
    return [
        _etcd(paths),
        _containerd(paths),
        _temporal(paths),
        _apiserver(paths, addresses),
        _controller_manager(paths),
        _scheduler(paths),
        _kubelet(paths, addresses, node_name),
        _proxy(paths, node_name),
        _coredns(paths),
        _volumes(paths, node_name),
    ]


def node_components(paths: Paths, addresses: Addresses, node_name: str, label: str) -> list[Component]:
    """Those of a further node, named `<component>@<node>`. containerd waits for nobody, the rest for the API."""
    found = [
        _containerd(paths),
        _kubelet(paths, addresses, node_name),
        _proxy(paths, node_name),
        _volumes(paths, node_name),
    ]
    return [replace(component, name=f"{component.name}@{label}") for component in found]


def _etcd(paths: Paths) -> Component:
    flags = _flags(
        name="local",
        data_dir=paths.state / "etcd",
        listen_client_urls="http://127.0.0.1:2379",
        advertise_client_urls="http://127.0.0.1:2379",
        listen_peer_urls="http://127.0.0.1:2380",
        initial_advertise_peer_urls="http://127.0.0.1:2380",
        initial_cluster="local=http://127.0.0.1:2380",
        auto_compaction_retention="1h",
        quota_backend_bytes=4 * 1024**3,
        log_level="warn",
    )
    return Component("etcd", (str(paths.bin / "etcd"), *flags), Health(2379, "/health"), (2379, 2380), wave=0)


def _containerd(paths: Paths) -> Component:
    command = (str(paths.bin / "containerd"), "--config", str(paths.config / "containerd.toml"))
    return Component("containerd", command, Health(socket=paths.containerd_socket), wave=0)


def _apiserver(paths: Paths, addresses: Addresses) -> Component:
    pki = paths.pki
    flags = _flags(
        advertise_address=addresses.node,
        bind_address=addresses.node,
        secure_port=6443,
        etcd_servers="http://127.0.0.1:2379",
        service_cluster_ip_range=addresses.service_range,
        allow_privileged="true",
        authorization_mode="Node,RBAC",
        feature_gates=",".join(f"{name}={str(on).lower()}" for name, on in FEATURE_GATES.items()),
        enable_admission_plugins="NodeRestriction",
        client_ca_file=pki / "ca.crt",
        tls_cert_file=pki / "kube-apiserver.crt",
        tls_private_key_file=pki / "kube-apiserver.key",
        kubelet_certificate_authority=pki / "ca.crt",
        kubelet_client_certificate=pki / "kube-apiserver-kubelet.crt",
        kubelet_client_key=pki / "kube-apiserver-kubelet.key",
        kubelet_preferred_address_types="InternalIP",
        service_account_issuer="https://kubernetes.default.svc",
        service_account_key_file=pki / "service-account.pub",
        service_account_signing_key_file=pki / "service-account.key",
        endpoint_reconciler_type="lease",
        shutdown_delay_duration="0s",
    )
    health = Health(6443, "/readyz", local=False, tls=True)
    return Component("kube-apiserver", (str(paths.bin / "kube-apiserver"), *flags), health, (6443,), grace=20, wave=1)


def _controller_manager(paths: Paths) -> Component:
    kubeconfig = paths.component_kubeconfig("kube-controller-manager")
    flags = _flags(
        kubeconfig=kubeconfig,
        authentication_kubeconfig=kubeconfig,
        authorization_kubeconfig=kubeconfig,
        bind_address="127.0.0.1",
        leader_elect="false",
        use_service_account_credentials="true",
        service_account_private_key_file=paths.pki / "service-account.key",
        root_ca_file=paths.pki / "ca.crt",
        cluster_signing_cert_file=paths.pki / "ca.crt",
        cluster_signing_key_file=paths.pki / "ca.key",
        allocate_node_cidrs="false",
        node_monitor_period="2s",
        terminated_pod_gc_threshold=100,
        kube_api_qps=100,
        kube_api_burst=200,
    )
    name = "kube-controller-manager"
    return Component(name, (str(paths.bin / name), *flags), Health(10257, "/healthz", tls=True), (10257,))


def _scheduler(paths: Paths) -> Component:
    kubeconfig = paths.component_kubeconfig("kube-scheduler")
    flags = _flags(
        config=paths.config / "kube-scheduler.json",
        authentication_kubeconfig=kubeconfig,
        authorization_kubeconfig=kubeconfig,
        bind_address="127.0.0.1",
    )
    name = "kube-scheduler"
    return Component(name, (str(paths.bin / name), *flags), Health(10259, "/healthz", tls=True), (10259,))


def _kubelet(paths: Paths, addresses: Addresses, node_name: str) -> Component:
    flags = _flags(
        config=paths.config / "kubelet.json",
        kubeconfig=paths.component_kubeconfig("kubelet"),
        root_dir=paths.kubelet,
        cert_dir=paths.kubelet / "pki",
        hostname_override=node_name,
        node_ip=addresses.node,
    )
    return Component("kubelet", (str(paths.bin / "kubelet"), *flags), Health(10248, "/healthz"), (10248, 10250))


def _proxy(paths: Paths, node_name: str) -> Component:
    flags = _flags(config=paths.config / "kube-proxy.json", hostname_override=node_name)
    return Component("kube-proxy", (str(paths.bin / "kube-proxy"), *flags), Health(10256, "/livez"), (10249, 10256))


def _coredns(paths: Paths) -> Component:
    command = (str(paths.bin / "coredns"), "-conf", str(paths.config / "Corefile"))
    return Component("coredns", command, Health(8181, "/ready"), (53, 8090, 8181))


def _volumes(paths: Paths, node_name: str) -> Component:
    flags = _flags(
        kubeconfig=paths.component_kubeconfig("volumes"),
        directory=paths.volumes,
        node=node_name,
        health_address="127.0.0.1:8095",
    )
    return Component("volumes", (str(paths.bin / "volumes"), *flags), Health(8095, "/healthz"), (8095,))


def _temporal(paths: Paths) -> Component:
    """The development server, made durable: SQLite in a file, whose write-ahead log survives any process's end.

    It listens on every address of the namespace: its inner services call one another on 127.0.0.1 whatever `--ip`
    says, and on the node's address alone no workflow would ever start.
    """
    everywhere = "0.0.0.0"  # noqa: S104
    command = [str(paths.bin / "temporal"), "server", "start-dev"]
    command += ["--ip", everywhere, "--port", "7233", "--ui-ip", everywhere, "--ui-port", "8233"]
    command += ["--http-port", "7243", "--metrics-port", "8234"]
    command += ["--db-filename", str(paths.state / "temporal" / "temporal.db"), "--log-level", "warn"]
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        command += ["--sqlite-pragma", pragma]
    for attribute in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{attribute}=Keyword"]
    # The frontend answers before it can do anything: this workflow, which does not exist, is asked of the history.
    health = Health(7243, "/api/v1/namespaces/default/workflows/health", status=404)
    return Component("temporal", tuple(command), health, (7233, 7243, 8233, 8234), wave=0)
