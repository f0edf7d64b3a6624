"""The operations that run meanwhile, begun by the App's operator: the matrix's, and a change of its passwords."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.chaos.edits.apps import Shape
from tests.chaos.operations import OPERATIONS as OF_THE_MATRIX
from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.platform import Temporal

Begin = Callable[[RunningApp, Temporal], None]
_OVERLAP = 5


def _rotate(app: RunningApp, temporal: Temporal) -> None:
    request = json.dumps({"namespace": app.namespace, "app": app.name, "overlap": _OVERLAP})
    temporal.run("workflow", "start", "--task-queue", "middleware", "--type", "RotateCredentials", "--input", request)


def _scale(app: RunningApp, temporal: Temporal) -> None:
    """Up by a node, or down again. Those without volumes never have fewer than three."""

    def edit(spec: dict[str, object]) -> None:
        group = component(spec)["groups"][0]
        fewest = 2 if group.get("storage") else 3
        group["replicas"] = fewest + 1 if group["replicas"] == fewest else fewest

    app.change(edit)


OPERATIONS: dict[str, Begin] = {
    name: OF_THE_MATRIX[name].begin
    for name in ("reconfigure", "reconfigure-restarting", "resize", "restart", "switchover", "plugin", "upgrade")
}
OPERATIONS |= {"scale": _scale, "rotate": _rotate}
_NEED_REPLICAS = frozenset({"switchover", "scale"})


def fits(name: str, shape: Shape) -> bool:
    """Whether an App of that shape has such an operation."""
    return shape.data_nodes > 1 or name not in _NEED_REPLICAS
