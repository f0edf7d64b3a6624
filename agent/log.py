"""The agents' own log: one JSON object per line on stderr. The engine's lines go to stdout untouched."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path

_log = logging.getLogger(__name__)


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


def last_words(sentence: str) -> None:
    """Why this agent ends: for its log, and for the kubelet, so that it is in the Pod's status. Not the tail of the log
    (``FallbackToLogsOnError``): that may be of an engine which prints a password of its configuration."""
    _log.critical("%s", sentence)
    for_kubelet = Path(os.environ.get("MW_TERMINATION_LOG", "/dev/termination-log"))
    if for_kubelet.exists():  # the kubelet has made it, writable for any user
        with contextlib.suppress(OSError):
            for_kubelet.write_text(sentence, encoding="utf-8")
