"""A budget too many holds up a drain for ever, so those that do not fit any more are taken away."""

from __future__ import annotations

from activities.app.disruption_budgets import surplus_budgets
from clients.resources import Manifest
from render.manifests.budgets import disruption_budgets
from tests.unit.render.manifests.test_placement import movable
from tests.unit.render.support import app, store, wanted


def budgets(replicas: int) -> list[Manifest]:
    of = wanted(app(components=store(replicas=replicas)), bundle=movable())
    return disruption_budgets(of, of.component("store"))


def surplus(live: list[Manifest], wants: list[Manifest], uid: str = "uid-1") -> list[str]:
    names = {each["metadata"]["name"] for each in wants}
    return [each["metadata"]["name"] for each in surplus_budgets(live, names, uid)]


def test_a_component_that_has_one_node_left_keeps_none() -> None:
    assert surplus(budgets(2), budgets(1)) == ["books-store", "books-store.writable"]
    assert surplus(budgets(3), budgets(2)) == []


def test_what_a_person_or_an_earlier_app_of_the_name_made_stays() -> None:
    (own, *_) = budgets(2)
    own["metadata"] = {**own["metadata"], "ownerReferences": []}
    assert surplus([own], []) == []
    assert surplus(budgets(2), [], uid="uid-2") == []
