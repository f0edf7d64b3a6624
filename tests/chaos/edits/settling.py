"""After the script: looks at all Apps at once until each is as wanted, and does what a sentence asks a person to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.names import entity_workflow_id
from api.operations import UPDATE_CONTROL
from tests.chaos.edits.acts import BY_NAME, Remedy, Sentence
from tests.chaos.edits.script import Done
from tests.chaos.edits.tenant import Tenant
from tests.chaos.edits.verdict import Verdict, is_as_wanted, problems, sentence_said
from tests.e2e.support.api import ApiError
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import KubectlError
from tests.e2e.support.platform import Temporal

_STAYS = 5.0
"""Seconds for which an App must have been as wanted: between two operations it is so for a moment."""
_LOOK = 0.5


@dataclass(frozen=True)
class Person:
    """Who reads the App's message and does what it says."""

    installation: str
    tenant: Tenant
    temporal: Temporal

    def follow(self, done: Done, sentence: Sentence) -> None:
        assert done.touched is not None
        match sentence.remedy:
            case Remedy.PUT_SECRET_BACK:
                self.tenant.put_back(done.touched.before)
            case Remedy.DELETE_POD:
                of_node = f"middleware.io/node={done.on}"
                for pod in self.tenant.kube.find("pod", self.tenant.namespace, of_node):
                    self.tenant.do(BY_NAME["pod/deleted"], pod)
            case Remedy.RETRY:
                entity = entity_workflow_id(self.installation, self.tenant.namespace, done.step.app)
                words = ("workflow", "update", "execute", "-w", entity, "--name", UPDATE_CONTROL, "--input", '"retry"')
                self.temporal.run(*words)


class _Watched:
    """One App while it is looked at. ``over``: nothing more is to be waited for."""

    def __init__(self, app: RunningApp, done: Sequence[Done]) -> None:
        self.app, self.done, self.over = app, done, False
        self.verdict = Verdict(app.name)
        self.began, self.as_wanted_since, self.said = time.monotonic(), 0.0, ""
        self._followed: list[Done] = []

    def look(self, person: Person, within: float, write: Callable[[dict[str, Any]], None]) -> None:
        try:
            live = self.app.manifest()
        except ApiError:
            return
        now, message = time.monotonic(), str(live.get("status", {}).get("message", ""))
        if is_as_wanted(live):
            self.as_wanted_since = self.as_wanted_since or now
            if now - self.as_wanted_since >= _STAYS:
                self._ends(self.as_wanted_since, problems(self.app, self.done))
            return
        self.as_wanted_since = 0.0
        if message != self.said:
            self.said = message
            write({"app": self.app.name, "says": message, "after": round(now - self.began, 1)})
        said = sentence_said(message, [each for each in self.done if each not in self._followed])
        if said is not None:
            self.verdict.sentences.append(message)
            self._followed.append(said[0])
            try:
                person.follow(*said)
            except (KubectlError, AssertionError) as error:
                self.verdict.problems.append(f"what the sentence asks for cannot be done: {error}")
            self.began = now
        elif now - self.began > within:
            self._ends(now, [f"not as wanted after {within:.0f} s: {message}"])

    def _ends(self, at: float, found: list[str]) -> None:
        self.verdict.settled = round(at - self.began, 1)
        self.verdict.problems += found
        self.over = True


class Settling:
    """``within``: seconds for each App, from the end of the script or from the last thing that a person did."""

    def __init__(
        self,
        apps: Mapping[str, RunningApp],
        person: Person,
        done: Sequence[Done],
        within: float,
        write: Callable[[dict[str, Any]], None],
    ) -> None:
        self._person, self._within, self._write = person, within, write
        self._watched = [_Watched(app, [each for each in done if each.step.app == name]) for name, app in apps.items()]

    def run(self) -> list[Verdict]:
        while waiting := [each for each in self._watched if not each.over]:
            for each in waiting:
                each.look(self._person, self._within, self._write)
            time.sleep(_LOOK)
        return [each.verdict for each in self._watched]
