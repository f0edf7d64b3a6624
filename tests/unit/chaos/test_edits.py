"""The parts of a run of edits that need no cluster: its plan, and what is made of what was seen."""

from __future__ import annotations

import pytest

from tests.chaos.edits.acts import ACTS, BY_NAME, takes_effect
from tests.chaos.edits.apps import MIX, SHAPES, shapes
from tests.chaos.edits.operations import OPERATIONS
from tests.chaos.edits.plan import ACT, OPERATION, Step, plan
from tests.chaos.edits.probes import Answer, engines, still_both
from tests.chaos.edits.script import DONE, SKIPPED, Done
from tests.chaos.edits.tenant import Touched
from tests.chaos.edits.verdict import sentence_said
from tests.e2e.support.kube import Manifest


def test_a_seed_gives_the_same_plan_again_and_another_seed_another_one() -> None:
    first, again, other = (plan(seed, shapes((), 20), 600, 90) for seed in (1, 1, 2))
    assert first == again != other
    assert [step.at for step in first] == sorted(step.at for step in first)


def test_more_apps_change_nothing_for_the_first_ones() -> None:
    few, many = (plan(1, shapes((), count), 600, 90) for count in (3, 20))
    assert few == [step for step in many if step.app in shapes((), 3)]


def test_a_long_run_does_every_act_and_begins_every_operation() -> None:
    steps = plan(1, shapes((), 20), 600, 90)
    assert {step.name for step in steps if step.what == ACT} == set(BY_NAME)
    assert {step.name for step in steps if step.what == OPERATION} == set(OPERATIONS)
    assert len(BY_NAME) == len(ACTS)


def test_named_acts_and_shapes_are_the_only_ones() -> None:
    apps = shapes(("standalone",), 2)
    steps = plan(1, apps, 300, 30, ["pod/killed"])
    assert {step.name for step in steps if step.what == ACT} == {"pod/killed"}
    assert "switchover" not in {step.name for step in steps}, "a single node has nobody to switch over to"
    assert set(MIX) <= set(SHAPES)


@pytest.mark.parametrize(
    ("patch", "live", "found"),
    [
        ({"spec": {"replicas": 0}}, {"spec": {"replicas": 0}}, True),
        ({"spec": {"replicas": 0}}, {"spec": {"replicas": 1}}, False),
        ({"metadata": {"labels": {"a": None}}}, {"metadata": {}}, True),
        ({"metadata": {"labels": {"a": None}}}, {"metadata": {"labels": {"a": "1"}}}, False),
        ({"data": {"a": "spoiled", "b": "spoiled"}}, {"data": {"a": "spoiled", "b": "good"}}, False),
        ({"immutable": True}, {}, False),
    ],
)
def test_an_edit_is_in_effect_where_all_of_it_is_there(patch: Manifest, live: Manifest, found: bool) -> None:
    assert takes_effect(patch, live) is found


def test_two_are_writable_at_once_only_where_both_took_a_second_write() -> None:
    """A switchover between two probes of one round looks like two for a moment."""
    first = engines([Answer("service a", "x"), Answer("pod a", "x"), Answer("service b", "y")])
    assert first == {"x": ["pod a", "service a"], "y": ["service b"]}
    assert still_both(first, {"y": ["service b"]}) == {}
    assert still_both(first, {"y": ["service b"], "z": ["service c"]}) == {}
    assert still_both(first, first) == first


def done(name: str, on: str, outcome: str = DONE) -> Done:
    return Done(Step(0, "e00", ACT, name), outcome, on, touched=Touched({"metadata": {"name": on}}, None))


def test_a_sentence_counts_for_the_object_of_which_it_speaks_and_for_no_other() -> None:
    message = "waiting: the volume claim of e00-0 was deleted, and goes with its data; delete that Pod while"
    acts = [done("persistentvolumeclaim/deleted", "e00-0"), done("persistentvolumeclaim/deleted", "e00-1")]
    said = sentence_said(message, acts)
    assert said is not None
    assert said[0] is acts[0]
    assert sentence_said(message, acts[1:]) is None
    assert sentence_said(message, [done("persistentvolumeclaim/deleted", "e00-0", SKIPPED)]) is None
    assert sentence_said(message, [done("service/deleted", "e00-0")]) is None, "that must be put right without a person"
