"""``mw status APP``: what it says, and says once."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.status import Loaded, table, tree

REFUSED = "components.server.nodes: 2 is less than 3"


def shown(message: str) -> str:
    condition = {"type": "Ready", "status": "False", "reason": "InvalidSpec", "message": REFUSED}
    app = {
        "metadata": {"namespace": "demo", "name": "x"},
        "spec": {"plugin": {"name": "redis", "version": "1.1.0"}},
        "status": {"phase": "Refused", "message": message, "conditions": [condition]},
    }
    out = io.StringIO()
    Console(file=out, width=200).print(tree(Loaded(app)))
    return out.getvalue()


def test_a_refusal_is_told_once() -> None:
    assert shown(REFUSED).count(REFUSED) == 1


def test_what_the_reason_does_not_say_is_told_beside_it() -> None:
    assert "something else" in shown("something else")


def listed(width: int, *, ready: bool = True) -> str:
    message = "no node holds the role master; 1 of 3 nodes are ready; not ready: sessions-of-the-shop-redis-server-1"
    condition = {"type": "Ready", "status": str(ready), "reason": "RoleVacant", "message": message}
    name = "production-redis"
    primary = f"{name}-redis-server-redis-group-0"
    app = {
        "metadata": {"namespace": "demo", "name": name},
        "spec": {"plugin": {"name": "redis", "version": "1.0.0"}},
        "status": {
            "phase": "Degraded", "ready": "4/6", "primary": primary, "runtimeVersion": "7.0", "conditions": [condition],
        },
    }  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=width).print(table([Loaded(app)]))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("ready", [True, False])
def test_a_narrow_terminal_still_says_which_app_and_how_it_is(width: int, ready: bool) -> None:
    text = listed(width, ready=ready)
    for part in ("READY", "PHASE", "4/6", "Degraded"):
        assert part in text
    assert "production-redis" in text or width == 40
    assert "production-redis-redis-server" not in text, "the primary gives way first"


def test_a_wide_terminal_has_all_columns() -> None:
    assert "production-redis-redis-server-redis-group-0" in listed(160)


def test_each_endpoint_says_who_answers_there() -> None:
    endpoints = [
        {"name": "a", "address": "x-server-master.demo.svc:1", "component": "server", "serves": "Writes"},
        {"name": "b", "address": "x-sentinel.demo.svc:2", "component": "sentinel", "serves": "AnyNode"},
    ]
    app = {
        "metadata": {"namespace": "demo", "name": "x"},
        "spec": {"plugin": {"name": "redis", "version": "1.1.0"}},
        "status": {"endpoints": endpoints},
    }
    out = io.StringIO()
    Console(file=out, width=200).print(tree(Loaded(app)))
    assert "x-server-master.demo.svc:1  writes to server" in out.getvalue()
    assert "x-sentinel.demo.svc:2  any node of sentinel" in out.getvalue()
