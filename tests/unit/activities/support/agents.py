"""Every node's agents, in memory: real ones need engines, and cannot be told what to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from clients.agents import AgentError, AgentTarget
from proto import agent_pb2

UID = "uid-1"
"""Of the App."""


class FakeAgents:
    """Every node's agents. ``reports``: what each says of its role; a node without one does not answer. ``tools``: a
    tool's result, or the text of its failure; UNIMPLEMENTED where there is none. ``answers``: to a tool on one node,
    before ``tools``. ``stopped``: what agent 1 of a node says to a stop; one without does not answer. ``waiting``: what
    that of a node says whose engine does not run; it is stopped and started as it is asked. ``leads``: what such a one
    runs as when it is to lead. ``unreachable``: nodes whose agent 1 does not answer for its status; ``crashing``: whose
    engine ends at each start. ``refuses``: what a node's agent says to what is pushed; ``pushed``: the files, last;
    ``asked``: those about which it was asked.
    ``revisions``: of its document; ``mounted``: of the App's credentials, where a node's are not as new as asked for.
    ``volumes``: the version of the engine that a node's volume remembers. ``long``: how a long tool stands, from one
    question to the next; the last answer stays, a text is what keeps the agent from answering. ``calls``: what was
    asked, in order."""

    def __init__(self) -> None:
        self.reports: dict[str, agent_pb2.RoleReport] = {}
        self.tools: dict[str, dict[str, str] | str] = {"readConfig": {}}
        self.answers: dict[tuple[str, str], dict[str, str] | str] = {}
        self.stopped: dict[str, agent_pb2.ProcessStatus] = {}
        self.waiting: dict[str, agent_pb2.ProcessStatus] = {}
        self.leads: dict[str, str] = {}
        self.unreachable: set[str] = set()
        self.crashing: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.pushed: dict[str, dict[str, str]] = {}
        self.asked: dict[str, dict[str, str]] = {}
        self.revisions: dict[str, int] = {}
        self.mounted: dict[str, str] = {}
        self.volumes: dict[str, str] = {}
        self.long: list[agent_pb2.LongToolStatus | str] = []
        self.calls: list[tuple[str, str, dict[str, str]]] = []

    def say(
        self,
        node: str,
        role: str = "",
        position: int | str = 0,
        *,
        ready: bool = True,
        message: str = "",
        unsaved: str = "",
        **facts: Any,
    ) -> None:
        """``facts``: further fields of the report."""
        self.reports[node] = agent_pb2.RoleReport(
            node=node, role=role, position=str(position or ""), ready=ready, message=message, unsaved=unsaved, **facts
        )

    def called(self, call: str) -> list[str]:
        return [node for node, name, _ in self.calls if name == call]

    async def role(self, target: AgentTarget, **_: Any) -> agent_pb2.RoleReport:
        if target.node not in self.reports and target.node in self.waiting:
            raise AgentError(target, "GetRole", grpc.StatusCode.FAILED_PRECONDITION, "the process does not run")
        if target.node not in self.reports:
            raise AgentError(target, "GetRole", grpc.StatusCode.UNAVAILABLE, "nobody there")
        return self.reports[target.node]

    def wait(self, node: str, position: int | str = 0, **volume: Any) -> None:
        """Its engine waits for a primary before it starts."""
        record = agent_pb2.VolumeRecord(
            present=True, app_uid=UID, role="replica", position=str(position or ""), **volume
        )
        self.waiting[node] = agent_pb2.ProcessStatus(state=agent_pb2.BACKOFF, volume=record, may_lead=True)
        self.reports.pop(node, None)
        self.answers[node, "detach"] = self.answers[node, "follow"] = "the process does not run"

    def stand(self, node: str, state: agent_pb2.ProcessState.ValueType, message: str) -> None:
        """Its engine does not run, for this reason."""
        self.reports.pop(node, None)
        volume = agent_pb2.VolumeRecord(engine_version=self.volumes.get(node, ""))
        self.waiting[node] = agent_pb2.ProcessStatus(state=state, message=message, volume=volume)

    async def status(self, target: AgentTarget, **_: Any) -> agent_pb2.ProcessStatus:
        if target.node in self.unreachable:
            raise AgentError(target, "GetStatus", grpc.StatusCode.UNAVAILABLE, "nobody there")
        if target.node in self.waiting:
            return self.waiting[target.node]
        volume = agent_pb2.VolumeRecord(engine_version=self.volumes.get(target.node, ""))
        return agent_pb2.ProcessStatus(revision=self.revisions.get(target.node, 0), volume=volume)

    async def run(
        self,
        target: AgentTarget,
        tool: str,
        *,
        arguments: Mapping[str, str] | None = None,
        credentials: str = "",
        **_: Any,
    ) -> agent_pb2.ToolResult:
        if credentials and self.mounted.get(target.node, credentials) != credentials:
            raise AgentError(target, f"Run {tool}", grpc.StatusCode.FAILED_PRECONDITION, "an older Secret is mounted")
        self.calls.append((target.node, str(tool), dict(arguments or {})))
        result = self.answers.get((target.node, str(tool)), self.tools.get(str(tool)))
        if result is None:
            raise AgentError(target, f"Run {tool}", grpc.StatusCode.UNIMPLEMENTED, "the plugin has no such tool")
        if isinstance(result, str):
            return agent_pb2.ToolResult(success=False, message=result)
        return agent_pb2.ToolResult(success=True, values=result)

    async def long_tool(
        self,
        target: AgentTarget,
        tool: str,
        verb: agent_pb2.LongToolVerb.ValueType,
        arguments: Mapping[str, str],
        **_: Any,
    ) -> agent_pb2.LongToolStatus:
        name = agent_pb2.LongToolVerb.Name(verb).removeprefix("LONG_TOOL_").lower()
        self.calls.append((target.node, f"{tool} {name}", dict(arguments)))
        status = self.long.pop(0) if len(self.long) > 1 else self.long[0]
        if isinstance(status, str):
            raise AgentError(target, f"LongTool {tool}", grpc.StatusCode.UNAVAILABLE, status)
        return status

    async def validate_config(
        self, target: AgentTarget, request: agent_pb2.ValidateConfigRequest, **_: Any
    ) -> agent_pb2.ToolResult:
        if target.node in self.unreachable:
            raise AgentError(target, "ValidateConfig", grpc.StatusCode.UNAVAILABLE, "nobody there")
        self.asked[target.node] = {file.source: file.content.decode() for file in request.files}
        self.calls.append((target.node, "validateConfig", {}))
        refusal = self.refuses.get(target.node)
        return agent_pb2.ToolResult(success=refusal is None, message=refusal or "")

    async def reload_config(
        self, target: AgentTarget, request: agent_pb2.ReloadConfigRequest, **_: Any
    ) -> agent_pb2.ReloadConfigResult:
        self.pushed[target.node] = {file.source: file.content.decode() for file in request.files}
        self.calls.append((target.node, "push", dict(request.parameters)))
        refusal = self.refuses.get(target.node)
        if refusal is not None:
            return agent_pb2.ReloadConfigResult(success=False, message=refusal)
        known = self.answers.get((target.node, "readConfig"), self.tools.get("readConfig"))
        says = {**(known if isinstance(known, dict) else {}), **request.parameters}
        return agent_pb2.ReloadConfigResult(success=True, config=says)

    async def stop(self, target: AgentTarget, _request_id: str, **_: Any) -> agent_pb2.ProcessStatus:
        self.calls.append((target.node, "stop", {}))
        if target.node in self.waiting:
            self.waiting[target.node].state = agent_pb2.STOPPED
            return self.waiting[target.node]
        if target.node not in self.stopped:
            raise AgentError(target, "Stop", grpc.StatusCode.UNAVAILABLE, "nobody there")
        return self.stopped[target.node]

    async def renew_lease(self, target: AgentTarget, **_: Any) -> agent_pb2.LeaseStatus:
        self.calls.append((target.node, "renew", {}))
        return agent_pb2.LeaseStatus(held=True)

    async def start(
        self, target: AgentTarget, _request_id: str, *, lead: bool = False, permit: bool = False, **_: Any
    ) -> agent_pb2.ProcessStatus:
        self.calls.append((target.node, "lead" if lead else "permit" if permit else "start", {}))
        if target.node in self.waiting:
            self.waiting[target.node].state = agent_pb2.BACKOFF
        if lead:
            self.say(target.node, self.leads.get(target.node, "primary"))
            for tool in ("detach", "follow"):
                self.answers.pop((target.node, tool), None)
        return agent_pb2.ProcessStatus(
            state=agent_pb2.CRASH_LOOP if target.node in self.crashing else agent_pb2.RUNNING
        )

    async def failover(
        self, target: AgentTarget, _request_id: str, arguments: Mapping[str, str], **_: Any
    ) -> agent_pb2.ToolResult:
        self.calls.append((target.node, "failover", dict(arguments)))
        self.say(target.node, "primary", self.reports[target.node].position)
        return agent_pb2.ToolResult(success=True)

    async def restart(self, target: AgentTarget, _request_id: str, **_: Any) -> agent_pb2.ProcessStatus:
        self.calls.append((target.node, "restart", {}))
        return agent_pb2.ProcessStatus()
