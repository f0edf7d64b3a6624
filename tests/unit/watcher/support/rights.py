"""What the chart lets watcher and worker do, for the API server in memory: a call that the chart does not allow fails
there as it would on a cluster."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from clients.errors import ForbiddenError
from clients.resources import Resource

_CHART = Path(__file__).parents[4] / "deploy" / "chart" / "templates"


@cache
def _allowed(who: str) -> frozenset[tuple[str, str, str]]:
    """API group, resource (``apps/status`` for a subresource) and verb. ``who``: ``watcher`` or ``worker``."""
    lines = (_CHART / f"rbac-{who}.yaml").read_text().splitlines()
    plain = "\n".join(line for line in lines if "{{" not in line)
    return frozenset(
        (group, resource, verb)
        for document in yaml.safe_load_all(plain)
        for rule in (document or {}).get("rules") or []
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def check(who: str, verb: str, resource: Resource, subresource: str | None = None) -> None:
    """Raises ForbiddenError. Names that a rule is restricted to are not looked at. ``who`` empty: an administrator."""
    if not who:
        return
    group, slash, _ = resource.api_version.partition("/")
    what = resource.plural if subresource is None else f"{resource.plural}/{subresource}"
    if (group if slash else "", what, verb) not in _allowed(who):
        raise ForbiddenError(f"{verb} {what}", 403, "Forbidden", f"the chart does not let the {who} {verb} {what}")
