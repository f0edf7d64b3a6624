"""Every fault on the primary, again and again, under writing clients: sharded, seeded, resumable.

    SHARD=1/4 python -m tests.chaos.ha --instance test --results ha.jsonl --rounds 3 [--topology sentinel] [--fault F]

Each result is one line in the results file; one that is there already is not run again. A case that leaves the App in
another state than it was is a failure with its reason, and the next case gets a new App. At the end: median and worst
of each fault.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import redis

from deploy.local.instance import Instance
from tests.chaos import disks
from tests.chaos.fresh import controllers_at_work, fresh_pods
from tests.chaos.ha_case import run_case
from tests.chaos.ha_faults import FAULTS
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.environment import kube_of

NAMESPACE = "high-availability"
TOPOLOGIES = ("sentinel", "replication")
Case = tuple[str, str, int]
"""Topology, fault, round."""
Line = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instance", default="test")
    parser.add_argument("--results", type=Path, default=Path("ha.jsonl"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--topology", choices=TOPOLOGIES, action="append")
    parser.add_argument("--fault", choices=FAULTS, action="append")
    options = parser.parse_args()
    trials = Trials(Instance(options.instance), options.results)
    shard, shards = (int(part) for part in os.environ.get("SHARD", "1/1").split("/"))
    every = cases(options.topology or TOPOLOGIES, options.fault or list(FAULTS), options.rounds)
    random.Random(options.seed).shuffle(every)
    try:
        for case in sorted(
            every[shard - 1 :: shards], key=lambda each: each[0]
        ):  # one App of a topology after the other
            trials.run(case)
    finally:
        trials.remove()
    print(summary(list(trials.done.values())))
    return 1 if any(failure(line) for line in trials.done.values()) else 0


def cases(topologies: list[str] | tuple[str, ...], faults: list[str], rounds: int) -> list[Case]:
    return [
        (topology, fault, number)
        for topology in topologies
        for fault in faults
        for number in range(1, rounds + 1)
        if topology == "sentinel" or not FAULTS[fault].sentinel
    ]


class Trials:
    """The cases that are done, and the App on which they run."""

    def __init__(self, instance: Instance, results: Path) -> None:
        self._instance, self._results = instance, results
        self._kube = kube_of(instance)
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        self.done: dict[Case, Line] = {(each["topology"], each["fault"], each["round"]): each for each in lines}
        self._app: RunningApp | None = None
        self._topology, self._number = "", 0

    def run(self, case: Case) -> None:
        if case in self.done:
            return
        topology, fault, number = case
        try:
            app = self._app_of(topology)
            line: Line = run_case(self._instance, app, topology, fault, number).as_json()
        except (AssertionError, redis.RedisError, OSError) as error:
            line = {"topology": topology, "fault": fault, "round": number, "failure": str(error)[:2000]}
            self.remove()
        self.done[case] = line
        with self._results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def _app_of(self, topology: str) -> RunningApp:
        """The App of the cases before, or a new one."""
        if self._app is not None and self._topology == topology:
            controllers_at_work(self._app)
            fresh_pods(self._app)
            with self._app.client() as client:
                client.flushall()  # or the cases before would fill the memory
            return self._app
        self.remove()
        self._number += 1
        name = f"ha{os.getpid()}-{self._number}"
        self._topology = topology
        self._app = new_app(self._instance, name, topology)
        return self._app

    def remove(self) -> None:
        if self._app is not None:
            remove_app(self._instance, self._app)
        self._app = None


def new_app(instance: Instance, name: str, topology: str, data_nodes: int = 2) -> RunningApp:
    """On disks of its own, so that one of them can be full."""
    kube = kube_of(instance)
    kube.namespace(NAMESPACE)
    app = RunningApp(kube, NAMESPACE, name)
    remove_app(instance, app)  # a run that was killed may have left one
    manifest = redis_app(name, NAMESPACE, topology, data_nodes)
    storage = component(manifest["spec"])["groups"][0]["storage"]
    storage["storageClassName"] = disks.make(instance, kube, name, data_nodes)
    manifest["spec"]["failover"] = {"coolDownSeconds": 1}  # one case follows another within seconds
    kube.apply(manifest)
    app.settled()
    return app


def remove_app(instance: Instance, app: RunningApp) -> None:
    app.kube.delete("app.middleware.io", app.name, app.namespace)
    disks.remove(instance, app.kube, app.name)


def failure(line: Line) -> str:
    """Empty where the case is passed."""
    return str(line.get("failure") or "; ".join(line.get("problems", [])))


def summary(lines: list[Line]) -> str:
    """Of each topology and fault: rounds, moves, seconds without writes, and what was lost."""
    rows = [f"{'':38}rounds moved  back s  worst without s  worst  lost of WAIT"]
    for key in sorted({(line["topology"], line["fault"]) for line in lines}):
        of_key = [line for line in lines if (line["topology"], line["fault"]) == key]
        measured = [line for line in of_key if "failure" not in line]
        rows.append(f"{key[0]:12}{key[1]:26}{len(of_key):6}{_row(measured)}")
    failed = [line for line in lines if failure(line)]
    rows += [f"FAILED {line['topology']} {line['fault']} {line['round']}: {failure(line)}" for line in failed]
    writes, waited = (sum(line.get(each, 0) for line in lines) for each in ("writes", "waited"))
    lost, lost_waited = (sum(line.get(each, 0) for line in lines) for each in ("lost", "lost_waited"))
    rows.append(
        f"{len(lines)} cases, {len(failed)} failed; {writes} acknowledged writes, {lost} lost; "
        f"{waited} acknowledged by WAIT, {lost_waited} lost"
    )
    return "\n".join(rows)


def _row(lines: list[Line]) -> str:
    if not lines:
        return "   none measured"
    # Where writes can come back only after the fault's end, its length is the trial's choice and tells nothing.
    back = [line["after"] if FAULTS[line["fault"]].needs_end else line["back"] for line in lines]
    without = [line["without"] for line in lines]
    moved = sum(line["moved"] for line in lines)
    times = f"{statistics.median(back):8.1f}{max(back):7.1f}{statistics.median(without):10.1f}{max(without):7.1f}"
    lost = f"{sum(line['lost'] for line in lines):6}{sum(line['lost_waited'] for line in lines):8}"
    return f"{moved:6}{times}{lost}"


if __name__ == "__main__":
    sys.exit(main())
