"""Connections to the two agents of a node: mutual TLS, pooled, a deadline on every call.

The platform checks the App's own server name, so an address that meanwhile belongs to another App's Pod is refused
by TLS instead of being given an order that was meant for somebody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from api.names import MANAGER_PORT, TOOLS_PORT, agent_tls_server_name
from proto import agent_pb2, agent_pb2_grpc

DEFAULT_TLS_DIRECTORY = "/etc/middleware-platform-tls"
CALL_TIMEOUT = 5.0
_IDLE_SECONDS = 300.0
_SWEEP_SECONDS = 10.0
"""From one look for such to the next: there may be thousands of channels, and as many calls each second."""
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),  # Pod addresses are never behind the proxy of somebody's shell
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


@dataclass(frozen=True)
class AgentTarget:
    """One node's agents. ``address`` is the Pod's IP: it cannot reach the successor of the Pod that was meant."""

    namespace: str
    app: str
    node: str
    address: str


class AgentError(Exception):
    """A call to an agent failed. ``retryable``: the same call may succeed later (engine not running, agent
    restarting)."""

    def __init__(self, target: AgentTarget, call: str, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{call} of node {target.node} ({target.address}): {code.name}: {message}")
        self.target = target
        self.code = code
        self.message = message
        self.retryable = code in _RETRYABLE


@dataclass
class _Pooled:
    channel: grpc.aio.Channel
    used: float
    busy: int = 0


@dataclass
class _Identity:
    """The platform's client certificate, read again when its files change (it is rotated without a restart)."""

    directory: Path
    stamp: tuple[int, ...] = ()
    credentials: grpc.ChannelCredentials | None = None
    files: tuple[str, ...] = field(default=("ca.crt", "tls.key", "tls.crt"))

    def read(self) -> tuple[bool, grpc.ChannelCredentials]:
        """Whether it is new, and the credentials. Raises OSError where a file is missing."""
        paths = [self.directory / name for name in self.files]
        stamp = tuple(path.stat().st_mtime_ns for path in paths)
        if self.credentials is None or stamp != self.stamp:
            self.credentials = grpc.ssl_channel_credentials(*(path.read_bytes() for path in paths))
            self.stamp = stamp
            return True, self.credentials
        return False, self.credentials


