"""On whose behalf an activity works, for whoever stands around all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.steps import OfOperation, Target


def target_among(arguments: Sequence[Any]) -> Target | None:
    """None: it is no step of an operation, but a look at the App, or about a ticket."""
    argument = arguments[0] if arguments else None
    return argument.target if isinstance(argument, OfOperation) else None
