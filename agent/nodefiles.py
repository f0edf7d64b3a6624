"""Writes the files that a node document names, with ``${}`` filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.documents import Bundle
from agent.record import Record
from agent.settings import Settings
from agent.storage import write_if_changed
from agent.tooling.variables import Secrets, Variables

LEAD = "node.lead"


def node_names(bundle: Bundle, record: Record | None, *, lead: bool = False) -> dict[str, Any]:
    """What the expressions of tools know before the first step. A record of another App says nothing about this App's
    roles.

    ``lead``: the platform wants this node to begin as primary where nobody else is.
    """
    node, given = bundle.document.node, bundle.document.names
    own = record if record is not None and record.app_uid == node.app_uid else Record()
    first = own.app_uid == ""
    about = {"name": node.name, "address": node.address, "ordinal": node.ordinal, "first": first, "lead": lead}
    return {
        **given,
        "node": {**given.get("node", {}), **about},
        "last": {"role": own.role, "position": own.position, "epoch": own.epoch},
    }


def file_names(bundle: Bundle, record: Record | None, *, lead: bool = False) -> dict[str, str]:
    """What ``${}`` in files and in the process's command knows."""
    node = bundle.document.node
    own = record if record is not None and record.app_uid == node.app_uid else None
    return {
        "node.name": node.name,
        "node.address": node.address,
        "node.first": "true" if own is None else "false",
        LEAD: "true" if lead else "false",
        "last.role": "" if own is None else own.role,
        "last.position": "" if own is None else str(own.position),
        "last.epoch": "" if own is None else str(own.epoch),
    }


def write_files(bundle: Bundle, settings: Settings, names: Mapping[str, str], secrets: Secrets) -> list[str]:
    """The paths that were changed. All are filled in before the first is written.

    A ``once`` file that was written for an earlier App of the name is written anew: on kept volumes the engine's own
    version of it names the addresses of nodes that are gone (a Sentinel would watch a primary that nobody is).
    Raises UnknownNameError, PathRefusedError or OSError.
    """
    variables = Variables(names, secrets)
    filled = [
        (settings.locate(file.path), variables.fill(bundle.sources[file.source], secrets=True).encode(), file)
        for file in bundle.document.files
    ]
    uid = bundle.document.node.app_uid.encode()
    marker = settings.state_dir / "once-for"
    of_this_app = not marker.exists() or marker.read_bytes() == uid
    changed: list[str] = []
    for path, content, file in filled:
        if file.write == "once" and path.exists() and of_this_app:
            continue
        if write_if_changed(path, content, int(file.mode, 8)):
            changed.append(file.path)
    if any(file.write == "once" for _, _, file in filled):
        write_if_changed(marker, uid)
    return changed
