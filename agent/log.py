"""The agents' own log: one JSON object per line on stderr. The engine's lines go to stdout untouched."""

from __future__ import annotations

import json
import logging
import sys
import time


class _JsonLines(logging.Formatter):
    def __init__(self, agent: str) -> None:
        super().__init__()
        self._agent = agent

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "agent": self._agent,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(agent: str) -> None:
    """``agent`` is ``manager`` or ``tools``; info and above are written."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(agent))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # A log that cannot be written must never be what stops an engine.
    logging.raiseExceptions = False
