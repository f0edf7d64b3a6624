"""``mw plugin render``: what an example App of a plugin would be made of, or what another version makes different."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cli.authoring.example import example, loaded, node_config
from cli.rendering import Change, bare, dump, readable
from clients.resources import Manifest
from render.desired.app import DesiredApp
from render.manifests.deployments import deployment_manifest
from render.manifests.lists import budget_manifests, record_manifests, service_manifests
from render.manifests.objects import node_volume_claim


def objects(folder: Path, topology: str | None, runtime_version: str | None) -> list[Manifest]:
    """In the order in which a Deploy writes them. Raises CommandError."""
    of = example(loaded(folder), topology=topology, runtime_version=runtime_version)
    return [bare(each) for each in _manifests(of)]


def differences(of: list[Manifest], against: list[Manifest], sides: tuple[str, str]) -> list[Change]:
    """From ``against`` to ``of``; ``sides`` is what the two are called, in this order."""
    before = {(each["kind"], each["metadata"]["name"]): each for each in against}
    found = []
    for after in of:
        key = (after["kind"], after["metadata"]["name"])
        present = before.pop(key, None)
        what = "add" if present is None else "none" if present == after else "change"
        found.append(Change(what, *key, present, after, sides))
    return [*found, *(Change("remove", *key, each, None, sides) for key, each in before.items())]


def document(manifests: list[Manifest]) -> str:
    """With the files of nodes spread out, for people to read."""
    return "---\n".join(dump(each) for each in readable_objects(manifests))


def readable_objects(manifests: list[Manifest]) -> list[Manifest]:
    """With the files of nodes spread out."""
    return [readable(each) for each in manifests]


def _manifests(of: DesiredApp) -> Iterator[Manifest]:
    yield from record_manifests(of)
    yield from service_manifests(of)
    yield from budget_manifests(of, "policy/v1")
    for component in of.components:
        for node in component.nodes:
            group = component.group(node.group)
            yield node_config(of, component, node, first=True)
            claim = node_volume_claim(of, component, group, node)
            if claim is not None:
                yield claim
            yield deployment_manifest(of, component, group, node)
