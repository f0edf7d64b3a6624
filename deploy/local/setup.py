"""Write what an instance's components read: certificates, kubeconfigs, configuration files."""

from __future__ import annotations

from pathlib import Path

from deploy.local import configs
from deploy.local.paths import NodePaths, Paths
from deploy.local.pki import Authority, ensure_service_account_key
from deploy.local.slots import Addresses, NodeAddresses

ADMINISTRATOR = "admin"


def write_all(paths: Paths, addresses: Addresses, node_name: str, cgroup_root: str) -> None:
    """Make what is absent, rewrite what derives from code: an upgraded platform brings its new configuration along."""
    _directories(paths, paths.pki, paths.state / "etcd", paths.state / "temporal")
    _certificates(paths, addresses, node_name)
    _write_node_files(paths, addresses, addresses, cgroup_root)
    _write(paths.config / "kube-scheduler.json", configs.scheduler(paths))
    _write(paths.config / "Corefile", configs.corefile(paths, addresses))


def write_node(paths: NodePaths, addresses: NodeAddresses, node_name: str, cgroup_root: str) -> None:
    """The same for a further node: its kubelet's identity is its own, its other users are the instance's."""
    first = Addresses(addresses.slot)
    _directories(paths)
    paths.state.parent.chmod(0o711)  # as the instance's: on the way to the volumes
    authority = Authority(paths.pki)
    authority.issue(paths.kubelet_certificate, f"system:node:{node_name}", names=[node_name, str(addresses.node)])
    identity = f"kubelet@{paths.label}"
    authority.issue(identity, f"system:node:{node_name}", groups=["system:nodes"])
    for user, certificate in {"kubelet": identity, "kube-proxy": "kube-proxy", "volumes": "volumes"}.items():
        authority.kubeconfig(paths.component_kubeconfig(user), f"https://{first.node}:6443", certificate)
    _write_node_files(paths, addresses, first, cgroup_root)


def _directories(paths: Paths, *more: Path) -> None:
    for directory in (paths.state, paths.volumes):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)  # Pods enter their own directory in it, nobody lists it
    for directory in (paths.config, *more, paths.run):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)


def _write_node_files(paths: Paths, addresses: Addresses, first: Addresses, cgroup_root: str) -> None:
    (paths.config / "cni").mkdir(exist_ok=True)
    files = {
        "containerd.toml": configs.containerd(paths),
        "cni/10-pods.conflist": configs.cni(paths, addresses),
        "kubelet.json": configs.kubelet(paths, addresses, cgroup_root),
        "kube-proxy.json": configs.kube_proxy(paths, addresses),
        # The node's own resolver is the cluster's: there is no other that a Pod could reach.
        "resolv.conf": f"nameserver {first.node}\n",
    }
    for name, content in files.items():
        _write(paths.config / name, content)


def _certificates(paths: Paths, addresses: Addresses, node_name: str) -> None:
    authority = Authority(paths.pki)
    authority.ensure()
    ensure_service_account_key(paths.pki)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += [f"kubernetes.default.svc.{configs.CLUSTER_DOMAIN}", "localhost", "127.0.0.1"]
    names += [str(addresses.node), str(addresses.api_service)]
    authority.issue("kube-apiserver", "kube-apiserver", names=names)
    authority.issue("kubelet-server", f"system:node:{node_name}", names=[node_name, str(addresses.node)])
    authority.issue("kube-apiserver-kubelet", "kube-apiserver-kubelet")
    users: dict[str, tuple[str, list[str]]] = {
        ADMINISTRATOR: ("admin", ["system:masters"]),
        "kubelet": (f"system:node:{node_name}", ["system:nodes"]),
        "kube-controller-manager": ("system:kube-controller-manager", []),
        "kube-scheduler": ("system:kube-scheduler", []),
        "kube-proxy": ("system:kube-proxy", []),
        "coredns": ("middleware-local:coredns", []),
        "volumes": ("middleware-local:volumes", []),
    }
    for file, (user, groups) in users.items():
        authority.issue(file, user, groups=groups)
        target = paths.kubeconfig if file == ADMINISTRATOR else paths.component_kubeconfig(file)
        authority.kubeconfig(target, f"https://{addresses.node}:6443", file)


def _write(path: Path, content: str) -> None:
    if not path.exists() or path.read_text() != content:
        path.write_text(content)
