"""What plugin.yaml names twice, never uses, or misspells where no schema can tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from render.plugin.bundle import DEFINITION, PluginBundle
from render.plugin.problems import Problem, in_file, listing, near

_At = tuple[str | int, ...]


def naming_problems(bundle: PluginBundle) -> Iterator[Problem]:
    text = bundle.files[DEFINITION]
    for at, message in (*_twice(bundle), *_unknown(bundle), *_unwritten(bundle)):
        yield in_file(DEFINITION, text, ("spec", *at), message)
    for number, credential in enumerate(bundle.plugin.spec.credentials):
        if not _asked(bundle, credential.name):
            message = f"no template, tool or client uses the password {credential.name!r}; use it, or remove it"
            yield in_file(DEFINITION, text, ("spec", "credentials", number), message, warns=True)


def _twice(bundle: PluginBundle) -> Iterator[tuple[_At, str]]:
    spec = bundle.plugin.spec
    lists: list[tuple[_At, str, list[str]]] = [
        (("runtimeVersions",), "version", [each.version for each in spec.runtime_versions]),
        (("topologies",), "name", [each.name for each in spec.topologies]),
        (("components",), "name", [each.name for each in spec.components]),
        (("credentials",), "name", [each.name for each in spec.credentials]),
    ]
    for number, topology in enumerate(spec.topologies):
        lists.append((("topologies", number, "components"), "name", [each.name for each in topology.components]))
    for number, component in enumerate(spec.components):
        lists.append((("components", number, "roles"), "name", [each.name for each in component.roles]))
    for at, field, names in lists:
        for number, name in enumerate(names):
            if name in names[:number]:
                yield (*at, number, field), f"{name!r} stands twice; remove one, or give it another name"


def _unknown(bundle: PluginBundle) -> Iterator[tuple[_At, str]]:
    spec = bundle.plugin.spec
    topologies = [each.name for each in spec.topologies]
    for number, credential in enumerate(spec.credentials):
        for position, unwritable in enumerate(credential.unwritable):
            for name in unwritable.topologies:
                if name not in topologies:
                    at = ("credentials", number, "unwritable", position, "topologies")
                    yield at, f"there is no topology {name!r}{near(name, topologies) or _there(topologies)}"
    used = {component.name for topology in spec.topologies for component in topology.components}
    for number, definition in enumerate(spec.components):
        if definition.name not in used:
            message = f"no topology has the component {definition.name!r}{near(definition.name, used) or _there(used)}"
            yield ("components", number, "name"), message


def _unwritten(bundle: PluginBundle) -> Iterator[tuple[_At, str]]:
    """A file that the engine is started with, and that is written under nearly that name. Of another kind, such as a
    pid file, the engine may write itself."""
    for number, component in enumerate(bundle.plugin.spec.components):
        paths = [file.path for file in component.files]
        for position, word in enumerate(component.process.command):
            alike = [path for path in paths if PurePath(path).suffix == PurePath(word).suffix]
            hint = near(word, alike) if word.startswith("/middleware/") and word not in paths else ""
            if hint and word.rpartition("/")[2] not in [path.rpartition("/")[2] for path in paths]:
                yield ("components", number, "process", "command", position), f"nothing writes {word}{hint}"


def _there(names: Iterable[str]) -> str:
    return f"; there are {listing(names)}"


def _asked(bundle: PluginBundle, name: str) -> bool:
    asks = re.compile(rf"\b(?:secret|alsoValid)(?:[.]{re.escape(name)}\b|\[(?!['\"])|\[['\"]{re.escape(name)}['\"])")
    return any(asks.search(text) for text in bundle.files.values())
