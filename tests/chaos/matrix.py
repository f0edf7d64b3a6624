"""Every fault at every step of every day-2 operation, on one App: takes hours, so it is sharded and resumable.

    SHARD=1/4 python -m tests.chaos.matrix --instance test --results matrix.jsonl [--seed 1] [--only scale]

The steps are those of a first run without a fault, read from its history. Cases are shuffled by the seed and dealt to
the shards, each by its own name: a shard that saw an operation in a step more leaves no case out. Each result is one
line in the results file; a case that is there already is not run again. A failure is recorded with its reason, and the
matrix goes on with a new App.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from pathlib import Path
from subprocess import SubprocessError

from redis import RedisError

from deploy.local.instance import Instance
from tests.chaos.case import run_case, settle
from tests.chaos.faults import FAULTS
from tests.chaos.fresh import controllers_at_work, fresh_platform, fresh_pods
from tests.chaos.operations import OPERATIONS, steps, upgraded, workflow_of, workflows
from tests.e2e.support.api import ApiError
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import kube_of, temporal_of
from tests.e2e.support.kube import KubectlError

NAMESPACE = "chaos-matrix"
Case = tuple[str, str, str]
"""Operation, step, fault."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instance", default="test")
    parser.add_argument("--results", type=Path, default=Path("matrix.jsonl"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(OPERATIONS), help="one operation")
    options = parser.parse_args()
    matrix = Matrix(Instance(options.instance), options.results)
    shard, shards = (int(part) for part in os.environ.get("SHARD", "1/1").split("/"))
    for case in dealt(matrix.cases([options.only] if options.only else list(OPERATIONS)), options.seed, shard, shards):
        matrix.run(case)
    failed = [line for line in matrix.done.values() if line.get("failure")]
    print(f"{len(matrix.done)} passed, {len(failed)} failed" if not failed else f"{len(failed)} failed")
    return 1 if failed else 0


def dealt(every: list[Case], seed: int, shard: int, shards: int) -> list[Case]:
    """The cases of a shard (the first is 1), in the seed's order."""

    def place(case: Case) -> float:
        return random.Random(f"{seed} {case}").random()

    return [case for case in sorted(every, key=place) if int(place(case) * shards) == shard - 1]


class Matrix:
    def __init__(self, instance: Instance, results: Path) -> None:
        self._instance, self._results = instance, results
        self._kube, self._temporal = kube_of(instance), temporal_of(instance)
        lines = results.read_text().splitlines() if results.exists() else []
        self.done: dict[Case, dict[str, object]] = {}
        for line in lines:
            found = json.loads(line)
            self.done[found["operation"], found["step"], found["fault"]] = found
        self._app: RunningApp | None = None
        self._number, self._spent = 0, False

    def cases(self, names: list[str]) -> list[Case]:
        """Runs each operation once without a fault to learn its steps."""
        found: list[Case] = []
        for name in names:
            app, operation = self._fresh(), OPERATIONS[name]
            seen = workflows(app, operation, self._temporal)
            operation.begin(app, self._temporal)
            workflow_id = workflow_of(app, operation, self._temporal, seen)
            operation.afterwards(app, self._temporal)
            settle(app, operation, self._temporal, seen)
            known = operation.part(steps(self._temporal, workflow_id))
            print(f"{name}: {len(known)} steps", flush=True)
            found += [(name, step, fault) for step in known for fault in FAULTS]
        return found

    def run(self, case: Case) -> None:
        if case in self.done:
            return
        name, step, fault = case
        try:
            fresh_platform(self._kube)
            app = self._fresh()
            fresh_pods(app)
            controllers_at_work(app)
            operation = OPERATIONS[name]
            line = run_case(self._instance, app, self._temporal, name, operation, step, fault).as_json()
        except (AssertionError, KubectlError, ApiError, RedisError, OSError, SubprocessError) as error:
            line = {"operation": name, "step": step, "fault": fault, "failure": str(error)[:2000]}
            self._spent = True
        self.done[case] = line
        with self._results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def _fresh(self) -> RunningApp:
        """The App of the cases before, or a new one: after a failure, and after an upgrade, which has no way back."""
        if self._app is not None and not self._spent and not upgraded(self._app):
            return self._app
        if self._app is not None:
            self._kube.delete("app.middleware.io", self._app.name, NAMESPACE)
        self._number += 1
        app_name = f"m{os.getpid()}-{self._number}"
        self._kube.namespace(NAMESPACE)
        self._kube.apply(redis_app(app_name, NAMESPACE, "sentinel"))
        app = RunningApp(self._kube, NAMESPACE, app_name)
        app.settled()
        self._app, self._spent = app, False
        return app


if __name__ == "__main__":
    sys.exit(main())
