"""What a plugin warns of in an App's parameters: they are carried out as they are, and what that may cost is said.

In the condition ``ParametersSafe``, for as long as they are so, and in an Event when they become so.
"""

from __future__ import annotations

from activities.cluster.events import tell
from activities.cluster.status import ConditionChange
from activities.dependencies import Platform
from api.steps import Target
from clients.resources import Manifest
from render.check.parameter_checks import warnings
from render.desired.app import DesiredApp

CONDITION = "ParametersSafe"
_GOOD, _BAD = "NothingToWarnOf", "ParameterWarning"


async def parameters_safe(platform: Platform, target: Target, app: Manifest, desired: DesiredApp) -> ConditionChange:
    """The condition as it should be; the Event is written where it says something new. ``app``: as it is now."""
    said = "; ".join(
        f"{component.name}: {found.parameter}: {found.message}"
        for component in desired.components
        for found in warnings(desired, component)
    )
    if not said:
        return ConditionChange(True, _GOOD)
    conditions = (app.get("status") or {}).get("conditions") or []
    if not any(each.get("type") == CONDITION and each.get("message") == said for each in conditions):
        await tell(platform, target, _BAD, said, warning=True)
    return ConditionChange(False, _BAD, said)
