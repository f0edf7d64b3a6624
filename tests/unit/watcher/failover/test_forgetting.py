"""A watcher lives for months: of an App that was deleted it keeps nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from prometheus_client import generate_latest

from tests.unit.watcher.support.fakes import eventually
from tests.unit.watcher.support.installation import Installation
from tests.unit.watcher.support.objects import APP, NAMESPACE
from watcher import metrics
from watcher.failover.suspicions import Suspicions


def mentions(part: object) -> list[str]:
    """Where the part of the watcher, or what it is made of, has the App's name, a node's or a Pod's."""
    return sorted(set(_mentions(part, type(part).__name__, set())))


def _mentions(thing: Any, where: str, seen: set[int]) -> Iterator[str]:
    if isinstance(thing, str):
        if thing == APP or thing.removeprefix("uid-").startswith(f"{APP}-"):
            yield where
    elif id(thing) in seen:
        return
    elif isinstance(thing, Mapping):
        seen.add(id(thing))
        for key, value in thing.items():
            yield from _mentions(key, where, seen)
            yield from _mentions(value, where, seen)
    elif isinstance(thing, Collection):
        seen.add(id(thing))
        for each in thing:
            yield from _mentions(each, where, seen)
    elif type(thing).__module__.startswith("watcher.") and not type(thing).__module__.endswith(".caches"):
        seen.add(id(thing))
        for field, value in vars(thing).items():
            yield from _mentions(value, f"{where}.{field}", seen)


def metered() -> list[str]:
    return [line for line in generate_latest().decode().splitlines() if f'app="{APP}",namespace="{NAMESPACE}"' in line]


@pytest.fixture(autouse=True)
def _no_metrics_of_other_tests() -> None:
    for metric in (metrics.NODES, metrics.ROLES, metrics.ROLE_CHANGES):
        metric.clear()


async def test_of_a_deleted_app_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Installation(monkeypatch)
    async with made.watching():
        await made.settled()
        await eventually(lambda: all(mentions(part) for part in made.parts if not isinstance(part, Suspicions)))
        assert metered()
        await delete(made)
        await eventually(lambda: not [where for part in made.parts for where in mentions(part)])
        assert not metered()


async def delete(made: Installation) -> None:
    """As the collector does: the App first, then what it owns."""
    app = made.kubernetes.get_now("App", NAMESPACE, APP)
    made.kubernetes.remove(app)
    for (kind, _, _), manifest in list(made.kubernetes.objects.items()):
        if kind in ("Component", "Group", "Pod", "Service"):
            made.kubernetes.remove(manifest)
