"""One node of an instance: what runs in its network namespace and cgroup, started, asked, ended, or losing its power.

The first node is where the control plane runs and what the host is joined to; the further ones have a kubelet, a
kube-proxy, a containerd and a volume provisioner each, and nothing of the first one's directories.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import containers, images
from deploy.local.cgroups import ControlGroups
from deploy.local.components import Component
from deploy.local.errors import LocalError
from deploy.local.health import serves
from deploy.local.mounts import unmount_below
from deploy.local.network import Network, NodeNetwork
from deploy.local.paths import Paths
from deploy.local.processes import Daemon, boot_id, stop_together
from deploy.local.progress import Progress
from deploy.local.slots import Addresses

CONTAINER_GRACE = 20.0  # seconds that the end of a node gives its containers to end by themselves
PORT_SECONDS = 3.0  # for a killed process's ports to close
_LEGACY_LOG_LINKS = Path("/var/log/containers")  # the kubelet knows no other place for them


@dataclass(frozen=True)
class Node:
    """`label` is what the instance calls it (`node-2`), `name` what Kubernetes does."""

    label: str
    name: str
    paths: Paths
    addresses: Addresses
    network: Network | NodeNetwork
    groups: ControlGroups
    components: Mapping[str, Component]
    progress: Progress

    def daemon(self, component: Component) -> Daemon:
        return Daemon(
            component.name, self.paths.pids / f"{component.name}.json", self.paths.logs / f"{component.name}.log"
        )

    def start_wave(self, wave: int) -> None:
        """Start its components of this wave at once and wait until all of them serve."""
        members = [component for component in self.components.values() if component.wave == wave]
        for component in members:
            self.launch(component)
        for component in members:
            self.await_serving(component)

    def launch(self, component: Component) -> None:
        """Start it where it does not run; it need not serve yet."""
        daemon = self.daemon(component)
        if daemon.find():
            return
        self._refuse_taken_ports(component)
        environment = {
            "PATH": f"{self.paths.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.paths.state),
            "LANG": "C.UTF-8",
        }
        daemon.start(
            component.command,
            environment=environment,
            network_namespace=self.paths.network_namespace,
            cgroups=self.groups.system(),
        )

    def await_serving(self, component: Component) -> None:
        daemon = self.daemon(component)
        self.progress.update(f"waiting for {component.name}")
        deadline = time.monotonic() + component.start_seconds
        while not self.serves(component):
            if daemon.find() is None:
                raise LocalError(f"{component.name} ended: {daemon.last_words()}")
            if time.monotonic() > deadline:
                raise LocalError(
                    f"{component.name} does not answer after {component.start_seconds:g} s: {daemon.last_words()}"
                )
            time.sleep(0.1)

    def serves(self, component: Component) -> bool:
        return serves(component.health, self.addresses, self.paths.network_namespace)

    def takes_images(self) -> bool:
        """Whether its containerd answers: that of a node without power does not."""
        return any(component.health.socket and self.serves(component) for component in self.components.values())

    def images(self) -> dict[str, str]:
        """Its images by name, and their digests."""
        return images.digests(self.paths.ctr)

    def is_stale(self) -> bool:
        """After a reboot, or where the network namespace is gone, no container can be gone on with: containers outlive
        containerd, but not their network. The kubelet makes them anew."""
        mark = self.paths.run / "boot"
        return not (mark.exists() and mark.read_text() == boot_id() and self.network.namespace.exists())

    def mark_boot(self) -> None:
        self.paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.paths.run / "boot").write_text(boot_id())

    def end_containers(self) -> None:
        """The kubelet first, or it would start again what is ended."""
        kubelets = [component for name, component in self.components.items() if name.startswith("kubelet")]
        stop_together({self.daemon(component): component.grace for component in kubelets})
        containers.end_all(self.paths, CONTAINER_GRACE)

    def stop_all(self) -> None:
        """Wave by wave, the last first: who ends still needs those below it."""
        waves = sorted({component.wave for component in self.components.values()}, reverse=True)
        for wave in waves:
            members = [component for component in self.components.values() if component.wave == wave]
            stop_together({self.daemon(component): component.grace for component in members})

    def clear(self) -> None:
        """End what is left of it and forget what a reboot makes untrue. Its data, images and volumes stay."""
        self.stop_all()
        self.clear_runtime()
        shutil.rmtree(self.paths.run, ignore_errors=True)
        shutil.rmtree(self.paths.state / "cni", ignore_errors=True)  # addresses of Pods that are gone

    def clear_runtime(self) -> None:
        containers.kill_shims(self.paths.containerd_socket)
        containers.sweep_sockets()
        self.groups.down()
        unmount_below([self.paths.state, self.paths.run])
        for link in _LEGACY_LOG_LINKS.glob("*.log") if _LEGACY_LOG_LINKS.exists() else ():
            if link.is_symlink() and link.readlink().is_relative_to(self.paths.pod_logs):
                link.unlink()

    def lose_power(self) -> None:
        """No process hears of it, and no peer: the link goes first, so that no connection is closed by what dies."""
        if isinstance(self.network, NodeNetwork):
            self.network.isolate()
        self.groups.kill()
        self.clear()
        self.network.down()

    def shut_down(self) -> None:
        """In good order, as an operator shuts a machine down: the containers hear SIGTERM and have their time."""
        self.end_containers()
        self.clear()
        self.network.down()

    def _refuse_taken_ports(self, component: Component) -> None:
        """The kernel closes the sockets of a killed process a moment after the process is gone, so it looks again."""
        deadline = time.monotonic() + PORT_SECONDS
        namespace = self.network.namespace
        while True:
            listeners = namespace.listeners()
            taken = [port for port in component.ports if port in listeners]
            if not taken:
                return
            if time.monotonic() > deadline:
                raise LocalError(
                    f"Port {taken[0]} of {component.name} in the network namespace {namespace.name} is held by "
                    f"{listeners[taken[0]]}: end it, or run `make down` (which ends all that runs in this instance)"
                )
            time.sleep(0.1)
