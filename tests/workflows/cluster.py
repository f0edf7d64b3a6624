"""Apps in memory, as the fake activities (``tests.workflows.fakes``) find and leave them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from api.look import AppSnapshot, LoadRequest, ReportRequest
from api.reconfigure import ConfigPlans, ParameterDiffers
from api.steps import (
    ComponentPlan,
    GroupPlan,
    Plan,
    Replacement,
    ScalePlan,
    StateRequest,
)

INSTALLATION = "test"
PLAN = Plan(
    [
        ComponentPlan("server", [GroupPlan("data", ["x-server-data-0", "x-server-data-1"])]),
        ComponentPlan("sentinel", [GroupPlan("watch", ["x-sentinel-watch-0"])], after=["server"]),
    ]
)


@dataclass
class FakeApp:
    """``blocked``: components or nodes that do not get ready. ``failing``: step, ``step:node`` or ``load:drift`` ->
    sentence with which it fails for good. ``left``: nodes that a Deploy has to replace one by one;
    ``replaced``: those it has. ``rolls``: nodes that a rolling operation finds to roll; ``after``:
    components that have a tool for the end of that; ``writable``: which
    of them holds the writable role; ``too_late``: what rollBack answers. ``secret``: the App's credentials; ``kept``:
    why they cannot be changed; ``unfit``: what an engine has against new files; ``both_for``: what keepBoth answers."""

    snapshot: AppSnapshot
    plan: Plan = PLAN
    blocked: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)
    rolls: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    writable: str = ""
    scale: ScalePlan = field(default_factory=ScalePlan)
    config: ConfigPlans = field(default_factory=lambda: ConfigPlans([]))
    left: list[Replacement] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    differs: list[ParameterDiffers] = field(default_factory=list)
    too_late: bool = False
    secret: dict[str, str] = field(default_factory=lambda: {"password": "old", "password.used": "old"})
    kept: str = ""
    unfit: str = ""
    both_for: float = 0.0
    states: list[StateRequest] = field(default_factory=list)
    reports: list[ReportRequest] = field(default_factory=list)
    looks: list[LoadRequest] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    """What the Event at the end of each operation says."""


@dataclass
class FakeCluster:
    """``log``: steps in the order in which they ran, as ``step:what``."""

    apps: dict[str, FakeApp] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def add(self, name: str, **changes: Any) -> FakeApp:
        """Raises ValueError where another test has an App of the name: its workflow still runs."""
        if name in self.apps:
            raise ValueError(f"another test has App {name}; give this one a name of its own")
        snapshot = AppSnapshot(exists=True, uid=f"uid-{name}", generation=1, plugin="redis 1.0.0", spec_hash="one")
        self.apps[name] = FakeApp(replace(snapshot, **changes))
        return self.apps[name]

    async def change(self, name: str, **changes: Any) -> None:
        async with self.changed:
            app = self.apps[name]
            blocked = changes.pop("blocked", app.blocked)
            app.blocked = blocked
            app.snapshot = replace(app.snapshot, **changes)
            self.changed.notify_all()

    async def until(self, what: Callable[[], object], timeout: float = 60.0) -> None:
        """Waits for something that a step brings about."""

        async def wait() -> None:
            async with self.changed:
                await self.changed.wait_for(lambda: bool(what()))

        await asyncio.wait_for(wait(), timeout)

    async def ran(self, entry: str) -> None:
        async with self.changed:
            self.log.append(entry)
            self.changed.notify_all()

    def steps(self, app: str) -> list[str]:
        return [entry.removeprefix(f"{app}/") for entry in self.log if entry.startswith(f"{app}/")]

    async def get(self, resource: object, name: str, namespace: str) -> dict[str, Any] | None:
        """In the place of ``Kubernetes.get``."""
        return {"metadata": {"name": name, "namespace": namespace}} if name in self.apps else None
