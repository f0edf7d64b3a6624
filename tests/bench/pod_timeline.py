"""When each of some Pods was made, scheduled, started, accepted a first connection and was ready, seen from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.e2e.support.kube import Kube, Manifest

PARTS = ("made", "scheduled", "initialized", "started", "accepting", "ready")
_BETWEEN_CONNECTIONS = 0.02


@dataclass
class Timelines:
    """Seconds since ``begin`` by Pod and part, and each Pod as it was last seen."""

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    pods: dict[str, Manifest] = field(default_factory=dict)

    def last(self, part: str) -> float:
        return max(each[part] for each in self.seconds.values())

    def mean(self, part: str) -> float:
        """Since the Pod was made."""
        return sum(each[part] - each["made"] for each in self.seconds.values()) / len(self.seconds)


async def follow(
    kube: Kube, namespace: str, port: int, count: int, begin: Callable[[], None], timeout: float
) -> Timelines:
    """Calls ``begin``, then watches until ``count`` Pods of the namespace accept connections on ``port`` and are ready.

    Raises TimeoutError.
    """
    found = Timelines()
    words = ["get", "pods", "-n", namespace, "--watch", "--output-watch-events", "-o", "json"]
    watch = await asyncio.create_subprocess_exec(
        kube.program, f"--kubeconfig={kube.kubeconfig}", *words, stdout=asyncio.subprocess.PIPE
    )
    assert watch.stdout is not None
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as connecting:
            start = time.monotonic()
            beginning = asyncio.create_task(asyncio.to_thread(begin))
            async for event in _objects(watch.stdout):
                pod = event["object"]
                name, now = str(pod["metadata"]["name"]), time.monotonic() - start
                seen = found.seconds.setdefault(name, {})
                address = pod["status"].get("podIP")
                if address and not found.pods.get(name, {}).get("status", {}).get("podIP"):
                    connecting.create_task(_connect(address, port, seen, start))
                found.pods[name] = pod
                for part in _reached(pod):
                    seen.setdefault(part, now)
                if len(found.seconds) == count and all("ready" in each for each in found.seconds.values()):
                    break
            await beginning
    finally:
        watch.terminate()
        await watch.wait()
    return found


def _reached(pod: Manifest) -> list[str]:
    status = pod["status"]
    true = {each["type"] for each in status.get("conditions", ()) if each["status"] == "True"}
    containers = status.get("containerStatuses", ())
    started = len(containers) == len(pod["spec"]["containers"]) and all("running" in c["state"] for c in containers)
    reached = {
        "made": True,
        "scheduled": "PodScheduled" in true,
        "initialized": "Initialized" in true,
        "started": started,
        "ready": "Ready" in true,
    }
    return [part for part, is_so in reached.items() if is_so]


async def _connect(address: str, port: int, seen: dict[str, float], start: float) -> None:
    """Until the engine answers anything at all: that it wants a password first is an answer too."""
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_connection(address, port)
                writer.write(b"PING\r\n")
                answered = await reader.read(1)
                writer.close()
            if answered:
                seen["accepting"] = time.monotonic() - start
                return
        await asyncio.sleep(_BETWEEN_CONNECTIONS)


async def _objects(stream: asyncio.StreamReader) -> AsyncIterator[Manifest]:
    decoder, text = json.JSONDecoder(), ""
    while chunk := await stream.read(1 << 16):
        text += chunk.decode()
        while text := text.lstrip():
            try:
                item, end = decoder.raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            yield item