class Agents:
    """A pool of channels; those unused for some minutes, or opened with an older certificate, are closed."""

    def __init__(self, tls_directory: str | Path = DEFAULT_TLS_DIRECTORY) -> None:
        """``tls_directory`` holds tls.crt, tls.key and ca.crt."""
        self._identity = _Identity(Path(tls_directory))
        self._pool: dict[tuple[str, str], _Pooled] = {}
        self._retired: list[_Pooled] = []
        self._swept = 0.0

    async def close(self) -> None:
        for pooled in [*self._pool.values(), *self._retired]:
            await pooled.channel.close()
        self._pool.clear()
        self._retired.clear()

    async def status(self, target: AgentTarget, *, timeout: float = CALL_TIMEOUT) -> agent_pb2.ProcessStatus:
        async with self._stub(target, MANAGER_PORT, "GetStatus") as channel:
            return await agent_pb2_grpc.ProcessManagerStub(channel).GetStatus(
                agent_pb2.GetStatusRequest(), timeout=timeout
            )

    async def start(
        self, target: AgentTarget, request_id: str, *, timeout: float, lead: bool = False, permit: bool = False
    ) -> agent_pb2.ProcessStatus:
        """Starts the engine; answers once it is no longer STARTING, so ``timeout`` covers its start. ``lead``: it may
        begin as primary where it finds no other. ``permit``: as it was writable before, without a lease."""
        async with self._stub(target, MANAGER_PORT, "Start") as channel:
            return await agent_pb2_grpc.ProcessManagerStub(channel).Start(
                agent_pb2.StartRequest(request_id=request_id, lead=lead, permit=permit), timeout=timeout
            )

    async def restart(self, target: AgentTarget, request_id: str, *, timeout: float) -> agent_pb2.ProcessStatus:
        """Stops and starts the engine; its Pod stays."""
        async with self._stub(target, MANAGER_PORT, "Restart") as channel:
            return await agent_pb2_grpc.ProcessManagerStub(channel).Restart(
                agent_pb2.RestartRequest(request_id=request_id), timeout=timeout
            )

    async def stop(
        self, target: AgentTarget, request_id: str, *, grace: float, timeout: float
    ) -> agent_pb2.ProcessStatus:
        """Stops the engine, KILL after ``grace`` seconds; remembered on the volume until ``start``."""
        request = agent_pb2.StopRequest(request_id=request_id, timeout_seconds=grace)
        async with self._stub(target, MANAGER_PORT, "Stop") as channel:
            return await agent_pb2_grpc.ProcessManagerStub(channel).Stop(request, timeout=timeout)

    async def renew_lease(self, target: AgentTarget, *, timeout: float) -> agent_pb2.LeaseStatus:
        async with self._stub(target, TOOLS_PORT, "RenewLease") as channel:
            return await agent_pb2_grpc.ToolsStub(channel).RenewLease(agent_pb2.RenewLeaseRequest(), timeout=timeout)

    async def role(self, target: AgentTarget, *, timeout: float = CALL_TIMEOUT) -> agent_pb2.RoleReport:
        async with self._stub(target, TOOLS_PORT, "GetRole") as channel:
            return await agent_pb2_grpc.ToolsStub(channel).GetRole(agent_pb2.GetRoleRequest(), timeout=timeout)

    async def watch_role(self, target: AgentTarget, *, silence: float = 25.0) -> AsyncIterator[agent_pb2.RoleReport]:
        """Reports as they come. Raises AgentError when the stream breaks, or nothing came for ``silence`` seconds."""
        async with self._stub(target, TOOLS_PORT, "WatchRole") as channel:
            call = agent_pb2_grpc.ToolsStub(channel).WatchRole(agent_pb2.GetRoleRequest())
            try:
                while True:
                    report = await asyncio.wait_for(call.read(), silence)
                    if not isinstance(report, agent_pb2.RoleReport):
                        raise AgentError(target, "WatchRole", grpc.StatusCode.UNAVAILABLE, "the agent ended the stream")
                    yield report
            except TimeoutError as error:
                raise AgentError(
                    target, "WatchRole", grpc.StatusCode.DEADLINE_EXCEEDED, f"no sign of life for {silence:.0f} s"
                ) from error
            finally:
                call.cancel()

    async def reload_config(
        self, target: AgentTarget, request: agent_pb2.ReloadConfigRequest, *, timeout: float
    ) -> agent_pb2.ReloadConfigResult:
        async with self._stub(target, TOOLS_PORT, "ReloadConfig") as channel:
            return await agent_pb2_grpc.ToolsStub(channel).ReloadConfig(request, timeout=timeout)

    async def validate_config(
        self, target: AgentTarget, request: agent_pb2.ValidateConfigRequest, *, timeout: float
    ) -> agent_pb2.ToolResult:
        async with self._stub(target, TOOLS_PORT, "ValidateConfig") as channel:
            return await agent_pb2_grpc.ToolsStub(channel).ValidateConfig(request, timeout=timeout)

    async def failover(
        self, target: AgentTarget, request_id: str, arguments: Mapping[str, str], *, timeout: float
    ) -> agent_pb2.ToolResult:
        request = agent_pb2.FailoverRequest(request_id=request_id, arguments=dict(arguments))
        async with self._stub(target, TOOLS_PORT, "Failover") as channel:
            return await agent_pb2_grpc.ToolsStub(channel).Failover(request, timeout=timeout)

    async def run(
        self,
        target: AgentTarget,
        tool: str,
        *,
        request_id: str,
        arguments: Mapping[str, str] | None = None,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        credentials: str = "",
    ) -> agent_pb2.ToolResult:
        """Runs a tool of the plugin to its end; ``on_line`` gets each line of output as it comes. ``credentials``: the
        revision of the App's that the Pod must have mounted; until then FAILED_PRECONDITION."""
        request = agent_pb2.RunRequest(
            request_id=request_id, tool=tool, arguments=dict(arguments or {}), credentials=credentials
        )
        async with self._stub(target, TOOLS_PORT, f"Run {tool}") as channel:
            async for output in agent_pb2_grpc.ToolsStub(channel).Run(request, timeout=timeout):
                if output.WhichOneof("kind") == "result":
                    return output.result
                if on_line is not None:
                    on_line(output.line)
        raise AgentError(
            target, f"Run {tool}", grpc.StatusCode.UNAVAILABLE, "the agent ended the call without a result"
        )

    async def long_tool(
        self,
        target: AgentTarget,
        tool: str,
        verb: agent_pb2.LongToolVerb.ValueType,
        arguments: Mapping[str, str],
        *,
        timeout: float,
    ) -> agent_pb2.LongToolStatus:
        """How far a tool of hours is, once it was begun or cancelled, where that is asked for."""
        request = agent_pb2.LongToolRequest(tool=tool, verb=verb, arguments=dict(arguments))
        async with self._stub(target, TOOLS_PORT, f"LongTool {tool}") as channel:
            return await agent_pb2_grpc.ToolsStub(channel).LongTool(request, timeout=timeout)

    def _stub(self, target: AgentTarget, port: int, call: str) -> _Call:
        return _Call(self, target, port, call)

    async def _acquire(self, target: AgentTarget, port: int) -> _Pooled:
        # Two small files, already in the page cache; a thread would cost more than the read.
        renewed, credentials = self._identity.read()
        now = time.monotonic()
        if renewed or now - self._swept > _SWEEP_SECONDS:
            self._swept = now
            await self._sweep(now, everything=renewed)
        server_name = agent_tls_server_name(target.app, target.namespace)
        key = (f"{target.address}:{port}", server_name)
        if key not in self._pool:
            options = [*_OPTIONS, ("grpc.ssl_target_name_override", server_name)]
            self._pool[key] = _Pooled(grpc.aio.secure_channel(key[0], credentials, options=options), now)
        return self._pool[key]

    async def _sweep(self, now: float, *, everything: bool) -> None:
        for key, pooled in list(self._pool.items()):
            if everything or (pooled.busy == 0 and now - pooled.used > _IDLE_SECONDS):
                self._retired.append(self._pool.pop(key))
        for pooled in [pooled for pooled in self._retired if pooled.busy == 0]:
            self._retired.remove(pooled)
            await pooled.channel.close()


class _Call:
    """Borrows a channel for one call and turns gRPC's errors into AgentError."""

    def __init__(self, agents: Agents, target: AgentTarget, port: int, call: str) -> None:
        self._agents, self._target, self._port, self._name = agents, target, port, call
        self._pooled: _Pooled | None = None

    async def __aenter__(self) -> grpc.aio.Channel:
        try:
            self._pooled = await self._agents._acquire(self._target, self._port)
        except OSError as error:
            raise AgentError(
                self._target,
                self._name,
                grpc.StatusCode.UNAVAILABLE,
                f"the platform's client certificate cannot be read: {error}",
            ) from error
        self._pooled.busy += 1
        return self._pooled.channel

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._pooled is not None:
            self._pooled.busy -= 1
            self._pooled.used = time.monotonic()
        if isinstance(error, grpc.aio.AioRpcError):
            raise AgentError(self._target, self._name, error.code(), error.details() or "no details") from error
