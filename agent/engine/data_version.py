"""Which version of the engine has had the volume: agent 1's own record on it, asked before a lower version is started.

Statuses and annotations may be lost, and a volume may come back by itself: kept by a deletion, restored from a
snapshot, given to a Pod by hand. An engine that cannot read what is on its volume may begin empty and acknowledge
writes (Redis 6.0 does not see the append-only files of 7.0). So the volume says it, wherever it goes.

1. The highest version is recorded, durably, before the engine's process is started.
2. What may be started is the plugin's word: ``upgradesFrom`` of the version, without it every version but a lower one.
3. A volume without a record of a role (``agent.record``) has never served anybody: it may be given to any version. So a
   first Deploy whose version crashes is corrected by another version. Nodes that have no roles have no such record, and
   say nothing by lacking it.

The version is that of the Pod, and not of the node document: a document of the next version is mounted before the next
Pod is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.decoding import DecodingError, decode
from agent.document import EngineVersion, NodeDocument
from agent.record import has_record
from agent.storage import write_atomically
from language.versions import version_key

FILE = "engine.json"


class UnreadableDataError(Exception):
    """The engine must not be started on this volume; a sentence."""


class DamagedRecordError(Exception):
    """The record is there and cannot be read; a sentence."""


@dataclass(frozen=True)
class _Record:
    version: str


class DataVersion:
    """Of the volume, for an engine of ``version``; empty: the Pod does not say of which, and all is allowed."""

    def __init__(self, state_dir: Path, version: str) -> None:
        self._state_dir, self._version = state_dir, version
        self._noted = False
        """Then a start asks nothing more of the disk: one that hangs must not keep a Stop waiting."""

    def recorded(self) -> str:
        """The highest version that has had the volume, empty where none has. Raises DamagedRecordError, OSError."""
        path = self._state_dir / FILE
        try:
            return decode(_Record, json.loads(path.read_text(encoding="utf-8")), FILE).version
        except FileNotFoundError:
            return ""
        except (ValueError, DecodingError) as error:
            why = f"the record of the engine's version on the volume is damaged ({path}: {error})"
            raise DamagedRecordError(f"{why}; remove it where the data are of version {self._version}") from error

    def check(self, document: NodeDocument) -> None:
        """Raises UnreadableDataError, DamagedRecordError, OSError."""
        recorded, version = self.recorded(), self._version
        self._noted = recorded == version
        if not version or not recorded or readable(document.engines, recorded, version):
            return
        if self._never_served(document):
            return
        raise UnreadableDataError(
            f"version {recorded} of the engine has had this volume, and {version} may not be given its data: not "
            f"started. Give it {recorded}, or, where another node has the data, an empty volume"
        )

    def note(self, document: NodeDocument) -> str:
        """Durable when it returns. Why it cannot be done, a sentence; empty where it is."""
        version = self._version
        if self._noted or not version:
            return ""
        try:
            recorded = self.recorded()
            higher = not recorded or version_key(version) > version_key(recorded)
            if higher or self._never_served(document):
                write_atomically(self._state_dir / FILE, json.dumps({"version": version}).encode())
        except (OSError, DamagedRecordError) as error:
            return f"the engine's version cannot be noted on the volume: {error}"
        return ""

    def _never_served(self, document: NodeDocument) -> bool:
        return bool(document.roles) and not has_record(self._state_dir)


def readable(engines: Iterable[EngineVersion], data: str, version: str) -> bool:
    """Whether ``version`` may be given the data of ``data``."""
    allowed = next((each.upgrades_from for each in engines if each.version == version), None)
    if allowed is not None:
        return data == version or data in allowed
    return version_key(data) <= version_key(version)
