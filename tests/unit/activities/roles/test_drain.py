"""Which nodes a drain cannot just take away, what the App says of them, and where a role is moved to."""

from __future__ import annotations

from activities.agents.node_state import NodeState
from activities.roles.drain import fixed, of_node
from activities.roles.switchover import preferred
from api.look import Evacuation
from language.positions import Position
from render.desired.app import DesiredApp
from tests.unit.render.manifests.test_placement import movable
from tests.unit.render.support import app, store, wanted

A, B, C = (f"books-store-g-{n}" for n in range(3))


def three(**group: object) -> DesiredApp:
    return wanted(app(components=store(replicas=3, **group)), bundle=movable())


def state(node: str, where: str, role: str = "", *, ready: bool = True) -> NodeState:
    pod = {"metadata": {"labels": {"middleware.io/role": role}}, "spec": {"nodeName": where}}
    return NodeState(node, ready, "", pod)


def of(
    desired: DesiredApp, *states: NodeState, closed: tuple[str, ...] = ("m1",), component: str = "store"
) -> list[Evacuation]:
    part, by_name = desired.component(component), {each.node: each for each in states}
    return [of_node(desired, part, by_name, name, frozenset(closed)) for name in fixed(part, by_name)]


def test_a_role_goes_to_a_node_that_is_ready_on_a_machine_that_takes_pods() -> None:
    (found,) = of(three(), state(A, "m1", "primary"), state(B, "m2", ready=False), state(C, "m3", "replica"))
    assert (found.component, found.node, found.machine, found.candidate) == ("store", A, "m1", C)
    assert found.message == f"machine m1 is cordoned: {A} is primary"


def test_where_nobody_could_take_over_it_says_why() -> None:
    """On one machine, or on several that are all cordoned: moving would bring nothing."""
    (found,) = of(three(), state(A, "m1", "primary"), state(B, "m1", "replica"), state(C, "m2", ready=False))
    assert found.candidate == ""
    assert found.message == (
        f"machine m1 is cordoned: {A} is primary and stays there, since no other node could take over; "
        f"{B} is on m1, which is cordoned, {C} is not ready"
    )
    (found,) = of(three(), state(A, "m1", "primary"), state(B, "m2"), state(C, "m2"), closed=("m1", "m2"))
    assert found.candidate == ""


def test_of_a_single_node_it_says_that_it_will_be_down() -> None:
    single = wanted(app(topology="single"), bundle=movable())
    (found,) = of(single, state("books-store-default-0", "m1", "primary"))
    assert found.candidate == ""
    assert "is the only node of store and is down from its eviction until it runs again" in found.message


def test_nodes_that_can_be_spared_are_no_matter() -> None:
    assert of(three(), state(A, "m1", "replica"), state(B, "m1"), state(C, "m2")) == []
    voters = [state(f"books-watch-default-{n}", "m1") for n in range(3)]
    assert of(three(), *voters, component="watch") == []


def test_a_role_that_cannot_be_moved_is_told_as_such() -> None:
    unmovable = wanted(app(components=store(replicas=3)))
    (found,) = of(unmovable, state(A, "m1", "primary"), state(B, "m2"), state(C, "m3"))
    assert (found.candidate, "has no tool" in found.message) == ("", True)


def test_a_node_whose_pod_waits_for_a_machine_is_on_none() -> None:
    (found,) = of(three(), state(A, "m1", "primary"), NodeState(B, False), state(C, "", ready=False))
    assert found.candidate == ""


# Whom a Switchover chooses


def at(**positions: int | str) -> dict[str, Position]:
    return {name: Position.parse(str(position)) for name, position in positions.items()}


def test_the_newest_data_decides_among_machines_that_take_pods() -> None:
    assert preferred(at(a=10, b=20, c=30), {"c"}, only_open=False) == "b"
    assert preferred(at(a=10, b=20, c=30), set(), only_open=False) == "c"


def test_only_cordoned_machines_are_better_than_none_but_not_for_a_drain() -> None:
    assert preferred(at(a=10, b=20), {"a", "b"}, only_open=False) == "b"
    assert preferred(at(a=10, b=20), {"a", "b"}, only_open=True) == ""
    assert preferred({}, set(), only_open=False) == ""


def test_of_two_that_have_diverged_one_is_asked_for_all_that_the_fenced_source_has() -> None:
    diverged = at(a="p:1-9", b="p:1-8,q:1", c="p:1-7")
    assert preferred(diverged, set(), only_open=False) == "a"
