"""Ending containers leaves nothing of theirs, and nothing of others is touched."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from deploy.local.containers import SOCKET_SECONDS, sweep_sockets


def listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def age(path: Path) -> None:
    old = time.time() - SOCKET_SECONDS - 1
    os.utime(path, (old, old))


def test_only_old_sockets_without_a_listener_are_removed(tmp_path: Path) -> None:
    for name in ("dead", "young"):
        listen(tmp_path / name).close()
    with listen(tmp_path / "alive"):
        age(tmp_path / "dead")
        age(tmp_path / "alive")
        sweep_sockets(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"alive", "young"}


def test_no_directory_is_no_error(tmp_path: Path) -> None:
    sweep_sockets(tmp_path / "none")
