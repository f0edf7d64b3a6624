"""``mw status APP``: what it says, and says once."""

from __future__ import annotations

import io

from rich.console import Console

from cli.status import Loaded, tree

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
