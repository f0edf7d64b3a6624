"""What the volume remembers of the engine's last run: which data is the newest is decided from it.

Written by agent 2 while the engine runs, read by agent 1 (``GetStatus``) and by ``preStart`` (``last.role``).
``epoch`` is ours: a restarted agent 2 must not make an old claim of a role look new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from agent.decoding import DecodingError, decode
from agent.storage import write_atomically
from language.positions import Position


@dataclass(frozen=True)
class Record:
    """Times in unix milliseconds; 0 is never. ``epoch`` orders claims of ``role``. ``position``: as
    ``language.positions`` writes it; empty where it is not known."""

    app_uid: str = ""
    role: str = ""
    last_writable: int = 0
    last_seen: int = 0
    position: str = ""
    epoch: int = 0
    last_ready: int = 0


def read_record(state_dir: Path) -> Record | None:
    """None where no engine has run on this volume, or the record is unreadable."""
    try:
        text = (state_dir / "record.json").read_text(encoding="utf-8")
        record = decode(Record, json.loads(text), "record.json")
        Position.parse(record.position)
        return record
    except (OSError, ValueError, DecodingError):
        return None


def has_record(state_dir: Path) -> bool:
    """Whether an engine that ran on this volume has ever told its role; also where the record is unreadable."""
    return (state_dir / "record.json").exists()


def write_record(state_dir: Path, record: Record) -> None:
    """Atomic; a full disk raises OSError."""
    data = {
        "appUid": record.app_uid,
        "role": record.role,
        "lastWritable": record.last_writable,
        "lastSeen": record.last_seen,
        "position": record.position,
        "epoch": record.epoch,
        "lastReady": record.last_ready,
    }
    write_atomically(state_dir / "record.json", json.dumps(data).encode())
