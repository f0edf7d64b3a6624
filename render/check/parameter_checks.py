"""The checks that a plugin declares of its parameters: what must hold between one and the memory, the number of nodes
or another parameter. Pure.

A value that no schema can refuse by itself would else be found by the engine, which is killed for want of memory, or
refuses every write: after the App has been changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.node import stand_in_addresses, template_context


@dataclass(frozen=True)
class FailedCheck:
    """``group``: of the node for which it does not hold. ``message``: the plugin's sentence."""

    parameter: str
    group: str
    message: str


def failed_checks(wanted: DesiredApp, component: DesiredComponent) -> Iterator[FailedCheck]:
    """Why the App is refused. One for each parameter at most, of each group's first node: the nodes of a group have the
    same size. Raises TemplateFailure for a check that cannot be looked at."""
    return _failed(wanted, component, warns=False)


def warnings(wanted: DesiredApp, component: DesiredComponent) -> Iterator[FailedCheck]:
    """What is said of the App, and refused is nothing. As ``failed_checks``."""
    return _failed(wanted, component, warns=True)


def _failed(wanted: DesiredApp, component: DesiredComponent, *, warns: bool) -> Iterator[FailedCheck]:
    counting = {name: [check for check in p.checks if check.warns is warns] for name, p in component.parameters.items()}
    checked = {name: checks for name, checks in counting.items() if checks}
    if not checked:
        return
    templates, said = wanted.bundle.templates, set[str]()
    for group in component.groups:
        if not group.nodes:
            continue
        context = template_context(
            wanted, component, group.nodes[0], addresses=stand_in_addresses(wanted), bootstrap=None
        )
        for name, checks in checked.items():
            if name in said or name not in context["config"]:
                continue
            seen = {**context, "value": context["config"][name]}
            file, line = wanted.bundle.place_of(component.definition, name)
            for check in checks:
                if not templates.evaluate(check.that, file, line, seen):
                    said.add(name)
                    yield FailedCheck(name, group.name, templates.phrase(check.message, file, line, seen))
                    break
