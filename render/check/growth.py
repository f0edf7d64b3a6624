"""Which volumes are still to grow to the size that their group has, by what their claims say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from api.meta import Manifest, parse_quantity
from render.desired.app import DesiredApp

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Ungrown:
    """A claim that is to have ``size``."""

    claim: Manifest
    size: str

    @property
    def asks(self) -> str:
        return str(self.claim["spec"]["resources"]["requests"]["storage"])

    @property
    def asked_for(self) -> bool:
        return parse_quantity(self.asks) >= parse_quantity(self.size)

    @property
    def asks_otherwise(self) -> bool:
        """Also more than is wanted by now, and has not got it."""
        return parse_quantity(self.asks) != parse_quantity(self.size)


def has_grown(claim: Manifest, size: str) -> bool:
    """A claim that is not bound yet gets a volume of its size when it is."""
    capacity = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return capacity is None or parse_quantity(capacity) >= parse_quantity(size)


def class_of(claim: Manifest) -> str:
    return str(claim["spec"].get("storageClassName") or "")


def growing(desired: DesiredApp, claims: Iterable[Manifest]) -> dict[str, Ungrown]:
    """By node, volumes of less than their group's size: not asked for more yet, or not given it yet."""
    sizes = {
        node.name: group.spec.storage.size
        for component in desired.components
        for group in component.groups
        if group.spec.storage is not None
        for node in group.nodes
    }
    named = {name: Ungrown(claim, sizes[name]) for claim in claims if (name := claim["metadata"]["name"]) in sizes}
    return {name: each for name, each in named.items() if not each.asked_for or not has_grown(each.claim, each.size)}


def expandable(classes: Iterable[Manifest]) -> frozenset[str]:
    """Names of the StorageClasses whose volumes can grow."""
    return frozenset(str(each["metadata"]["name"]) for each in classes if each.get("allowVolumeExpansion") is True)


def default_class(classes: Iterable[Manifest]) -> str:
    """The name of the cluster's default StorageClass; empty where it has none."""
    default = [each["metadata"]["name"] for each in classes if is_default(each)]
    return str(min(default, default=""))


def is_default(storage_class: Manifest) -> bool:
    annotations: Mapping[str, str] = storage_class["metadata"].get("annotations") or {}
    return annotations.get(_DEFAULT) == "true"


def depends_on_classes(found: Mapping[str, Ungrown]) -> bool:
    """Whether ``able_to`` has to know what the StorageClasses can: of a claim that has asked already it does not."""
    return not all(each.asked_for for each in found.values())


def able_to(found: Mapping[str, Ungrown], classes: Collection[str]) -> dict[str, Ungrown]:
    """But for those that cannot grow: a kept volume that was smaller from the beginning is used as it is. ``classes``:
    names of the StorageClasses whose volumes can."""
    return {name: each for name, each in found.items() if each.asked_for or class_of(each.claim) in classes}
