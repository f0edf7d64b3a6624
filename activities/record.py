"""``record`` and ``finish``: the metadata of what runs now, and the status that says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.addresses import node_addresses
from activities.events import tell
from activities.metadata import update_metadata
from activities.nodes import rendered_config_maps
from activities.platform import Platform
from activities.readiness import NodeState, node_state
from activities.status import ConditionChange, StatusChange, tell_step
from activities.together import together
from activities.wanted import wanted
from api.app import Phase
from api.names import app_labels
from api.steps import ComponentStep, Step, Target
from api.tools import ToolName
from clients.agents import AgentError, AgentTarget
from clients.resources import CONFIG_MAP
from render.desired import DesiredApp, DesiredComponent

_READ_TIMEOUT = 10.0


class Record:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.RECORD)
    async def record(self, step: ComponentStep) -> None:
        """Nodes become normal; the configuration in effect is read back from an engine, not copied from the spec."""
        target = step.target
        want = await wanted(self._platform, target)
        component = want.desired.component(step.component)
        config = await self._read_back(target, component)
        parts = {"nodes": lambda before: _normal(before, component)}
        if config:
            parts["config"] = lambda before: {**(before if isinstance(before, dict) else {}), component.name: config}
        await update_metadata(self._platform, target.namespace, target.app, parts)
        message = f"{component.name}: {len(component.nodes)} nodes are ready"
        await tell(self._platform, target, "ComponentReady", message)

    async def _read_back(self, target: Target, component: DesiredComponent) -> dict[str, str]:
        """From the first node that answers; empty where the plugin has no such tool."""
        failures = []
        for state in self._running(target, component):
            agent = AgentTarget(target.namespace, target.app, state.node, state.address)
            request_id = f"{activity.info().workflow_run_id}/read/{component.name}"
            try:
                result = await self._platform.agents.run(
                    agent, ToolName.READ_CONFIG, request_id=request_id, timeout=_READ_TIMEOUT
                )
            except AgentError as error:
                if error.code.name in ("NOT_FOUND", "UNIMPLEMENTED"):
                    return {}
                failures.append(str(error))
                continue
            if result.success:
                return dict(sorted(result.values.items()))
            failures.append(f"{state.node}: {result.message}")
        raise ApplicationError(f"the configuration of {component.name} cannot be read back yet: {'; '.join(failures)}")

    def _running(self, target: Target, component: DesiredComponent) -> list[NodeState]:
        pods = self._platform.pods.list(target.namespace, app_labels(target.app))
        states = [
            node_state(node.name, self._platform.deployments.get(target.namespace, node.name), pods)
            for node in component.nodes
        ]
        return [state for state in states if state.running and state.address]

    @activity.defn(name=Step.FINISH)
    async def finish(self, target: Target) -> None:
        """Notes what is deployed. From now on no node may begin as first primary, should its volume be lost."""
        want = await wanted(self._platform, target)
        await self._take_back_first_primary(target, want.desired)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        def deployed(before: Any) -> dict[str, Any]:
            part = dict(before) if isinstance(before, dict) else {"uid": target.uid, "created": now}
            if part.get("deployed") != target.spec_hash:
                part.update(deployed=target.spec_hash, updated=now)
            return part

        await update_metadata(self._platform, target.namespace, target.app, {"basic": deployed})
        message = f"{target.operation} completed: {len(want.desired.nodes)} nodes are ready"
        await tell(self._platform, target, f"{target.operation}Completed", message)
        change = StatusChange(
            phase=Phase.RUNNING,
            message="as wanted",
            observed_generation=want.app.generation,
            operation={"state": "Completed"},
            conditions={
                "Accepted": ConditionChange(True, "Accepted"),
                "Progressing": ConditionChange(False, "Settled"),
                "Paused": ConditionChange(False, "NotPaused"),
            },
        )
        await tell_step(self._platform, target, "", change)

    async def _take_back_first_primary(self, target: Target, desired: DesiredApp) -> None:
        kubernetes = self._platform.kubernetes
        addresses = await node_addresses(self._platform, desired)
        found, _ = await kubernetes.list(CONFIG_MAP, target.namespace, labels=app_labels(target.app))
        live = {str(each["metadata"]["name"]): each for each in found}
        for component in desired.components:
            rendered = await rendered_config_maps(desired, component, component.nodes, addresses, live, bootstrap=None)
            await together(kubernetes.apply(manifest) for _, manifest, changed in rendered if changed)


def _normal(before: Any, component: DesiredComponent) -> dict[str, Any]:
    part = before if isinstance(before, dict) else {}
    own = [{"name": node.name, "component": node.component, "group": node.group} for node in component.nodes]
    names = {node["name"] for node in own}

    def others(state: str) -> list[dict[str, str]]:
        return [node for node in part.get(state) or [] if node.get("name") not in names]

    normal = sorted([*others("normal"), *own], key=lambda node: node["name"])
    return {"normal": normal, "adding": others("adding"), "deleting": others("deleting")}
