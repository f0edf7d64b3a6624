"""The platform's processes as an operator meets them: Temporal's client, and kill -9."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Temporal:
    """Temporal's own command line. Raises AssertionError with its words where it fails."""

    program: str
    address: str

    def run(self, *arguments: str, timeout: float = 120.0) -> str:
        command = [self.program, *arguments, "--address", self.address]
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        assert result.returncode == 0, f"{' '.join(arguments)}: {result.stdout} {result.stderr}"
        return result.stdout

    def execute(self, type_: str, input_: Mapping[str, Any]) -> dict[str, Any]:
        """Starts a workflow as the documentation says and waits for its result."""
        text = self.run(
            "workflow",
            "execute",
            "--task-queue",
            "middleware",
            "--type",
            type_,
            "--input",
            json.dumps(input_),
            "-o",
            "json",
        )
        result = json.loads(text)["result"]
        if isinstance(result, dict) and "data" in result:
            result = json.loads(base64.b64decode(result["data"]))
        assert isinstance(result, dict)
        return result

    def workflows(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("workflow", "list", "--query", query, "-o", "json"))
        return found

    def summaries(self, workflow_id: str) -> list[str]:
        """What the UI writes beside the workflow and each of its steps."""
        events = json.loads(self.run("workflow", "show", "-w", workflow_id, "-o", "json"))["events"]
        found = [(event.get("userMetadata") or {}).get("summary") for event in events]
        return [str(json.loads(base64.b64decode(each["data"]))) for each in found if each]


def processes(module: str, installation: str, pod: str = "") -> list[int]:
    """Process ids on this host of the platform's ``python -m <module>`` of one installation, or of one Pod of it."""
    wanted = {f"MW_INSTALLATION={installation}".encode()} | ({f"HOSTNAME={pod}".encode()} if pod else set())

    def ours(words: list[bytes], environment: set[bytes]) -> bool:
        runs = any(a == b"-m" and b == module.encode() for a, b in pairwise(words))
        return runs and wanted <= environment

    return matching(ours)


def matching(ours: Callable[[list[bytes], set[bytes]], bool]) -> list[int]:
    """Process ids on this host by command line and environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours(words, set(environment)):
            found.append(int(entry.name))
    return found


def kill(module: str, installation: str) -> int:
    """kill -9 of every such process; how many there were."""
    found = processes(module, installation)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)
