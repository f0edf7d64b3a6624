"""Carries a plan out, step by step at its time, and remembers what it did to which object."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from subprocess import SubprocessError

import redis

from tests.chaos.edits.acts import BY_NAME, Act, Cost
from tests.chaos.edits.apps import Shape
from tests.chaos.edits.operations import OPERATIONS
from tests.chaos.edits.plan import ACT, Step
from tests.chaos.edits.tenant import Tenant, Touched
from tests.chaos.ha_case import replicated
from tests.e2e.support.api import ApiError
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import KubectlError, Manifest
from tests.e2e.support.platform import Temporal

_SIDE_BY_SIDE = 4
DONE, SKIPPED, REFUSED = "done", "skipped", "refused"


@dataclass
class Done:
    """What became of a step. ``on``: on which object; ``why``: where it was skipped or refused."""

    step: Step
    outcome: str
    on: str = ""
    why: str = ""
    touched: Touched | None = field(default=None, repr=False)

    @property
    def act(self) -> Act | None:
        return BY_NAME.get(self.step.name) if self.step.what == ACT else None

    def as_json(self) -> dict[str, object]:
        step = {"at": round(self.step.at, 1), "app": self.step.app, self.step.what: self.step.name}
        return {**step, "on": self.on, "outcome": self.outcome, "why": self.why}


@dataclass(frozen=True)
class Script:
    apps: Mapping[str, RunningApp]
    shapes: Mapping[str, Shape]
    tenant: Tenant
    temporal: Temporal

    def run(self, steps: Iterable[Step]) -> Iterator[Done]:
        """What was done, in order of time. A step that is late, as the machine is busy, comes at once."""
        begun = time.monotonic()

        def at_its_time(step: Step) -> Done:
            time.sleep(max(begun + step.at - time.monotonic(), 0))
            return self._carry_out(step)

        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            yield from pool.map(at_its_time, steps)

    def _carry_out(self, step: Step) -> Done:
        try:
            if step.what == ACT:
                return self._act(step, BY_NAME[step.name])
            OPERATIONS[step.name](self.apps[step.app], self.temporal)
        except (KubectlError, ApiError, AssertionError, OSError, SubprocessError) as error:
            return Done(step, REFUSED, why=str(error)[:300])
        return Done(step, DONE)

    def _act(self, step: Step, act: Act) -> Done:
        app = self.apps[step.app]
        found = self.tenant.candidates(step.app, act)
        if act.cost is Cost.VOLUME:
            found = self._of_replicas(app, found)
        if not found:
            return Done(step, SKIPPED, why="there is no such object")
        if self._could_lose_all(act, self.shapes[step.app]) and (why := incomplete(app)):
            return Done(step, SKIPPED, why=why)
        live = found[int(step.pick * len(found))]
        touched = self.tenant.do(act, live)
        return Done(step, DONE, on=touched.name, touched=touched)

    @staticmethod
    def _could_lose_all(act: Act, shape: Shape) -> bool:
        """Where a node loses its data by it, another must have them: what all lose at once is lost by any rules."""
        return act.cost is Cost.VOLUME or (act.cost is Cost.PROCESS and not shape.keeps)

    def _of_replicas(self, app: RunningApp, claims: list[Manifest]) -> list[Manifest]:
        """None while another claim of the App is going: its node may lose its data any moment."""
        every = self.tenant.kube.find("persistentvolumeclaim", app.namespace, f"middleware.io/app={app.name}")
        if any("deletionTimestamp" in each["metadata"] for each in every):
            return []
        primary = app.status().get("primary")
        return [each for each in claims if primary and each["metadata"]["name"] != primary]


def incomplete(app: RunningApp) -> str:
    """Why not every node has all data just now; empty where each has."""
    try:
        replicated(app)
    except (LookupError, OSError, ApiError, redis.RedisError) as error:
        return f"not every node has the data: {error}"[:200]
    going = [pod for pod in app.kube.find("pod", app.namespace, f"middleware.io/app={app.name}") if _is_going(pod)]
    return f"{going[0]['metadata']['name']} is going" if going else ""


def _is_going(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]
