"""What the planner is told of an App."""

from __future__ import annotations

from typing import Any

from activities.look.load import _refused, _snapshot, fewer_nodes
from api.app import App
from api.operations import OperationType
from clients.tls.certificates import create_authority
from render.plugin.problems import Problem
from tests.unit.activities.support.cluster import World
from tests.unit.activities.support.ledger import Ledger
from tests.unit.render.support import app, manifest, store


def books(replicas: int, **group: Any) -> App:
    return app(components=store(replicas=replicas, **group))


def deploying(of: App, *ready: str) -> Ledger:
    """A first Deploy that has come so far that the components ``ready`` are."""
    ledger = Ledger(of, runs=False)
    want = ledger.prepare(OperationType.DEPLOY)
    for name in ready:
        ledger.note_component(want.component(name))
    return ledger


def refused(ledger: Ledger) -> dict[str, str]:
    return {problem.path: problem.message for problem in fewer_nodes(ledger.app, ledger.whole(), ledger.live)}


def test_during_the_first_deploy_a_node_that_is_ready_may_hold_data() -> None:
    ledger = deploying(books(4), "store")
    ledger.app = books(2)
    assert refused(ledger) == {
        "spec.components[0].groups[0].replicas": (
            "books-store-g-2, books-store-g-3 are ready and may hold data; "
            "keep them until the first Deploy has completed"
        )
    }


def test_a_node_that_never_came_up_may_be_taken_back() -> None:
    """30 was meant to be 3."""
    ledger = deploying(books(30))
    ledger.app = books(3)
    assert refused(ledger) == {}


def test_nor_is_a_ready_node_replaced_by_reserving_its_ordinal() -> None:
    ledger = deploying(books(2), "store")
    ledger.app = books(2, reserveOrdinals=[0])
    (message,) = refused(ledger).values()
    assert message.startswith("books-store-g-0 is ready")


def test_more_nodes_and_another_component_are_no_matter() -> None:
    ledger = deploying(books(2), "store")
    ledger.app = app(components=[*store(replicas=3), {"name": "watch", "groups": [{"name": "default", "replicas": 3}]}])
    assert refused(ledger) == {}


def test_of_nodes_that_are_only_begun_none_is_ready() -> None:
    ledger = deploying(books(4))
    ledger.app = books(2)
    assert refused(ledger) == {}


def test_of_many_problems_the_first_are_told_and_how_many_more() -> None:
    problems = [Problem(f"spec.x{n}", "is wrong") for n in range(11)]
    snapshot = _refused(manifest(), "InvalidSpec", problems)
    assert snapshot.refusal.startswith("spec.x0")
    assert snapshot.refusal.endswith("and 3 more problems")
    assert (snapshot.exists, snapshot.refusal_reason, snapshot.spec_hash) == (True, "InvalidSpec", "")


def test_a_pause_counts_also_where_the_rest_cannot_be_read() -> None:
    spoiled = manifest()
    spoiled["spec"] = {"paused": True, "plugin": 5}
    assert _refused(spoiled, "InvalidSpec", [Problem("spec.plugin", "no")]).paused


def test_what_the_status_says_already_is_known() -> None:
    """So that it is not written again at every look."""
    told = manifest()
    told["status"] = {
        "progress": {"observedGeneration": 3, "phase": "Waiting", "message": "Upgrade was aborted"},
        "conditions": [{"type": "Accepted", "reason": "Accepted"}],
    }
    snapshot = _snapshot(told, App.model_validate(manifest()))
    assert (snapshot.told_generation, snapshot.told) == (3, "Waiting|Accepted|Upgrade was aborted")
    assert _snapshot(manifest(), App.model_validate(manifest())).told_generation == 0


async def test_an_app_whose_agents_have_a_certificate_of_another_authority_gets_one_of_ours() -> None:
    """After the platform's was made anew nobody reached them until the next operation."""
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    assert (await world.load()).drift == []
    world.platform.authority = create_authority("another")
    drift = (await world.load()).drift
    assert drift == ["Secret books-agent-tls: the agents' certificate is of another authority than the platform's"]
    await world.carry_out(OperationType.REPAIR)
    assert (await world.load()).drift == []
