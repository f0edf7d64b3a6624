"""A plugin that extends another: another version of it, or a flavour. ``extends: redis`` names a folder beside its own.

It is put together when the folder is read, so what is installed is whole and names nobody: a version's digest is that
of all its content. Its own files stand in the place of the other's files of the same path. ``plugin.yaml`` is merged:
mappings field by field, lists of things that have a name (or version, or path) by that, and anything else is replaced;
``null`` takes a field away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

FIELD = "extends"
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEYS = ("name", "version", "path", "template")
"""By which items of a list are the same thing, the first that all of them have."""


class ExtensionError(Exception):
    """A sentence: what is wrong with ``extends``."""


def extended_folder(definition: Any) -> str | None:
    """Name of the folder that a ``plugin.yaml`` extends. Raises ExtensionError."""
    given = definition.get(FIELD) if isinstance(definition, Mapping) else None
    if given is None:
        return None
    if not isinstance(given, str) or _FOLDER.fullmatch(given) is None:
        raise ExtensionError(f"{given!r} is no name of a folder; write that of a plugin's folder beside this one")
    return given


def merged_definition(base: Any, own: Any, folder: str) -> str:
    """The text of the whole ``plugin.yaml``."""
    whole = merged(base, {name: value for name, value in own.items() if name != FIELD})
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=110)
    return f"# Put together from the folder {folder} and what extends it.\n{text}"


def put_together(below: Mapping[str, str], own: Mapping[str, str], definition: str, file: str) -> dict[str, str]:
    """The files of both, ``definition`` as ``file``; of those below without what nothing names any more."""
    whole = {**below, **own, file: definition}

    def named(path: str) -> bool:
        return any(path in text for other, text in whole.items() if other != path)

    return {path: text for path, text in whole.items() if path in own or path == file or named(path)}


def merged(base: Any, own: Any) -> Any:
    """``own`` over ``base``, as the module's description says. Pure."""
    if isinstance(base, Mapping) and isinstance(own, Mapping):
        found = {name: merged(base[name], own[name]) if name in own else value for name, value in base.items()}
        found |= {name: value for name, value in own.items() if name not in base}
        return {name: value for name, value in found.items() if value is not None}
    if isinstance(base, list) and isinstance(own, list) and (key := _key(base + own)) is not None:
        mine = {item[key]: item for item in own}
        kept = [merged(item, mine.pop(item[key])) if item[key] in mine else item for item in base]
        return [*kept, *mine.values()]
    return own


def _key(items: list[Any]) -> str | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in _KEYS if all(key in item for item in items)), None)
