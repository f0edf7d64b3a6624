"""The platform's processes as an operator meets them: Temporal's client, and kill -9."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

HTTP_PORT = 7243
_RPC_TIMEOUT = timedelta(seconds=10)
_WHOLE_PAYLOADS = "application/json+no-payload-shorthand"


@dataclass(frozen=True)
class Temporal:
    """Temporal as an operator uses it. Raises AssertionError with the words of its command line where that fails."""

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
        found: list[dict[str, Any]] = self._read(f"workflows?{urlencode({'query': query})}").get("executions", [])
        return found

    def history(self, workflow_id: str) -> list[dict[str, Any]]:
        """The events of its latest run."""

        async def fetch() -> WorkflowHistory:
            client = await Client.connect(self.address)
            return await client.get_workflow_handle(workflow_id).fetch_history(rpc_timeout=_RPC_TIMEOUT)

        try:  # not by HTTP: its paths take no id with a slash
            events: list[dict[str, Any]] = asyncio.run(fetch()).to_json_dict()["events"]
        except (RPCError, RuntimeError) as error:
            raise OSError(f"history of {workflow_id}: {error}") from error
        return events

    def summaries(self, workflow_id: str) -> list[str]:
        """What the UI writes beside the workflow and each of its steps."""
        found = [(event.get("userMetadata") or {}).get("summary") for event in self.history(workflow_id)]
        return [str(json.loads(base64.b64decode(each["data"]))) for each in found if each]

    def _read(self, path: str) -> dict[str, Any]:
        """From the server's HTTP API: a test that waits asks often, and a ``temporal`` for each question would take the
        processor from what is under test."""
        host = self.address.rpartition(":")[0]
        url = f"http://{host}:{HTTP_PORT}/api/v1/namespaces/default/{path}"
        try:
            answer = urllib3.request("GET", url, headers={"Accept": _WHOLE_PAYLOADS}, timeout=30, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"GET {url}: {error}") from error
        if answer.status != 200:
            raise OSError(f"GET {url}: {answer.status} {answer.data.decode(errors='replace')}")
        body: dict[str, Any] = json.loads(answer.data)
        return body


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
