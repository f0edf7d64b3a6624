"""A Stop asked for over gRPC, remembered on the volume: a fenced engine stays down when its container restarts."""

from __future__ import annotations

from pathlib import Path

from agent.storage import remove, write_atomically


class StopRequest:
    """Belongs to one App: a volume that a later App takes over does not inherit it."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "stopped"
        self._app_uid: str | None = None
        self._read = False

    def set(self, app_uid: str | None) -> None:
        """Takes effect in this agent; None is a Start. ``save`` makes it durable."""
        self._app_uid, self._read = app_uid, True

    def save(self) -> None:
        """Durable when it returns; may take as long as the disk does, so not for the event loop. Raises OSError."""
        if self._app_uid is None:
            remove(self._path)
        else:
            write_atomically(self._path, self._app_uid.encode())

    def pending(self, app_uid: str) -> bool:
        """A Stop of this App (or one taken while the App was not known) waits for its Start."""
        if not self._read:
            try:
                self._app_uid = self._path.read_text(encoding="utf-8")
            except FileNotFoundError:
                self._app_uid = None
            self._read = True
        return self._app_uid is not None and self._app_uid in ("", app_uid)
