"""Watching a long tool: begun where nothing of it runs, then asked how far it is until it is done.

1. The agent polls before it starts. So a worker that takes the step over, or an agent that begins anew, finds what
   runs.
2. Who does not answer is asked again: its Pod may be another one by then. That counts as no progress, like a number
   that does not rise; after ``stalls`` seconds of it an operator decides. The run is left as it is: it may go on.
3. Where the operation is ended, by whomever, the run is cancelled: none goes on that nobody watches.
How far it is stands in the App's status, and in each heartbeat, which is what the Temporal UI shows of a step at work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from temporalio import activity

from activities.agents.agent_targets import reachable
from activities.agents.node_tools import ANSWER_WITHIN
from activities.cluster.events import tell
from activities.cluster.status import StatusChange, tell_step
from activities.dependencies import Platform, permanent
from activities.interceptors.heartbeats import remember, remembered
from activities.tools.stalls import Watched, duration, of_details, to_details
from api.app import Phase
from api.steps import ErrorType, Target
from api.tools import Tool, ToolName
from clients.agents import AgentError
from clients.errors import KubernetesError
from proto import agent_pb2

log = logging.getLogger(__name__)
_TOLD_EVERY = 10.0
"""Seconds between two writes of the App's status, which everybody watches."""
_SHOWN_WITHIN = 10.0
"""For so long the agent waits until the engine shows a run that it has begun or cancelled."""


@dataclass
class LongRun:
    """Of one tool on one node."""

    platform: Platform
    target: Target
    node: str
    name: ToolName
    tool: Tool
    arguments: Mapping[str, str]
    _told: str = field(default="", init=False)
    _told_at: float = field(default=float("-inf"), init=False)

    @property
    def _key(self) -> str:
        return f"{self.name} of {self.node}"

    @property
    def _every(self) -> float:
        assert self.tool.poll is not None
        return self.tool.poll.every

    async def finished(self) -> None:
        """Returns when it is done. Raises ApplicationError ToolRefused with its own sentence where it could not be
        begun or has failed, ToolStalled where it makes no progress; an operator decides."""
        try:
            await self._watch(of_details(remembered().get(self._key)))
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.cancel_requested:
                await self._cancel()
            raise

    async def _watch(self, watched: Watched) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while not watched.done:
            status, why = await self._ask(watched.begun)
            now = loop.time()
            watched, last = watched.after(now - last), now
            if status.state == agent_pb2.LONG_TOOL_DONE:
                self._remember(replace(watched, done=True))
                return
            self._check(status, watched)
            running = status.state == agent_pb2.LONG_TOOL_RUNNING
            watched = watched.heard(status) if running else watched.not_heard(why)
            self._remember(watched)
            if watched.without >= self.tool.stalls:
                said = f"{self.node}: {self.name} has made no progress for {duration(self.tool.stalls)}"
                how = f" at {watched.best:.0f} %" if watched.begun else ", and has not begun"
                cancel = f"mw tool {self.target.app} {self.node} {self.name}.cancel --force"
                left = f"; the engine may still be at it, and an abort leaves it so: {cancel} ends it"
                raise permanent(ErrorType.TOOL_STALLED, f"{said}{how}: {watched.said}{left if watched.begun else ''}")
            await self._tell(watched)
            await asyncio.sleep(self._every)

    def _check(self, status: agent_pb2.LongToolStatus, watched: Watched) -> None:
        """Raises ApplicationError ToolRefused where it has ended without being done, or could not be begun."""
        if status.refused:
            raise permanent(ErrorType.TOOL_REFUSED, f"{self.node}: {status.message}")
        if status.state == agent_pb2.LONG_TOOL_FAILED:
            raise permanent(ErrorType.TOOL_REFUSED, f"{self.node}: {self.name} failed: {status.message}")
        if status.state == agent_pb2.LONG_TOOL_IDLE and watched.begun:
            message = f"{self.node}: {self.name} ended at {watched.best:.0f} % without being done"
            raise permanent(ErrorType.TOOL_REFUSED, f"{message}: {status.message}" if status.message else message)

    async def _ask(self, begun: bool) -> tuple[agent_pb2.LongToolStatus, str]:
        """How it stands, and why that is not known."""
        unknown = agent_pb2.LongToolStatus()
        agent = reachable(self.platform, self.target, [self.node]).get(self.node)
        if agent is None:
            return unknown, f"{self.node} does not run"
        verb = agent_pb2.LONG_TOOL_POLL if begun else agent_pb2.LONG_TOOL_BEGIN
        try:
            status = await self.platform.agents.long_tool(
                agent, self.name, verb, self.arguments, timeout=self._bound(verb)
            )
        except AgentError as error:
            return unknown, str(error)
        return status, status.message

    def _bound(self, verb: agent_pb2.LongToolVerb.ValueType) -> float:
        """Seconds. A beginning polls before its start and after it, a cancellation after it."""
        tool = self.tool
        assert tool.start is not None
        assert tool.poll is not None
        assert tool.cancel is not None
        poll = tool.poll.timeout
        more = {
            agent_pb2.LONG_TOOL_POLL: 0.0,
            agent_pb2.LONG_TOOL_BEGIN: poll + tool.start.timeout + _SHOWN_WITHIN,
            agent_pb2.LONG_TOOL_CANCEL: tool.cancel.timeout + _SHOWN_WITHIN,
        }
        return poll + more[verb] + ANSWER_WITHIN

    def _remember(self, watched: Watched) -> None:
        remember({**remembered(), self._key: to_details(watched)})

    async def _tell(self, watched: Watched) -> None:
        loop = asyncio.get_running_loop()
        if watched.said == self._told or loop.time() - self._told_at < _TOLD_EVERY:
            return
        change = StatusChange(Phase.UPDATING, f"{self.target.operation}: {self._key}: {watched.said}")
        try:
            await tell_step(self.platform, self.target, f"{self.node}: {self.name} {watched.best:.0f} %", change)
        except KubernetesError as error:
            log.warning("the status could not be written: %s", error, extra={"app": self.target.app})
            return
        self._told, self._told_at = watched.said, loop.time()

    async def _cancel(self) -> None:
        """Never an error: the operation ends all the same, and people are told."""
        agent, why = reachable(self.platform, self.target, [self.node]).get(self.node), f"{self.node} does not run"
        if agent is not None:
            try:
                verb = agent_pb2.LONG_TOOL_CANCEL
                status = await self.platform.agents.long_tool(
                    agent, self.name, verb, self.arguments, timeout=self._bound(verb)
                )
                why = status.message if status.refused or not status.state else ""
            except AgentError as error:
                why = str(error)
        try:
            if why:
                message = f"{self._key} may still go on in the engine, as it could not be cancelled: {why}"
                await tell(self.platform, self.target, "NotCancelled", message, warning=True)
            else:
                await tell(self.platform, self.target, "Cancelled", f"{self._key} was cancelled in the engine")
        except KubernetesError as error:
            log.warning("no Event could be written: %s", error, extra={"app": self.target.app, "why": why})
