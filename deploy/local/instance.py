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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from deploy.local import images, kernel_settings, machine, manifests, prepare, programs, setup, slots, versions
from deploy.local.cgroups import ControlGroups
from deploy.local.commands import run
from deploy.local.components import Component, all_components, node_components
from deploy.local.errors import LocalError
from deploy.local.mounts import mounts_below
from deploy.local.network import Network, NodeNetwork
from deploy.local.nodes import Node
from deploy.local.paths import RUN_ROOT, STATE_ROOT, NodePaths, Paths, state_directory
from deploy.local.progress import Progress
from deploy.local.slots import Addresses, NodeAddresses

FIRST_NODE = "node-1"
NODE_SECONDS = 90
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


class Instance:
    """An instance by its name (lower-case letters, digits, hyphens; at most 30)."""

    def __init__(self, name: str = "default", *, state: Path | None = None, progress: Progress | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise LocalError(f"The instance's name {name!r} must be 1 to 30 of a-z, 0-9 and - (not at its ends)")
        self.name = name
        self.paths = Paths(name, (state or state_directory(name)).absolute())
        self.progress = progress or Progress()
        self.node_name = f"mw-{name}"

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
    def first(self) -> Node:
        """The node that has the control plane, Temporal and DNS beside what every node has."""
        found = all_components(self.paths, self.addresses, self.node_name)
        components = {component.name: component for component in found}
        groups = ControlGroups(self.name)
        return Node(FIRST_NODE, self.node_name, self.paths, self.addresses, self.network, groups, components,
                    self.progress)  # fmt: skip

    @property
    def further(self) -> list[Node]:
        """The second node and those after it."""
        return [self._further(number) for number in range(2, self.node_count() + 1)]

    @property
    def nodes(self) -> list[Node]:
        return [self.first, *self.further]

    @property
    def components(self) -> dict[str, Component]:
        """By name (a further node's: `<component>@<node>`), in the order in which they start."""
        return {name: component for node in self.nodes for name, component in node.components.items()}

    def node_count(self) -> int:
        try:
            return int(json.loads(self.paths.node_count.read_text()))
        except FileNotFoundError:
            return 1
        except (ValueError, TypeError) as broken:
            raise LocalError(
                f"{self.paths.node_count} is damaged ({broken}): write the number of nodes in it"
            ) from broken

    def exists(self) -> bool:
        return self.paths.record.exists()

    def up(self, nodes: int | None = None) -> None:
        """From nothing, or from whatever is left, to nodes that take Pods and a Temporal server that takes workflows.

        `nodes` is how many; None leaves it at what it is. Raises LocalError with what is in the way.
        """
        with self._alone():
            self._up(nodes)

    def _up(self, nodes: int | None) -> None:
        progress = self.progress
        count = self._wanted_nodes(nodes)
        machine.check(self.paths.state, count)
        prepare.packages(progress, images=False)
        programs.link_all(prepare.programs(progress), self.paths.bin)
        with progress.step("Network, certificates, configuration"):
            self._refuse_foreign_directory()
            slots.claim(STATE_ROOT / "slots", self.name, self.paths.record)
            if count > 1:
                self.paths.node_count.write_text(f"{count}\n")
            self._clear_stale()
            self._prepare()
            kernel_settings.remember()
        with progress.step("etcd, containerd, Temporal"):
            self.first.start_wave(0)
            self._ensure_pause_image()
        with progress.step("API server"):
            self.first.start_wave(1)
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=self._objects())
        with progress.step("Controllers, node, DNS, volumes"):
            self.first.start_wave(2)
            self.network.namespace.refuse_absent_services(self.addresses.service_range)
            self._await_ready([self.first])
        if count > 1:
            with progress.step(f"Nodes {', '.join(node.label for node in self.further)}"):
                self._start_further(self.further)

    def down(self, *, purge: bool = False) -> None:
        """End everything and remove every process, mount, cgroup, interface and route; with `purge` the data too."""
        if not self.exists():
            self.progress.note(f"There is no instance {self.name} in {self.paths.state}: nothing to end")
            return
        with self._alone():
            self._down()
            if purge:
                with self.progress.step(f"Removing {self.paths.state}"):
                    self._purge()

    def _down(self) -> None:
        with self.progress.step(f"Ending instance {self.name}"):
            with ThreadPoolExecutor() as pool:
                list(pool.map(Node.end_containers, self.nodes))
            for node in reversed(self.nodes):
                node.clear()
                node.network.down()
            shutil.rmtree(self.paths.run, ignore_errors=True)
            kernel_settings.restore()

    def start(self, name: str) -> None:
        """Start one component and wait until it serves."""
        node, component = self._component(name)
        node.launch(component)
        node.await_serving(component)

    def stop(self, name: str) -> None:
        node, component = self._component(name)
        node.daemon(component).stop(component.grace)

    def kill(self, name: str) -> None:
        """SIGKILL, as a fault would; `start` brings it back."""
        node, component = self._component(name)
        node.daemon(component).kill()

    def kill_node(self, label: str) -> None:
        """A further node (`node-2`) loses its power: its processes and Pods are killed, its link is gone. What was
        written to its disk stays. Not the first: the control plane, which is to see it, is there."""
        with self._alone():
            self._node(label).lose_power()

    def stop_node(self, label: str) -> None:
        """Shut a further node down in good order: its containers hear SIGTERM. Nobody is asked to drain it."""
        with self._alone():
            self._node(label).shut_down()

    def start_node(self, label: str) -> None:
        """Switch a further node on, and wait until it is Ready."""
        node = self._node(label)
        with self._alone(), self.progress.step(f"Starting {label}"):
            if node.is_stale():
                node.clear()
            self._prepare_further(node)
            self._start_further([node])

    def isolate_node(self, label: str) -> None:
        """Pull a further node's network cable: all of it goes on, and hears nobody."""
        self._network_of(label).isolate()

    def rejoin_node(self, label: str) -> None:
        self._network_of(label).join()

    def pid(self, name: str) -> int | None:
        """The process id of a component that runs."""
        node, component = self._component(name)
        identity = node.daemon(component).find()
        return identity.pid if identity else None

    def healthy(self, name: str) -> bool:
        """True where the component runs and answers."""
        node, component = self._component(name)
        return self.pid(name) is not None and node.serves(component)

    def load_image(self, archive: Path) -> list[str]:
        """Load an image archive for the Pods of every node that runs; the names in it. Who does not run gets it from
        the first when it is started."""
        names = images.load(self.paths.ctr, archive)
        for node in self._running_further():
            images.load(node.paths.ctr, archive)
        return names

    def images(self) -> set[str]:
        """The names of the images that all nodes have, as far as they run."""
        return set[str].intersection(*(set(node.images()) for node in (self.first, *self._running_further())))

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

    def _component(self, name: str) -> tuple[Node, Component]:
        # Also by the short names `apiserver`, `controller-manager`, `scheduler`, `proxy`.
        for node in self.nodes:
            found = node.components.get(name) or node.components.get(f"kube-{name}")
            if found:
                return node, found
        raise LocalError(f"There is no component {name!r}: there are {', '.join(self.components)}")

    def _further(self, number: int) -> Node:
        label, addresses = f"node-{number}", NodeAddresses(self.addresses.slot, number)
        name, paths = f"{self.node_name}.{label}", NodePaths.of(self.paths, label)
        found = node_components(paths, addresses, name, label)
        components = {component.name: component for component in found}
        network, groups = NodeNetwork(self.network, label, addresses), ControlGroups(f"{self.name}.{label}")
        return Node(label, name, paths, addresses, network, groups, components, self.progress)

    def _node(self, label: str) -> Node:
        further = {node.label: node for node in self.further}
        if label in further:
            return further[label]
        if label == FIRST_NODE:
            raise LocalError(f"{FIRST_NODE} has the control plane: kill its components one by one, or take all down")
        raise LocalError(
            f"There is no node {label!r} besides {', '.join([FIRST_NODE, *further])}: `make up NODES=` gives more"
        )

    def _network_of(self, label: str) -> NodeNetwork:
        network = self._node(label).network
        assert isinstance(network, NodeNetwork)
        if not network.namespace.exists():
            raise LocalError(f"{label} does not run: start it first")
        return network

    def _wanted_nodes(self, nodes: int | None) -> int:
        present = self.node_count()
        wanted = present if nodes is None else nodes
        if not 1 <= wanted <= slots.MAXIMUM_NODES:
            raise LocalError(f"An instance has 1 to {slots.MAXIMUM_NODES} nodes, not {wanted}")
        if wanted < present:
            raise LocalError(
                f"Instance {self.name} has {present} nodes and does not shrink to {wanted}: the volumes of a node that "
                "goes would go with it. Drain and `deploy.local node stop` what is not needed, or make the instance "
                "anew (`make down PURGE=1`, which removes its data)"
            )
        return wanted

    def _prepare(self) -> None:
        """Networks, cgroups and files of all nodes."""
        self.network.up()
        self.first.groups.up()
        setup.write_all(self.paths, self.addresses, self.node_name, self.first.groups.kubelet_root)
        self.first.mark_boot()
        for node in self.further:
            self._prepare_further(node)

    def _prepare_further(self, node: Node) -> None:
        paths, addresses = node.paths, node.addresses
        assert isinstance(paths, NodePaths)
        assert isinstance(addresses, NodeAddresses)
        node.network.up()
        node.groups.up()
        setup.write_node(paths, addresses, node.name, node.groups.kubelet_root)
        node.mark_boot()

    def _start_further(self, nodes: Sequence[Node]) -> None:
        """All of them at once; each gets the images that the first has and it has not."""
        for node in nodes:
            node.start_wave(0)
        present = self.first.images()
        for node in nodes:
            held = node.images()
            missing = [name for name, digest in present.items() if held.get(name) != digest]
            self.progress.update(f"copying {len(missing)} images to {node.label}")
            images.copy(self.paths.ctr, node.paths.ctr, missing)
        for node in nodes:
            node.start_wave(2)
            node.network.namespace.refuse_absent_services(self.addresses.service_range)
        self._await_ready(nodes)

    def _await_ready(self, nodes: Sequence[Node]) -> None:
        names = [f"node/{node.name}" for node in nodes]
        self.kubectl("wait", "--for=condition=Ready", *names, f"--timeout={NODE_SECONDS}s", seconds=NODE_SECONDS + 10)

    def _running_further(self) -> list[Node]:
        return [node for node in self.further if node.takes_images()]

    def _objects(self) -> str:
        return json.dumps(manifests.cluster_objects(self.addresses))

    def _ensure_pause_image(self) -> None:
        if versions.PAUSE_IMAGE in images.listed(self.paths.ctr):
            return
        archive = self.paths.run / "pause.tar"
        archive.write_bytes(images.single_program_image((self.paths.bin / "pause"), versions.PAUSE_IMAGE))
        self.load_image(archive)
        archive.unlink()

    def _clear_stale(self) -> None:
        """A further node hangs on the first one's network: where that is made anew, all are."""
        all_stale = self.first.is_stale()
        for node in reversed(self.nodes):
            if all_stale or node.is_stale():
                node.clear()

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

    def _purge(self) -> None:
        remaining = mounts_below([self.paths.state])
        if remaining:
            raise LocalError(f"{remaining[0]} is still mounted: unmount it, then purge again; nothing was removed")
        slots.release(STATE_ROOT / "slots", self.addresses.slot)
        shutil.rmtree(self.paths.state)
