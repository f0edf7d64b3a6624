"""The ``ProcessManager`` service: agent 1 over gRPC."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from agent import VERSION
from agent.document import DOCUMENT_KEY
from agent.documents import DocumentError, DocumentStore
from agent.engine.data_version import DamagedRecordError
from agent.engine.processes import look
from agent.lease.gate import Word
from agent.nodefiles import LEAD
from agent.process.state import LingeringError, Status
from agent.process.supervisor import Supervisor
from agent.record import read_record
from agent.requests import RequestMemory
from agent.settings import Settings
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc

SERVICE = "middleware.agent.v1.ProcessManager"
Context = aio.ServicerContext[Any, Any]


class ProcessManagerService(agent_pb2_grpc.ProcessManagerServicer):
    """Thin: what is asked goes to the supervisor, what it knows comes back as ``ProcessStatus``."""

    def __init__(
        self, supervisor: Supervisor, documents: DocumentStore, requests: RequestMemory, settings: Settings
    ) -> None:
        self._supervisor = supervisor
        self._documents = documents
        self._requests = requests
        self._settings = settings

    async def Start(self, request: pb.StartRequest, context: Context) -> pb.ProcessStatus:  # noqa: N802
        word = Word(request.lead, request.permit)
        return await self._command(context, "Start", request.request_id, lambda: self._supervisor.start(word))

    async def Stop(self, request: pb.StopRequest, context: Context) -> pb.ProcessStatus:  # noqa: N802
        seconds = request.timeout_seconds
        if not math.isfinite(seconds) or seconds < 0:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"timeout_seconds is {seconds}; it must be a number of seconds"
            )
        return await self._command(context, "Stop", request.request_id, lambda: self._supervisor.stop(seconds or None))

    async def Restart(self, request: pb.RestartRequest, context: Context) -> pb.ProcessStatus:  # noqa: N802
        return await self._command(context, "Restart", request.request_id, self._supervisor.restart)

    async def Signal(self, request: pb.SignalRequest, context: Context) -> pb.ProcessStatus:  # noqa: N802
        name = "SIG" + request.signal.upper().removeprefix("SIG")
        number = signal.Signals.__members__.get(name)
        if number is None:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"{request.signal!r} is not a signal; write for example HUP or USR1"
            )
            raise AssertionError("abort does not return")

        async def send() -> None:
            if not self._supervisor.signal(number):
                status = self._supervisor.board.status
                await context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"no process runs, its state is {status.state.name}: {status.message}",
                )

        return await self._once("Signal", request.request_id, send)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.ProcessStatus:  # noqa: N802
        status = self._supervisor.board.status
        message = self._message(status)
        seen = look(status.pid) if status.alive else None
        if seen is not None:
            message.cpu_milliseconds, message.kernel_state = seen.cpu_milliseconds, seen.state
        return message

    async def WatchStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, context: Context
    ) -> AsyncIterator[pb.ProcessStatus]:
        async for status in self._supervisor.board.watch():
            yield self._message(status)

    async def _command(
        self, context: Context, method: str, request_id: str, work: Callable[[], Awaitable[None]]
    ) -> pb.ProcessStatus:
        try:
            return await self._once(method, request_id, work)
        except LingeringError as error:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))
            raise

    async def _once(self, method: str, request_id: str, work: Callable[[], Awaitable[None]]) -> pb.ProcessStatus:
        async def answer() -> pb.ProcessStatus:
            await work()
            return self._message(self._supervisor.board.status)

        return await self._requests.once(method, request_id, pb.ProcessStatus, answer)

    def _message(self, status: Status) -> pb.ProcessStatus:
        revision, may_lead = self._document()
        message = pb.ProcessStatus(
            state=pb.ProcessState.ValueType(status.state.value),
            pid=status.pid,
            since=status.since,
            starts=status.starts,
            stop_requested=status.stop_requested,
            message=status.message,
            revision=revision,
            volume=self._volume(),
            agent_version=VERSION,
            may_lead=may_lead,
            failures=status.failures,
            now=time.time_ns() // 1_000_000,
        )
        if (end := status.last_end) is not None:
            message.last_end.CopyFrom(
                pb.ProcessEnd(
                    exit_code=end.exit_code,
                    seconds=end.seconds,
                    output=end.output,
                    out_of_memory=end.out_of_memory,
                    memory_limit=end.memory_limit,
                )
            )
        if status.exit_code is not None:
            message.exit_code = status.exit_code
        return message

    def _volume(self) -> pb.VolumeRecord:
        volume = pb.VolumeRecord()
        with contextlib.suppress(OSError, DamagedRecordError):
            volume.engine_version = self._supervisor.data_version.recorded()
        record = read_record(self._settings.state_dir)
        if record is None:
            return volume
        volume.MergeFrom(
            pb.VolumeRecord(
                present=True,
                app_uid=record.app_uid,
                role=record.role,
                last_writable=record.last_writable,
                last_seen=record.last_seen,
                position=record.position,
                last_ready=record.last_ready,
            )
        )
        return volume

    def _document(self) -> tuple[int, bool]:
        """Its revision, and whether its tools heed ``lead``."""
        try:
            bundle = self._documents.effective()
        except DocumentError:
            return 0, False
        return bundle.document.revision, LEAD in bundle.sources[DOCUMENT_KEY]
