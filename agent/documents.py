"""Which node document is in effect: the mounted one, or a pushed one of the same node with a higher revision.

A mounted ConfigMap lags by up to a minute, so the platform also pushes; the pushed copy stays on the volume, because
a Pod that restarts before its mount has followed must not fall back. A kept volume may hold a copy of a deleted
App's: it counts only where App uid and node are those of the mounted document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.decoding import DecodingError, decode
from agent.document import DOCUMENT_KEY, SCHEMA, NodeDocument
from agent.settings import Settings
from agent.storage import remove, write_atomically


class DocumentError(Exception):
    """No usable node document; a sentence."""


@dataclass(frozen=True)
class Bundle:
    """A document and the rendered files it names by ``source``."""

    document: NodeDocument
    sources: Mapping[str, str]


def parse(sources: Mapping[str, str], origin: str) -> Bundle:
    """Raises DocumentError naming ``origin`` and the field."""
    text = sources.get(DOCUMENT_KEY)
    if text is None:
        raise DocumentError(f"{origin} has no {DOCUMENT_KEY}")
    try:
        data = json.loads(text)
        schema = data.get("schema", SCHEMA) if isinstance(data, dict) else SCHEMA
        if schema != SCHEMA:
            raise DocumentError(f"{origin}: schema {schema} is not understood by this agent, which knows {SCHEMA}")
        document = decode(NodeDocument, data, DOCUMENT_KEY)
    except (json.JSONDecodeError, DecodingError) as error:
        raise DocumentError(f"{origin} cannot be used: {error}") from error
    missing = sorted({file.source for file in document.files} - set(sources))
    if missing:
        raise DocumentError(f"{origin} lacks the files {', '.join(missing)}, which its {DOCUMENT_KEY} names")
    return Bundle(document, sources)


class DocumentStore:
    """Reads again only what has changed, so asking at each poll costs two system calls."""

    def __init__(self, settings: Settings) -> None:
        self._config_dir = settings.config_dir
        self._link = settings.config_dir / "..data"
        self._unlinked = settings.config_dir / DOCUMENT_KEY
        self._pushed_path = settings.state_dir / "pushed.json"
        self._seen: tuple[object, object] | None = None
        self._effective: Bundle | None = None

    def effective(self) -> Bundle:
        """Raises DocumentError where there is no usable mounted document."""
        seen = (self._mounted_stamp(), _stamp(self._pushed_path))
        effective = self._effective  # a push, which runs in a thread, may take it away at any moment
        if effective is None or seen != self._seen:
            effective = self._effective = self._load()
            self._seen = seen
        return effective

    def pushed(self) -> Mapping[str, str] | None:
        """The pushed files as they are on the volume, whichever App they are of."""
        try:
            data = json.loads(self._pushed_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else None

    def push(self, sources: Mapping[str, str] | None) -> None:
        """Replaces the pushed copy; None takes it away."""
        if sources is None:
            remove(self._pushed_path)
        else:
            write_atomically(self._pushed_path, json.dumps(dict(sources)).encode(), 0o600)
        self._effective = None

    def _load(self) -> Bundle:
        mounted = parse(self._read_mounted(), f"the mounted ConfigMap ({self._config_dir})")
        sources = self.pushed()
        if sources is None:
            return mounted
        try:
            pushed = parse(sources, "the pushed copy on the volume")
        except DocumentError:
            return mounted  # written by another version of the agent; the mounted one is always usable
        same = (pushed.document.node.app_uid, pushed.document.node.name) == (
            mounted.document.node.app_uid,
            mounted.document.node.name,
        )
        return pushed if same and pushed.document.revision > mounted.document.revision else mounted

    def _mounted_root(self) -> Path:
        # The kubelet swaps the link ..data: files read through one resolved link are of one version.
        return Path(os.path.realpath(self._link)) if self._link.is_symlink() else self._config_dir

    def _mounted_stamp(self) -> object:
        try:
            return os.readlink(self._link)  # of a new name each time
        except OSError:
            return _stamp(self._unlinked)

    def _read_mounted(self) -> Mapping[str, str]:
        root = self._mounted_root()
        try:
            return {p.name: p.read_text(encoding="utf-8") for p in root.iterdir() if p.is_file()}
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError(f"the mounted ConfigMap ({self._config_dir}) cannot be read: {error}") from error


def _stamp(path: Path) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
