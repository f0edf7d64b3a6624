"""The ``Tools`` service: agent 2 over gRPC."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from agent.document import Tool
from agent.documents import Bundle, DocumentError, DocumentStore
from agent.lease.keeper import LeaseKeeper
from agent.nodefiles import node_names
from agent.process.link import StatusFollower
from agent.process.state import StatusBoard
from agent.record import read_record
from agent.requests import RequestMemory
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter, Outcome
from agent.tooling.names import Scope
from agent.tools.candidate import TOOL as CHECK
from agent.tools.candidate import CandidateCheck, NotAskedError
from agent.tools.long import LongTools, long_tool, part
from agent.tools.monitor import Monitor, Report
from agent.tools.reload import PushedSource, PushRefusedError, Reloader
from agent.tools.undo import Undoing
from language.expressions import ExpressionError, filled
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc

SERVICE = "middleware.agent.v1.Tools"
FAILOVER = "failover"
RELOAD = "reloadConfig"
"""A push, which runs it, and whoever runs it by hand wait for each other."""
_log = logging.getLogger(__name__)
_CANCELLED_WITHIN = 0.05
_ASKED = {None: pb.ASKED_UNSPECIFIED, False: pb.ASKED_NOTHING, True: pb.ASKED_SOMEBODY}
Context = aio.ServicerContext[Any, Any]


class ToolsService(agent_pb2_grpc.ToolsServicer):
    """A tool runs one at a time and once per request id, and goes on when its caller goes away."""

    def __init__(
        self,
        monitor: Monitor,
        documents: DocumentStore,
        interpreter: Interpreter,
        board: StatusBoard,
        requests: RequestMemory,
        lease: LeaseKeeper,
        follower: StatusFollower,
    ) -> None:
        self._monitor = monitor
        self._documents = documents
        self._interpreter = interpreter
        self._board = board
        self._requests = requests
        self._lease = lease
        self._follower = follower
        self._reloader = Reloader(documents, interpreter)
        self._candidates = CandidateCheck(interpreter)
        # By tool, not for all: a backup of hours must not keep a failover waiting.
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._long = LongTools(self._run)
        self._undoing = Undoing(interpreter.settings.state_dir, documents, board, self._undo)

    async def resume(self) -> None:
        """Takes up what an earlier agent 2 has left to be undone; before the first call is served."""
        await self._lease.resume()  # first: no undo may lift a fence that the lease keeps
        await self._undoing.resume()

    async def GetRole(self, request: pb.GetRoleRequest, context: Context) -> pb.RoleReport:  # noqa: N802
        await self._require_process(context)
        report = await self._monitor.poll()
        await self._require_process(context)
        return self._report(report)

    async def WatchRole(self, request: pb.GetRoleRequest, context: Context) -> AsyncIterator[pb.RoleReport]:  # noqa: N802
        async for report in self._monitor.watch():
            yield self._report(report)

    async def RenewLease(self, request: pb.RenewLeaseRequest, context: Context) -> pb.LeaseStatus:  # noqa: N802
        # A call that a partition has held back arrives together with its cancellation, as its caller gave it up long
        # ago: it must not renew. The cancellation ends this wait.
        arrived = self._lease.now()
        await asyncio.sleep(_CANCELLED_WITHIN)
        refusal = self._lease.renew(arrived)
        return pb.LeaseStatus(held=not refusal, message=refusal)

    async def Failover(self, request: pb.FailoverRequest, context: Context) -> pb.ToolResult:  # noqa: N802
        await self._require_process(context)
        await self._require_tool(context, FAILOVER)

        async def work() -> pb.ToolResult:
            return await self._run_tool(FAILOVER, dict(request.arguments), None)

        return await self._requests.once("Failover", request.request_id, pb.ToolResult, work)

    async def ReloadConfig(  # noqa: N802
        self, request: pb.ReloadConfigRequest, context: Context
    ) -> pb.ReloadConfigResult:
        async def work() -> pb.ReloadConfigResult:
            async with self._one_at_a_time[RELOAD]:
                pushed = self._reloader.check([PushedSource(f.source, f.content, f.sha256) for f in request.files])
                result = await self._reloader.reload(pushed, dict(request.parameters), self._follower.alive)
            return pb.ReloadConfigResult(success=result.success, message=result.message, config=result.config)

        try:
            return await self._requests.once("ReloadConfig", request.request_id, pb.ReloadConfigResult, work)
        except PushRefusedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise

    async def ValidateConfig(  # noqa: N802
        self, request: pb.ValidateConfigRequest, context: Context
    ) -> pb.ToolResult:
        async with self._one_at_a_time[CHECK]:
            try:
                candidate = self._reloader.check([PushedSource(f.source, f.content, f.sha256) for f in request.files])
            except PushRefusedError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                raise
            if candidate is None or CHECK not in candidate.document.tools:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"there is no tool {CHECK!r} in what was sent")
                raise AssertionError("aborted")
            try:
                refusal = await self._candidates.check(candidate)
            except NotAskedError as error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
                raise
        return pb.ToolResult(success=not refusal, message=refusal or f"tool {CHECK} succeeded")

    async def Run(self, request: pb.RunRequest, context: Context) -> AsyncIterator[pb.RunOutput]:  # noqa: N802
        await self._require_process(context)
        await self._require_tool(context, request.tool)
        await self._require_credentials(context, request.credentials)
        lines: asyncio.Queue[str | None] = asyncio.Queue()

        async def work() -> pb.ToolResult:
            return await self._run_tool(
                request.tool, dict(request.arguments), lines, traced=request.trace, whole=request.trace_whole
            )

        running = asyncio.ensure_future(
            self._requests.once(f"Run {request.tool}", request.request_id, pb.ToolResult, work)
        )
        running.add_done_callback(lambda _: lines.put_nowait(None))
        try:
            while (line := await lines.get()) is not None:
                yield pb.RunOutput(line=line)
            yield pb.RunOutput(result=await running)
        finally:
            running.cancel()  # only the waiting: the work itself is shielded

    async def LongTool(self, request: pb.LongToolRequest, context: Context) -> pb.LongToolStatus:  # noqa: N802
        await self._require_process(context)
        await self._require_tool(context, part(request.tool, "poll"))
        verbs = {pb.LONG_TOOL_BEGIN: self._long.begin, pb.LONG_TOOL_CANCEL: self._long.cancel}
        verb = verbs.get(request.verb, self._long.poll)

        async def work() -> pb.LongToolStatus:
            try:
                return await verb(request.tool, dict(request.arguments))
            except DocumentError as error:
                return pb.LongToolStatus(message=str(error))

        # Not remembered: the engine says what there is to know. But it goes on when its caller goes away.
        return await self._requests.once("LongTool", "", pb.LongToolStatus, work)

    async def _run_tool(
        self,
        name: str,
        arguments: Mapping[str, str],
        lines: asyncio.Queue[str | None] | None,
        *,
        traced: bool = False,
        whole: bool = False,
    ) -> pb.ToolResult:
        try:
            long, verb = long_tool(name, self._documents.effective().document.tools)
            if long:
                return await self._by_hand(long, verb, arguments)
            outcome = await self._run(name, arguments, lines, traced=traced, whole=whole)
        except ToolError as error:
            return pb.ToolResult(success=False, message=str(error), asked=_ASKED[error.asked])
        except DocumentError as error:
            return pb.ToolResult(success=False, message=str(error))
        await self._monitor.poll()  # whoever watches learns of a changed role before the caller does
        kept = "; the lease is out, so the fence stays until it is renewed" if self._lease.keeps_fenced(name) else ""
        return pb.ToolResult(success=True, message=f"tool {name} succeeded{kept}", values=outcome.values)

    async def _by_hand(self, tool: str, verb: str, arguments: Mapping[str, str]) -> pb.ToolResult:
        """A person too finds a run that is under way."""
        begins = verb == "start"
        standing = await (self._long.begin if begins else self._long.cancel)(tool, arguments)
        failed = standing.refused or not standing.state
        return pb.ToolResult(
            success=not failed,
            message=standing.message,
            values={"state": pb.LongToolState.Name(standing.state).removeprefix("LONG_TOOL_").lower()},
        )

    async def _run(
        self,
        name: str,
        arguments: Mapping[str, str],
        lines: asyncio.Queue[str | None] | None = None,
        *,
        traced: bool = False,
        whole: bool = False,
    ) -> Outcome:
        if self._lease.keeps_fenced(name):
            _log.warning("%s is not run: the lease is out, so the fence stays until it is renewed", name)
            self._lease.ran(name, arguments)
            await self._undoing.settle(self._undoing.ended_by(name))
            return Outcome({}, {})
        async with self._one_at_a_time[name]:
            bundle = self._documents.effective()
            tool = bundle.document.tools.get(name)
            if tool is None:
                raise ToolError(f"the plugin has no tool {name!r}")
            settled = self._undoing.ended_by(name)
            try:
                async with self._undone_later(bundle, name, tool, arguments):
                    outcome = await self._interpreter.run(
                        name,
                        bundle.document.toolbox,
                        node_names(bundle, read_record(self._interpreter.settings.state_dir)),
                        arguments=arguments,
                        line=None if lines is None else lines.put_nowait,
                        traced=traced,
                        whole=whole,
                    )
            finally:
                self._lease.ran(name, arguments)  # also a failed one may have reached the engine
            await self._undoing.settle(settled)
            return outcome

    @asynccontextmanager
    async def _undone_later(
        self, bundle: Bundle, name: str, tool: Tool, arguments: Mapping[str, str]
    ) -> AsyncIterator[None]:
        """Raises ToolError where ``after`` is no number of seconds."""
        undo = tool.undo
        if undo is None:
            yield
            return
        known = Scope({"arg": dict(arguments)}, {}, self._interpreter.secrets)
        try:
            seconds = float(filled(undo.after, known))
            if not math.isfinite(seconds):
                raise ValueError("it must have an end")
        except (ValueError, ExpressionError) as error:
            raise ToolError(f"tool {name}, undo after {undo.after!r} seconds: {error}") from error
        async with self._undoing.later(bundle.document.node.app_uid, name, undo.tool, seconds):
            yield

    async def _undo(self, name: str) -> None:
        """Raises ToolError."""
        try:
            await self._run(name, {})
        except DocumentError as error:
            raise ToolError(str(error)) from error
        await self._monitor.poll()

    async def _require_process(self, context: Context) -> None:
        status = self._board.status
        if not status.alive:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the process does not run, its state is {status.state.name}: {status.message}",
            )

    async def _require_tool(self, context: Context, name: str) -> None:
        try:
            tools = self._documents.effective().document.tools
        except DocumentError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise
        if name not in tools:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED, f"the plugin has no tool {name!r}; it has {', '.join(sorted(tools))}"
            )

    async def _require_credentials(self, context: Context, revision: str) -> None:
        """A kubelet brings a changed Secret into a running Pod some time later."""
        mounted = self._interpreter.secrets.revision()
        if revision and mounted != revision:
            said = f"the Pod has the App's credentials as of {mounted or 'before'!r}, not as of {revision!r} yet"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, said)

    def _report(self, report: Report) -> pb.RoleReport:
        return pb.RoleReport(
            node=report.node,
            role=report.role,
            epoch=report.epoch,
            position=report.position,
            ready=report.ready,
            message=report.message,
            process=pb.ProcessState.ValueType(report.process.value),
            sequence=report.sequence,
            incarnation=self._monitor.incarnation,
            last_ready=report.last_ready,
            volume_full=report.volume_full,
            fenced=report.fenced,
            unsaved=report.unsaved,
            keeps_ending=report.keeps_ending,
            now=time.time_ns() // 1_000_000,
            writes=pb.Writes.ValueType(report.writes.value),
            refusal=report.refusal,
            follows=report.follows,
            credentials_refused=report.credentials_refused,
            credentials_changed=report.credentials_changed,
            failover_off=report.failover_off,
            stop_refused=report.stop_refused,
        )
