"""Parameters of which the primary must never have more (or less) than its replicas, and which nodes they go to first.

PostgreSQL refuses to replay with a standby whose ``max_connections`` is below its primary's, for example. So what rises
is given to the replicas first, what falls to the primary. One node gets all its changes at once; so of a change that
wants both orders, one half is carried out first, and the rest is the next operation's. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from api.app import Scalar
from api.plugin import Parameter
from render.plugin.parameter_values import number_of

Parameters = Mapping[str, Parameter]


class Turn(IntEnum):
    """When a node gets its parameters, where their order matters."""

    BEFORE_PRIMARY = 0
    PRIMARY = 1
    AFTER_PRIMARY = 2


def turn_of_replica(parameters: Parameters, has: Mapping[str, object], wants: Mapping[str, Scalar]) -> Turn | None:
    """``has``: what it runs with, of each parameter that is known. None where the order does not matter to it."""
    turns = {
        turn
        for name, parameter in parameters.items()
        if name in has and (turn := _turn(parameter, has[name], wants.get(name))) is not None
    }
    return min(turns, default=None)


def in_order(parameters: Parameters, before: Mapping[str, Scalar], after: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """``after`` as far as it can be carried out in one go: where some replicas' values had to come before the primary's
    and others after it, the latter stay as they were ``before``."""
    turns = {
        name: _turn(parameter, before[name], after.get(name))
        for name, parameter in parameters.items()
        if name in before
    }
    if not {Turn.BEFORE_PRIMARY, Turn.AFTER_PRIMARY} <= set(turns.values()):
        return dict(after)
    return {name: before[name] if turns.get(name) is Turn.AFTER_PRIMARY else value for name, value in after.items()}


def _turn(parameter: Parameter, has: object, wants: Scalar | None) -> Turn | None:
    """When a replica gets this one."""
    former, later = number_of(has), number_of(wants)
    if parameter.order is None or former is None or later is None or former == later:
        return None
    first = parameter.order.raise_ if later > former else parameter.order.lower
    return Turn.BEFORE_PRIMARY if first == "replicasFirst" else Turn.AFTER_PRIMARY
