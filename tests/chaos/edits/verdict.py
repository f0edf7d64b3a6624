"""What has become of an App once the script has stopped: as wanted in truth, or a sentence of which a person makes use.

The App's word alone is not believed. The engines are asked, what the clients had confirmed is read, and of every object
that was touched is seen whether what was done to it is still in effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from tests.chaos.edits.acts import Sentence, takes_effect
from tests.chaos.edits.script import DONE, Done, incomplete
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Manifest


@dataclass
class Verdict:
    """``settled``: seconds from the end of the script, or of the last remedy, until the App said that it is as wanted.
    ``sentences``: those which a person had to follow before."""

    app: str
    settled: float = 0.0
    sentences: list[str] = field(default_factory=list)
    confirmed: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def is_as_wanted(app: Manifest) -> bool:
    status = app.get("status", {})
    current = status.get("observedGeneration") == app["metadata"]["generation"]
    return bool(current and status.get("phase") == "Running" and status.get("message") == "as wanted")


def sentence_said(message: str, done: Iterable[Done]) -> tuple[Done, Sentence] | None:
    """The latest act whose sentence the message holds."""
    for each in reversed(list(done)):
        sentence = each.act.sentence if each.act and each.outcome == DONE else None
        if sentence and all(word.format(name=each.on) in message for word in sentence.words):
            return each, sentence
    return None


def problems(app: RunningApp, done: Sequence[Done]) -> list[str]:
    """What is not as wanted of an App that says that it is."""
    found = list(left_over(app, done))
    if len(app.nodes()) > 1 and (why := incomplete(app)):
        found.append(why)
    return found


def left_over(app: RunningApp, done: Sequence[Done]) -> Iterator[str]:
    """Objects that are missing though their node is not, or in which an edit is still in effect."""
    for each in done:
        touched, act = each.touched, each.act
        if touched is None or act is None or act.stays or act.kind in ("pod", "replicaset"):
            continue
        live = app.kube.get(act.kind, touched.name, app.namespace)
        if live is None:
            node = (touched.before["metadata"].get("labels") or {}).get("middleware.io/node")
            component = (touched.before["metadata"].get("labels") or {}).get("middleware.io/component", "")
            if node is None or node in app.nodes(component):
                yield f"{act.kind} {touched.name} is missing"
        elif touched.patch and takes_effect(touched.patch, live) and not takes_effect(touched.patch, touched.before):
            yield f"{act.kind} {touched.name} is still {act.name}"
