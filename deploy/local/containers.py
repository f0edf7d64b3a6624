"""The containers of an instance, ended in good order: an engine that holds data hears SIGTERM before anything else."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from deploy.local.commands import run
from deploy.local.errors import LocalError
from deploy.local.images import CTR, KUBERNETES_NAMESPACE
from deploy.local.processes import PROC, Identity, identify, is_alive, send


def end_all(socket: Path, seconds: float) -> None:
    """SIGTERM to the main process of every container, and wait for them that many seconds at most.

    Who is left, and the sandboxes, are killed with their cgroups. A containerd that does not answer ends nobody
    gracefully: its containers are then killed too.
    """
    base = [CTR, "--address", str(socket), "--namespace", KUBERNETES_NAMESPACE]
    try:
        listed = run([*base, "tasks", "list"], seconds=10).stdout.splitlines()[1:]
    except LocalError:
        return
    waiting: list[Identity] = []
    for line in listed:
        identity = identify(int(line.split()[1])) if line.split()[1].isdigit() else None
        if identity and _name(identity.pid) != "pause":
            send(identity, signal.SIGTERM)
            waiting.append(identity)
    deadline = time.monotonic() + seconds
    while any(is_alive(identity) for identity in waiting) and time.monotonic() < deadline:
        time.sleep(0.05)


def kill_shims(socket: Path, containerd_state: Path) -> None:
    """Kill the shims of this containerd, known by its socket on their command line, and remove their own sockets.

    Those lie in /run/containerd/s whatever containerd's state directory is; each bundle names its shim's.
    """
    addresses = list(containerd_state.glob("io.containerd.runtime.v2.task/*/*/address"))
    for shim_socket in [Path(file.read_text().strip().removeprefix("unix://")) for file in addresses]:
        shim_socket.unlink(missing_ok=True)
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in arguments[0] and str(socket).encode() in arguments:
            identity = identify(int(entry.name))
            if identity:
                send(identity, signal.SIGKILL)


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
