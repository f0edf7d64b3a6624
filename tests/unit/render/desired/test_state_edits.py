"""What is recorded of nodes and of what they are made of, and what counts again after an abort."""

from __future__ import annotations

from dataclasses import replace

from api.app import App
from api.group import GroupSpec, Member, MemberState
from api.operations import OperationType
from render.desired import state_edits as edits
from render.desired.recorded_state import State
from tests.unit.activities.support.ledger import Ledger
from tests.unit.render.support import app, store

NODE, OTHER, GROUP = "books-store-g-0", "books-store-g-1", "books-store-g"


def books(*, version: str = "1", **group: object) -> App:
    return app(runtimeVersion=version, components=store(**{"replicas": 2, **group}))


def image(state: State) -> str:
    found = state.groups[GROUP].update
    assert found is not None
    return found.image


def back(ledger: Ledger) -> GroupSpec | None:
    """What an abort now would make of the Group."""
    return edits.restored(ledger.state).groups[GROUP].update


def writable(ledger: Ledger, version: str) -> None:
    """The writable role goes to a node of ``version``."""
    ledger.state = replace(ledger.state, deployed=edits.made_writable(ledger.state.deployed, version))


# What is one for the App


def test_the_time_of_the_last_change_moves_only_with_a_change() -> None:
    ledger = Ledger(books())
    deployed = ledger.state.deployed
    assert deployed is not None
    deployed = deployed.model_copy(update={"updated": "then"})
    assert edits.begin(deployed, ledger.runs(), "now", "1") == deployed
    ledger.app = books(version="2")
    later = edits.begin(deployed, ledger.stage(OperationType.UPGRADE), "now", "1")
    assert (later.updated, later.created) == ("now", deployed.created)


# Nodes


def test_a_node_keeps_its_version_when_an_operation_begins() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2", replicas=3)
    ledger.prepare(OperationType.UPGRADE)
    assert ledger.state.members[NODE].version == "1"
    ledger.roll(NODE, "2")
    ledger.note_normal(ledger.stage(OperationType.UPGRADE))
    assert (ledger.state.members[NODE].version, ledger.state.members[OTHER].version) == ("2", "1")


def test_what_a_node_runs_is_not_what_the_spec_asks_for() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    noted = edits.adding(ledger.state, ledger.whole())
    assert {node.member.version for node in noted.nodes(MemberState.NORMAL)} == {"1"}


def test_a_node_is_in_one_state_at_a_time() -> None:
    ledger = Ledger(books())
    ledger.app = books(replicas=3)
    ledger.prepare(OperationType.SCALE)
    assert ledger.nodes("adding") == ["books-store-g-2"]
    ledger.note_normal(ledger.stage(OperationType.SCALE))
    assert (ledger.nodes("adding"), "books-store-g-2" in ledger.nodes("normal")) == ([], True)
    ledger.begin_removal("books-store-g-2")
    ledger.begin_removal("books-store-g-2")  # the step is repeated
    assert (ledger.nodes("deleting"), "books-store-g-2" in ledger.nodes("normal")) == (["books-store-g-2"], False)
    ledger.end_removal("books-store-g-2")
    assert ledger.nodes("deleting") == []


def test_one_component_becoming_ready_says_nothing_of_the_others() -> None:
    ledger = Ledger(books(), runs=False)
    want = ledger.prepare(OperationType.DEPLOY)
    ready = edits.normal(ledger.state, want.component("store"))
    assert [node.name for node in ready.nodes(MemberState.NORMAL)] == [NODE, OTHER]
    assert {node.component for node in ready.nodes(MemberState.ADDING)} == {"watch"}


def test_an_engine_that_a_repair_started_has_had_the_volume_too() -> None:
    component = Ledger(books()).runs().component("store")
    part = edits.normal(State(), component)
    assert part.members[NODE].data == ""
    member = edits.normal(part, component, {NODE: "2"}).members[NODE]
    assert (member.version, edits.had(member, "2")) == ("2", "2")
    (rolled, _) = edits.rolled(part.groups[GROUP].members, NODE, "2")
    assert edits.had(rolled, "2") == "", "its Pod may not have started"


def test_a_volume_remembers_the_highest_engine_that_has_had_it() -> None:
    members: edits.Members = (Member(name=NODE, state=MemberState.NORMAL, version="7.0"),)
    for version in ("7.0", "8.0", "7.2"):
        members = edits.engine_ran(members, NODE, version)
    assert members[0].data == "8.0"
    assert edits.wiped(members, NODE)[0].data == ""


# What nodes are made of


def test_what_to_go_back_to_is_noted_once_and_given_back() -> None:
    ledger = Ledger(books())
    before = ledger.spec()
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    current = ledger.state.groups[GROUP].current
    assert current is not None
    assert (image(ledger.state), current.image) == ("shelf:2", "shelf:1")
    ledger.prepare(OperationType.UPGRADE)  # a worker died, the operation began again
    assert ledger.state.groups[GROUP].current == current
    restored = edits.restored(ledger.state)
    assert (restored.groups[GROUP].update, restored.runtime_version, restored.rolled_from) == (before, "1", "")


def test_a_change_of_mind_during_a_resize_still_goes_back_to_what_ran_before() -> None:
    ledger = Ledger(books())
    before = ledger.spec()
    for disk in ("fast", "slow"):
        ledger.app = books(nodeSelector={"disk": disk})
        ledger.prepare(OperationType.RESIZE)
    assert back(ledger) == before


