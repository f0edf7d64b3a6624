"""What an API server says against a node's Pod, as Problems of the App: by the fields that a person wrote. Pure.

The server names fields of the Pod, which nobody wrote. Which App's field it is follows from how the Pod is made
(``render.manifests.pod``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from render.plugin.problems import Problem

_SCHEDULING = ("affinity", "tolerations", "topologySpreadConstraints", "nodeSelector")
"""Fields of a group that become the Pod's under the same name."""
_CONTAINERS = ("resources", "agentResources")
"""Of a group, in the order of the Pod's containers: the engine's, agent 2's."""
_FIELD = re.compile(r"\bspec\.[A-Za-z]\w*(?:\[\d+\])?(?:\.[A-Za-z]\w*(?:\[[^\]\s]+\])*)*")
_WITHOUT_AMOUNT = re.compile(r"must specify ([\w./,-]+)")


def refused_pod(group: str, causes: Sequence[tuple[str, str]], message: str) -> list[Problem]:
    """``group``: where the App's group stands. ``causes``: the server's fields and what is wrong with each, as far as
    it names any; ``message``: its sentence."""
    if causes:
        return [Problem(app_field(group, field), said) for field, said in causes]
    return [Problem(app_field(group, _named(message)), message)]


def forbidden_pod(group: str, message: str) -> list[Problem]:
    """For a quota, a LimitRange or a policy of the namespace: it says what it wants, not of which field."""
    match = _WITHOUT_AMOUNT.search(message)
    amounts = _amounts(match.group(1).rstrip(".").split(",")) if match is not None else ()
    fields = [f"{part}.{amount}" for amount in amounts for part in _CONTAINERS]
    what = f"write {', '.join(fields)}" if fields else "resources are the engine's, agentResources those of the agents"
    return [Problem(f"{group}.resources", f"the namespace does not admit such a Pod: {message}; {what}")]


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


def _amounts(names: Iterable[str]) -> list[str]:
    """As a container has them: a quota on ``cpu`` is one on requests."""
    return [name if name.startswith(("requests.", "limits.")) else f"requests.{name}" for name in names]
