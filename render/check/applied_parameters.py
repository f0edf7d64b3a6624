"""Whether a node's engine runs with the parameters that its files say, by what is noted on the node's ConfigMap. Pure.

The note has a digest of the dynamic parameters that were given to the engine, one of those that it only reads at its
start, and what the engine answered when it was read back. So three things are told apart: parameters that are yet to
be given, an engine that is yet to be restarted, and a parameter that somebody changed behind the platform's back.
Whether somebody changed it is found by earlier answers, not by the spec: ``256mb`` comes back as ``268435456``. Whether
the engine took what it was given is noted beside them, where the two can be compared
(``render.plugin.parameter_values``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from api.app import Scalar
from api.effective import Effective, noted
from api.meta import Manifest, service_address
from api.reconfigure import ParameterDiffers
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.manifests.deployments import digest
from render.manifests.node import template_context
from render.plugin.parameter_values import differs


def node_parameters(
    desired: DesiredApp, component: DesiredComponent, node: DesiredNode, addresses: Mapping[str, str]
) -> dict[str, Scalar]:
    """The parameters of the node's files, the defaults that follow from the node included. Raises TemplateFailure."""
    context = template_context(desired, component, node, addresses=addresses, bootstrap=None)
    config: dict[str, Scalar] = context["config"]
    return config


def dynamic_of(component: DesiredComponent, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {name: value for name, value in values.items() if component.parameters[name].apply == "dynamic"}


def effective(component: DesiredComponent, values: Mapping[str, Scalar], read_back: Mapping[str, str]) -> Effective:
    dynamic = dynamic_of(component, values)
    restart = {name: value for name, value in values.items() if name not in dynamic}
    answers = {name: read_back.get(_read_name(component, name)) for name in values}
    unlike = {
        name: [_as_written(values[name]), answer]
        for name, answer in answers.items()
        if answer is not None and differs(component.parameters[name], values[name], answer)
    }
    return Effective(digest(dynamic), digest(restart), dict(sorted(read_back.items())), unlike)


def without_restart(component: DesiredComponent, now: Effective, note: Effective) -> Effective:
    """``now`` of an engine that was given its dynamic parameters and not restarted: those that it reads at its start it
    was not given, so it is not said to run otherwise than it was given them. ``note``: what was noted before."""
    if now.restart == note.restart:
        return now
    return replace(now, restart=note.restart, differs=dynamic_differs(component, now))


def dynamic_differs(component: DesiredComponent, note: Effective) -> dict[str, list[str]]:
    return {name: pair for name, pair in note.differs.items() if component.parameters[name].apply == "dynamic"}


def _as_written(value: Scalar) -> str:
    """As in the App's spec."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def runs_with(component: DesiredComponent, note: Effective | None) -> dict[str, str]:
    """By parameter, what the engine answered when it was last set."""
    answers = note.read_back if note is not None else {}
    names = {name: _read_name(component, name) for name in component.parameters}
    return {name: answers[other] for name, other in names.items() if other in answers}


def _read_name(component: DesiredComponent, name: str) -> str:
    return component.parameters[name].read_back or name


def unlike(config_maps: Mapping[str, Manifest]) -> list[ParameterDiffers]:
    """By nodes' ConfigMaps, which engines run with other values than they were given."""
    return [
        ParameterDiffers(node, name, asked, answered)
        for node, each in sorted(config_maps.items())
        if (note := noted(each)) is not None
        for name, (asked, answered) in sorted(note.differs.items())
    ]


def unapplied(desired: DesiredApp, config_maps: Mapping[str, Manifest], services: Mapping[str, Manifest]) -> list[str]:
    """A sentence for each node whose engine was not given the parameters that its files say."""
    return [
        f"{name} does not run with the parameters of its files yet"
        for name, note, wants in compared(desired, config_maps, services)
        if note.dynamic != wants.dynamic
    ]


def unstarted(desired: DesiredApp, config_maps: Mapping[str, Manifest], services: Mapping[str, Manifest]) -> list[str]:
    """Names of nodes whose engine runs with parameters, read at its start, that its files do not say any more."""
    return [name for name, note, wants in compared(desired, config_maps, services) if note.restart != wants.restart]


def compared(
    desired: DesiredApp, config_maps: Mapping[str, Manifest], services: Mapping[str, Manifest]
) -> Iterator[tuple[str, Effective, Effective]]:
    """Each node of which something is noted: what is noted, and what its files say."""
    addresses = {name: address for name, each in services.items() if (address := service_address(each))}
    if any(node.name not in addresses for node in desired.nodes):
        return
    for component in desired.components:
        for node in component.nodes:
            note = noted(config_maps.get(node.name))
            if note is not None:
                values = node_parameters(desired, component, node, addresses)
                yield node.name, note, effective(component, values, {})
