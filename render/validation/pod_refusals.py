"""What an API server says against a node's Pod, as Problems of the App: by the fields that a person wrote. Pure.

The server names fields of the Pod, which nobody wrote. Which App's field it is follows from how the Pod is made
(``render.manifests.pod``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from api.names import MIDDLEWARE_CONTAINER
from render.plugin.problems import Problem

_SCHEDULING = ("affinity", "tolerations", "topologySpreadConstraints", "nodeSelector")
"""Fields of a group that become the Pod's under the same name."""
_CONTAINERS = ("resources", "agentResources")
"""Of a group, in the order of the Pod's containers: the engine's, agent 2's."""
_FIELD = re.compile(r"\bspec\.[A-Za-z]\w*(?:\[\d+\])?(?:\.[A-Za-z]\w*(?:\[[^\]\s]+\])*)*")
_WITHOUT_AMOUNT = re.compile(r"(?:must specify|;) ([a-z][\w./,-]*)(?: for: ([\w,-]+))?")


def refused_pod(group: str, causes: Sequence[tuple[str, str]], message: str) -> list[Problem]:
    """``group``: where the App's group stands. ``causes``: the server's fields and what is wrong with each, as far as
    it names any; ``message``: its sentence."""
    if causes:
        return [Problem(app_field(group, field), said) for field, said in causes]
    return [Problem(app_field(group, _named(message)), message)]


def forbidden_pod(group: str, message: str) -> list[Problem]:
    """For a quota, a LimitRange or a policy of the namespace: it says what it wants, not of which field."""
    fields = _without_amount(message)
    what = f"write {', '.join(fields)}" if fields else "resources are the engine's, agentResources those of the agents"
    return [Problem(f"{group}.resources", f"the namespace does not admit such a Pod: {message}; {what}")]


class Forbidden(StrEnum):
    """Why a namespace does not admit a Pod."""

    NO_ROOM = "no room"
    """A quota is used up, which passes when other Pods go."""
    LACKS_AMOUNTS = "lacks amounts"
    """The App has to write an amount: without it no Pod will ever be admitted."""
    OTHER = "other"


def why_forbidden(message: str) -> Forbidden:
    """By the API server's sentence: ``reason`` is Forbidden for each of them, and ``details`` name the Pod alone. A
    sentence that is not known is OTHER, of which the App is told only where its own part is what is not admitted."""
    if "exceeded quota: " in message:
        return Forbidden.NO_ROOM
    return Forbidden.LACKS_AMOUNTS if _without_amount(message) else Forbidden.OTHER


def app_field(group: str, field: str) -> str:
    """The App's field for one of the Pod's; the group where the App has none."""
    path = re.sub(r"\[([a-z][\w./-]*)\]", r".\1", field)
    name, _, rest = path.removeprefix("spec.").partition(".")
    if re.sub(r"\[\d+\]$", "", name) in _SCHEDULING:
        return f"{group}.{name}" + (f".{rest}" if rest else "")
    container = re.fullmatch(r"(initContainers|containers)\[(\d+)\]", name)
    if container is not None and rest.startswith("resources"):
        own = container.group(1) == "containers" and container.group(2) == "0"
        return f"{group}.{_CONTAINERS[0 if own else 1]}{rest.removeprefix('resources')}"
    return group


def _named(message: str) -> str:
    found = _FIELD.search(message)
    return found.group() if found is not None else ""


def _without_amount(message: str) -> list[str]:
    """``must specify limits.cpu for: install,middleware; requests.memory for: middleware``, by the App's fields. Before
    Kubernetes 1.23 the containers are not named."""
    fields: dict[str, None] = {}
    if "must specify" not in message:
        return []
    for amounts, containers in _WITHOUT_AMOUNT.findall(message):
        parts: tuple[str, ...] = _CONTAINERS
        if containers:
            named = {_CONTAINERS[0 if each == MIDDLEWARE_CONTAINER else 1] for each in containers.split(",")}
            parts = tuple(part for part in _CONTAINERS if part in named)
        for name in amounts.split(","):
            amount = name if name.startswith(("requests.", "limits.")) else f"requests.{name}"
            fields |= dict.fromkeys(f"{part}.{amount}" for part in parts)
    return list(fields)
