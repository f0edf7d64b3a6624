"""The containers of an instance, ended in good order: an engine that holds data hears SIGTERM before anything else."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from pathlib import Path

from deploy.local.commands import run
from deploy.local.errors import LocalError
from deploy.local.paths import Paths
from deploy.local.processes import PROC, Identity, identify, is_alive, send, wait_gone

# Where shims listen, whatever containerd's own directories are.
SHIM_SOCKETS = Path("/run/containerd/s")
SOCKET_SECONDS = 60


def end_all(paths: Paths, seconds: float) -> None:
    """SIGTERM to the main process of every container, and wait for them that many seconds at most.

    Who is left, and the sandboxes, are killed with their cgroups. A containerd that does not answer ends nobody
    gracefully: its containers are then killed too.
    """
    if not paths.containerd_socket.exists():
        return
    try:
        listed = run([*paths.ctr, "tasks", "list"], seconds=10).stdout.splitlines()[1:]
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


def kill_shims(containerd_socket: Path) -> None:
    """Kill the shims of this containerd: they are known by its socket on their command line."""
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in arguments[0] and str(containerd_socket).encode() in arguments:
            identity = identify(int(entry.name))
            if identity:
                send(identity, signal.SIGKILL)
                wait_gone(identity, 5)


def sweep_sockets(directory: Path = SHIM_SOCKETS) -> None:
    """Remove sockets on which nobody listens: what a killed shim leaves. All containerds of the machine share the
    directory, so a young socket is left alone: its shim may be about to listen."""
    for path in directory.glob("*") if directory.exists() else ():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            if time.time() - path.lstat().st_mtime > SOCKET_SECONDS:
                try:
                    client.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
