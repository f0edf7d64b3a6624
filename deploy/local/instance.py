"""One instance of the embedded cluster: bring it up, take it down, break it on purpose, ask it things.

`up` may be repeated at any time: it starts what does not run and leaves what does. After a kill of everything or a
reboot it goes on with the data in the state directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from deploy.local import containers, images, kernel_settings, machine, manifests, programs, setup, slots, versions
from deploy.local.cgroups import ControlGroups
from deploy.local.commands import run
from deploy.local.components import Component, all_components
from deploy.local.errors import LocalError
from deploy.local.health import serves
from deploy.local.mounts import mounts_below, unmount_below
from deploy.local.network import Network
from deploy.local.paths import RUN_ROOT, STATE_ROOT, Paths, cache_root, state_directory
from deploy.local.processes import Daemon, boot_id, stop_together
from deploy.local.progress import Progress
from deploy.local.slots import Addresses

CONTAINER_GRACE = 20.0  # seconds that `down` gives the containers to end by themselves
NODE_SECONDS = 90
PORT_SECONDS = 3.0  # for a killed process's ports to close
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
_LEGACY_LOG_LINKS = Path("/var/log/containers")  # the kubelet knows no other place for them


class Instance:
    """An instance by its name (lower-case letters, digits, hyphens; at most 30)."""

    def __init__(self, name: str = "default", *, state: Path | None = None, progress: Progress | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise LocalError(f"The instance's name {name!r} must be 1 to 30 of a-z, 0-9 and - (not at its ends)")
        self.name = name
        self.paths = Paths(name, (state or state_directory(name)).absolute())
        self.progress = progress or Progress()
        self.node_name = f"mw-{name}"
        self.groups = ControlGroups(name)

    @cached_property
    def addresses(self) -> Addresses:
        """Its addresses. LocalError before the first `up`, which chooses them."""
        slot = slots.recorded_slot(self.paths.record)
        if slot is None:
            raise LocalError(f"There is no instance {self.name} in {self.paths.state}: `make up` makes it")
        return Addresses(slot)

    @cached_property
    def network(self) -> Network:
        return Network(self.name, self.addresses.slot, self.addresses)

    @cached_property
    def components(self) -> dict[str, Component]:
        """By name, in the order in which they start."""
        found = all_components(self.paths, self.addresses, self.node_name)
        return {component.name: component for component in found}

    def exists(self) -> bool:
        return self.paths.record.exists()

    def up(self) -> None:
        """From nothing, or from whatever is left, to a node that takes Pods and a Temporal server that takes workflows.

        Raises LocalError with what is in the way.
        """
        with self._alone():
            self._up()

    def _up(self) -> None:
        progress = self.progress
        with progress.step("Machine"):
            machine.check(self.paths.state)
            machine.ensure_packages(progress)
        with progress.step(f"Programs (Kubernetes {versions.KUBERNETES}, Temporal {versions.TEMPORAL})"):
            found = programs.Finder.default(cache_root(), progress).find_all()
            programs.link_all(found, self.paths.bin)
        with progress.step("Network, certificates, configuration"):
            self._refuse_foreign_directory()
            slots.claim(STATE_ROOT / "slots", self.name, self.paths.record)
            self._clear_stale()
            self.network.up()
            self.groups.up()
            setup.write_all(self.paths, self.addresses, self.node_name, self.groups.kubelet_root)
            kernel_settings.remember()
        with progress.step("etcd, containerd, Temporal"):
            self._start_wave(0)
            self._ensure_pause_image()
        with progress.step("API server"):
            self._start_wave(1)
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=self._objects())
        with progress.step("Controllers, node, DNS, volumes"):
            self._start_wave(2)
            self.network.refuse_absent_services()
            self.kubectl("wait", "--for=condition=Ready", f"node/{self.node_name}", f"--timeout={NODE_SECONDS}s",
                         seconds=NODE_SECONDS + 10)  # fmt: skip

    def down(self, *, purge: bool = False) -> None:
        """End everything and remove every process, mount, cgroup, interface and route; with `purge` the data too."""
        if not self.exists():
            raise LocalError(f"There is no instance {self.name} in {self.paths.state}")
        with self._alone():
            self._down()
            if purge:
                with self.progress.step(f"Removing {self.paths.state}"):
                    self._purge()

    def _down(self) -> None:
        with self.progress.step(f"Ending instance {self.name}"):
            self.stop("kubelet")  # or it would start again what we end
            containers.end_all(self.paths.containerd_socket, CONTAINER_GRACE)
            self._stop_all()
            self._clear_runtime()
            self.network.down()
            shutil.rmtree(self.paths.run, ignore_errors=True)
            kernel_settings.restore()

    def start(self, name: str) -> None:
        """Start one component and wait until it serves."""
        component = self._component(name)
        self._launch(component)
        self._await(component)

    def stop(self, name: str) -> None:
        component = self._component(name)
        self._daemon(component).stop(component.grace)

    def kill(self, name: str) -> None:
        """SIGKILL, as a fault would; `start` brings it back."""
        self._daemon(self._component(name)).kill()

    def pid(self, name: str) -> int | None:
        """The process id of a component that runs."""
        identity = self._daemon(self._component(name)).find()
        return identity.pid if identity else None

    def healthy(self, name: str) -> bool:
        """True where the component runs and answers."""
        component = self._component(name)
        return self.pid(name) is not None and self._serves(component)

    def load_image(self, archive: Path) -> list[str]:
        """Load an image archive for the Pods of this instance; the names in it."""
        return images.load(self.paths.containerd_socket, archive)

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 60) -> str:
        """Run kubectl as the administrator; what it prints. LocalError where it fails."""
        command = [str(self.paths.bin / "kubectl"), f"--kubeconfig={self.paths.kubeconfig}", *arguments]
        return run(command, text=text, seconds=seconds).stdout

    @property
    def temporal_address(self) -> str:
        return f"{self.addresses.node}:7233"

    @property
    def temporal_ui(self) -> str:
        return f"http://{self.addresses.node}:8233"

    def environment(self) -> dict[str, str]:
        """What a shell needs to use this instance, besides its `bin` on PATH."""
        return {"KUBECONFIG": str(self.paths.kubeconfig), "TEMPORAL_ADDRESS": self.temporal_address}

    def _component(self, name: str) -> Component:
        # Also by the short names `apiserver`, `controller-manager`, `scheduler`, `proxy`.
        found = self.components.get(name) or self.components.get(f"kube-{name}")
        if not found:
            raise LocalError(f"There is no component {name!r}: there are {', '.join(self.components)}")
        return found

    def _daemon(self, component: Component) -> Daemon:
        return Daemon(
            component.name, self.paths.pids / f"{component.name}.json", self.paths.logs / f"{component.name}.log"
        )

    def _start_wave(self, wave: int) -> None:
        members = [component for component in self.components.values() if component.wave == wave]
        for component in members:
            self._launch(component)
        for component in members:
            self._await(component)

    def _launch(self, component: Component) -> None:
        daemon = self._daemon(component)
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

    def _refuse_taken_ports(self, component: Component) -> None:
        """The kernel closes the sockets of a killed process a moment after the process is gone, so it looks again."""
        deadline = time.monotonic() + PORT_SECONDS
        while True:
            listeners = self.network.listeners()
            taken = [port for port in component.ports if port in listeners]
            if not taken:
                return
            if time.monotonic() > deadline:
                raise LocalError(
                    f"Port {taken[0]} of {component.name} in the network namespace {self.network.namespace} is held by "
                    f"{listeners[taken[0]]}: end it, or run `make down` (which ends all that runs in this instance)"
                )
            time.sleep(0.1)

    def _await(self, component: Component) -> None:
        daemon = self._daemon(component)
        self.progress.update(f"waiting for {component.name}")
        deadline = time.monotonic() + component.start_seconds
        while not self._serves(component):
            if daemon.find() is None:
                raise LocalError(f"{component.name} ended: {daemon.last_words()}")
            if time.monotonic() > deadline:
                raise LocalError(
                    f"{component.name} does not answer after {component.start_seconds:g} s: {daemon.last_words()}"
                )
            time.sleep(0.1)

    def _serves(self, component: Component) -> bool:
        return serves(component.health, self.addresses, self.paths.network_namespace)

    def _objects(self) -> str:
        return json.dumps(manifests.cluster_objects(self.addresses))

    def _ensure_pause_image(self) -> None:
        if versions.PAUSE_IMAGE in images.listed(self.paths.containerd_socket):
            return
        archive = self.paths.run / "pause.tar"
        archive.write_bytes(images.single_program_image((self.paths.bin / "pause"), versions.PAUSE_IMAGE))
        self.load_image(archive)
        archive.unlink()

    def _clear_stale(self) -> None:
        """After a reboot, or where the network namespace is gone, no container can be gone on with: containers outlive
        containerd, but not their network. The kubelet makes them anew."""
        mark = self.paths.run / "boot"
        if not (mark.exists() and mark.read_text() == boot_id() and self.network.exists()):
            self._stop_all()
            self._clear_runtime()
            shutil.rmtree(self.paths.run, ignore_errors=True)
            shutil.rmtree(self.paths.state / "cni", ignore_errors=True)  # addresses of Pods that are gone
        self.paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.write_text(boot_id())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One `up` or `down` of an instance at a time. The last thing that `down` removes is the lock itself."""
        machine.check_user()
        path = RUN_ROOT / f"{self.name}.lock"
        handle = self._lock(path)
        try:
            yield
        finally:
            if not self.paths.run.exists():
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    RUN_ROOT.rmdir()  # where this was the last instance
            os.close(handle)

    def _lock(self, path: Path) -> int:
        while True:
            RUN_ROOT.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # an owner removes file and directory as its last act
                handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if path.stat().st_ino == os.fstat(handle).st_ino:
                        kept, handle = handle, -1
                        return kept
                except BlockingIOError as busy:
                    raise LocalError(
                        f"Another `up` or `down` of instance {self.name} is at work: wait for its end"
                    ) from busy
                finally:
                    if handle >= 0:
                        os.close(handle)

    def _refuse_foreign_directory(self) -> None:
        """`--purge` removes the whole state directory: it must never have held anything else."""
        state = self.paths.state
        if not self.exists() and state.exists() and {entry.name for entry in state.iterdir()} - {"bin"}:
            raise LocalError(f"{state} is not empty and holds no instance: name another directory by MW_STATE")

    def _stop_all(self) -> None:
        """Wave by wave, the last first: who ends still needs those below it."""
        waves = sorted({component.wave for component in self.components.values()}, reverse=True)
        for wave in waves:
            members = [component for component in self.components.values() if component.wave == wave]
            stop_together({self._daemon(component): component.grace for component in members})

    def _clear_runtime(self) -> None:
        containers.kill_shims(self.paths.containerd_socket)
        containers.sweep_sockets()
        self.groups.down()
        unmount_below([self.paths.state, self.paths.run])
        for link in _LEGACY_LOG_LINKS.glob("*.log") if _LEGACY_LOG_LINKS.exists() else ():
            if link.is_symlink() and link.readlink().is_relative_to(self.paths.state):
                link.unlink()

    def _purge(self) -> None:
        remaining = mounts_below([self.paths.state])
        if remaining:
            raise LocalError(f"{remaining[0]} is still mounted: unmount it, then purge again; nothing was removed")
        slots.release(STATE_ROOT / "slots", self.addresses.slot)
        shutil.rmtree(self.paths.state)
