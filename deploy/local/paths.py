"""Where things are on the machine: one state directory per instance, one cache for all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STATE_ROOT = Path("/var/lib/middleware-platform")
RUN_ROOT = Path("/run/middleware-platform")
SOURCES = Path(__file__).parent / "binaries"


def cache_root() -> Path:
    """Binaries, images and other things that are the same for every instance; `MW_CACHE` overrides it."""
    return Path(os.environ.get("MW_CACHE", "/var/cache/middleware-platform"))


def state_directory(name: str) -> Path:
    """The state directory of an instance; `MW_STATE` overrides it."""
    override = os.environ.get("MW_STATE")
    return Path(override) if override else STATE_ROOT / name


@dataclass(frozen=True)
class Paths:
    """The directories and files of one instance.

    `state` outlives a reboot. `run` holds sockets and the container runtime's view of what runs, which a reboot
    makes untrue: it lies in /run, which the boot empties. Unix socket paths must stay below 108 bytes there.
    """

    name: str
    state: Path

    @property
    def run(self) -> Path:
        return RUN_ROOT / self.name

    @property
    def bin(self) -> Path:
        return self.state / "bin"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.state / "pids"

    @property
    def pod_logs(self) -> Path:
        """One directory for each kubelet: it removes what it does not know."""
        return self.logs / "pods"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def containerd_root(self) -> Path:
        return self.state / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.run / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def ctr(self) -> tuple[str, ...]:
        """The client of this containerd, as the beginning of a command."""
        return str(self.bin / "ctr"), "--address", str(self.containerd_socket), "--namespace", "k8s.io"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def kubelet_certificate(self) -> str:
        """The name, in `pki`, of the certificate that the node's kubelet serves with."""
        return "kubelet-server"

    def component_kubeconfig(self, user: str) -> Path:
        return self.config / f"{user}.kubeconfig"

    @property
    def record(self) -> Path:
        """What the instance remembers of itself (its slot)."""
        return self.state / "instance.json"

    @property
    def network_namespace(self) -> Path:
        return Path("/run/netns") / f"mw-{self.name}"

    @property
    def node_count(self) -> Path:
        """How many nodes the instance has; absent where it is one."""
        return self.state / "nodes.json"


@dataclass(frozen=True)
class NodePaths(Paths):
    """The directories of a further node, below those of its instance: what a machine of its own would have is its own,
    programs, certificates, pid files and logs are the instance's."""

    label: str
    instance: Paths

    @classmethod
    def of(cls, instance: Paths, label: str) -> NodePaths:
        return cls(instance.name, instance.state / "nodes" / label, label, instance)

    @property
    def run(self) -> Path:
        return self.instance.run / self.label

    @property
    def bin(self) -> Path:
        return self.instance.bin

    @property
    def pki(self) -> Path:
        return self.instance.pki

    @property
    def logs(self) -> Path:
        return self.instance.logs

    @property
    def pids(self) -> Path:
        return self.instance.pids

    @property
    def pod_logs(self) -> Path:
        return self.logs / f"pods@{self.label}"

    @property
    def kubelet_certificate(self) -> str:
        return f"kubelet-server@{self.label}"

    @property
    def network_namespace(self) -> Path:
        # a dot, which no instance's name holds: the instance `a-node-2` has a namespace of its own
        return Path("/run/netns") / f"mw-{self.name}.{self.label}"