def test_the_way_back_is_open_until_the_primary_runs_the_new_version() -> None:
    ledger = Ledger(books())
    assert ledger.deployed.base_version == "1"
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    assert (ledger.deployed.runtime_version, ledger.deployed.base_version) == ("2", "1")
    writable(ledger, "1")
    assert ledger.deployed.base_version == "1", "the role went to a node that was not upgraded yet"
    writable(ledger, "2")
    assert ledger.deployed.base_version == "2"
    ledger.prepare(OperationType.UPGRADE)  # it begins again, and is still final
    assert ledger.deployed.base_version == "2"
    ledger.state = replace(ledger.state, deployed=edits.stayed_writable(ledger.state.deployed, "1"))
    assert ledger.deployed.base_version == "1", "the role did not go there after all"


def test_an_upgrade_that_overtakes_one_without_a_way_back_goes_back_to_where_that_had_come() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    writable(ledger, "2")
    of_second = ledger.spec()
    ledger.app = books(version="3")
    ledger.prepare(OperationType.UPGRADE)
    assert (ledger.deployed.runtime_version, ledger.deployed.base_version) == ("3", "2")
    ledger.prepare(OperationType.UPGRADE)  # once more
    assert (back(ledger), edits.restored(ledger.state).runtime_version) == (of_second, "2")


def test_between_two_groups_the_app_is_of_the_version_that_it_comes_from() -> None:
    """A worker dies when one Group is recorded and another not: what follows goes by the former version, and the
    Upgrade that begins again ends as the one that was not interrupted."""
    ledger = Ledger(books())
    before = ledger.state
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    whole = ledger.state
    ledger.state = before.with_group(GROUP, whole.groups[GROUP])
    assert (ledger.state.runtime_version, ledger.state.rolled_from) == ("1", "1")
    assert [str(part.operation) for part in ledger.pending()] == ["Upgrade"]
    ledger.prepare(OperationType.UPGRADE)
    assert ledger.state.groups == whole.groups


def test_an_abort_between_two_groups_is_completed_by_its_repeat() -> None:
    ledger = Ledger(books())
    before = ledger.state
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    half = ledger.state.with_group(GROUP, before.groups[GROUP])
    assert half.rolled_from == "1"
    assert edits.restored(half).groups == edits.restored(ledger.state).groups


def test_without_an_unfinished_upgrade_there_is_no_way_back() -> None:
    for state in (State(), Ledger(books()).state):
        assert (state.rolled_from, state.final) == ("", False)
        assert edits.restored(state) == edits.settled(state) == state


def test_once_completed_there_is_nothing_to_go_back_to() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.carry_out(OperationType.UPGRADE)
    assert ledger.state.rolled_from == ""
    assert back(ledger) == ledger.spec()


def test_the_version_of_a_former_primary_does_not_close_the_way_back_of_a_later_upgrade() -> None:
    """Where the plugin lets an App go back to a lower version, and up again."""
    ledger = Ledger(books(version="2"))
    writable(ledger, "2")
    for version in ("1", "2"):
        assert not ledger.state.final
        ledger.app = books(version=version)
        ledger.prepare(OperationType.UPGRADE)
        assert not ledger.state.final
        ledger.carry_out(OperationType.UPGRADE)


def test_a_scale_is_nothing_to_go_back_from() -> None:
    ledger = Ledger(books())
    ledger.app = books(replicas=3)
    ledger.prepare(OperationType.SCALE)
    assert ledger.state.rolled_from == ""


def test_of_a_size_that_was_asked_for_only_what_has_grown_stays() -> None:
    ledger = Ledger(books(storage={"size": "1Gi"}))
    former = ledger.spec()
    ledger.app = books(storage={"size": "2Gi"})
    ledger.prepare(OperationType.RESIZE)
    assert back(ledger) == former
    grown = edits.restored(ledger.state, {GROUP}).groups[GROUP]
    assert grown.update is not None
    assert grown.update.storage is not None
    assert (grown.update.storage.size, grown.rolling) == ("2Gi", False)


def test_a_repair_in_mid_upgrade_keeps_what_to_go_back_to() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    noted = ledger.state.groups[GROUP].current
    ledger.carry_out(OperationType.REPAIR)
    assert ledger.state.groups[GROUP].current == noted
    assert ledger.state.rolled_from == "1"


def test_parameters_of_one_component_are_recorded_alone() -> None:
    ledger = Ledger(books())
    before = ledger.state
    ledger.app = app(runtimeVersion="1", components=[{**store(replicas=2)[0], "config": {"threads": 4}}])
    want = ledger.stage(OperationType.RECONFIGURE)
    after = edits.reconfigured(before, want, want.component("store"))
    assert after.components["store"].config["threads"] == 4
    assert after.components["watch"] == before.components["watch"]
    assert after.groups == before.groups


def test_the_first_primary_is_noted_only_when_it_was_chosen() -> None:
    ledger = Ledger(books(), runs=False)
    first = edits.recorded(State(), ledger.whole(), OperationType.DEPLOY)
    assert first.components["store"].bootstrap_node is None
    ledger.carry_out(OperationType.DEPLOY)
    later = edits.recorded(ledger.state, ledger.runs(), OperationType.REPAIR)
    assert later.components["store"].bootstrap_node == NODE
