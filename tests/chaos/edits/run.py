"""A run: Apps, clients and probes, the script, and the judgement of each App."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from deploy.local.instance import Instance
from tests.chaos.edits.apps import Shape, manifest
from tests.chaos.edits.directory import Directory
from tests.chaos.edits.load import Client, client, confirmed
from tests.chaos.edits.plan import ACT, Step
from tests.chaos.edits.probes import Probes
from tests.chaos.edits.script import DONE, Done, Script
from tests.chaos.edits.settling import Person, Settling
from tests.chaos.edits.tenant import Tenant
from tests.chaos.edits.verdict import Verdict
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import kube_of, temporal_of
from tests.e2e.support.kube import eventually

Write = Callable[[dict[str, Any]], None]


@dataclass
class Outcome:
    done: list[Done]
    verdicts: list[Verdict]
    two_writable: list[dict[str, object]]
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        acts = [each for each in self.done if each.step.what == ACT]
        operations = [each for each in self.done if each.step.what != ACT]
        lines = [f"FAILED {each}" for each in self.problems]
        lines += [f"{each.app} said: {said}" for each in self.verdicts for said in each.sentences]
        longest = max(self.verdicts, key=lambda each: each.settled)
        lines.append(
            f"{len(self.verdicts)} Apps, {_done(acts)} of {len(acts)} acts, {_done(operations)} of {len(operations)} "
            f"operations; {self.acknowledged} writes acknowledged, {sum(each.confirmed for each in self.verdicts)} "
            f"confirmed, {sum(each.lost for each in self.verdicts)} of these lost; two writable "
            f"{len(self.two_writable)} times; the last App as wanted after {longest.settled:.0f} s ({longest.app})"
        )
        return "\n".join(lines)


def _done(steps: Sequence[Done]) -> int:
    return sum(each.outcome == DONE for each in steps)


def run(
    instance: Instance, namespace: str, shapes: Mapping[str, Shape], steps: Sequence[Step], settle: float, write: Write
) -> Outcome:
    """The Apps must not be there yet; they stay. ``settle``: seconds within which each must be as wanted."""
    kube, temporal = kube_of(instance), temporal_of(instance)
    tenant = Tenant(kube, namespace)
    kube.namespace(namespace)
    tenant.admit()
    kube.apply(*(manifest(name, namespace, shape) for name, shape in shapes.items()))
    apps = {name: RunningApp(kube, namespace, name) for name in shapes}
    began = time.monotonic()
    for app in apps.values():
        app.settled(600)
    write({"deployed": round(time.monotonic() - began, 1)})
    with ExitStack() as at_work:
        directory = at_work.enter_context(Directory(kube, namespace))
        clients = {name: at_work.enter_context(client(name, shape, directory)) for name, shape in shapes.items()}
        eventually("writes flow", lambda: all(len(each.acknowledged) > 5 for each in clients.values()))
        probes = at_work.enter_context(Probes(shapes, directory))
        done: list[Done] = []
        for each in Script(apps, shapes, tenant, temporal).run(steps):
            done.append(each)
            write(each.as_json())
        verdicts = Settling(apps, Person(instance.name, tenant, temporal), done, settle, write).run()
    two = [each.as_json() for each in probes.seen]
    for found in two:
        write({"two_writable": found})
    for verdict in verdicts:
        _read_back(verdict, clients[verdict.app], shapes[verdict.app])
        write(verdict.as_json())
    outcome = Outcome(done, verdicts, two, sum(len(each.acknowledged) for each in clients.values()))
    outcome.problems = _problems(outcome)
    return outcome


def _problems(outcome: Outcome) -> list[str]:
    found = [f"{each.app}: {problem}" for each in outcome.verdicts for problem in each.problems]
    found += [f"{each.app}: {each.lost} confirmed writes are lost" for each in outcome.verdicts if each.lost]
    return found + [f"two writable: {json.dumps(each)}" for each in outcome.two_writable]


def _read_back(verdict: Verdict, client: Client, shape: Shape) -> None:
    written = confirmed(client, shape)
    verdict.confirmed = len(written)
    try:
        verdict.lost = len(client.lost(set(written)))
    except AssertionError as error:
        verdict.problems.append(f"what was written cannot be read: {error}")
