"""Writes the files that a node document names, and puts in what only the running node knows.

The platform has rendered them; where a template says ``atStart`` an expression stands between two signs
(``render.plugin.at_start``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.document import NodeFile
from agent.documents import Bundle
from agent.record import Record
from agent.settings import Settings
from agent.storage import write_if_changed
from agent.tooling.names import Scope
from agent.tooling.secrets import Secrets
from language.expressions import ExpressionError, expression
from language.filters import word
from language.positions import Position

LEAD = "node.lead"
OPEN, CLOSE = "\ue000", "\ue001"
"""As in ``render.plugin.at_start``; a test holds the two together."""
_EXPRESSION = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)
_ENDS_ITS_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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
        "last": {"role": own.role, "position": Position.parse(own.position).value, "epoch": own.epoch},
    }


def start_names(names: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """What ``atStart`` and the process's command know: also what ``preStart`` found."""
    return {**names, "preStart": dict(found)}


def written(text: str, scope: Scope) -> str:
    """With the values of all expressions in it. Raises ExpressionError."""
    with scope.with_secrets():
        return _EXPRESSION.sub(lambda found: _on_its_line(found.group(1), scope), text)


def _on_its_line(source: str, scope: Scope) -> str:
    """A value that would end its line is refused, as it may come from a peer: what stands behind a line break would be
    a directive of its own. A quoting filter writes such signs otherwise. Raises ExpressionError."""
    value = word(expression(source)(scope))
    if _ENDS_ITS_LINE.search(value) is not None and not source.rstrip().endswith("| raw"):
        message = "its value has a line break or another control character; quote it in the template"
        raise ExpressionError(f"{source}: {message}")
    return value


def filled(bundle: Bundle, names: Mapping[str, Any], secrets: Secrets) -> list[tuple[NodeFile, bytes]]:
    """Each file and what it is to hold. Raises ExpressionError."""
    scope = Scope(names, {}, secrets)
    return [(file, written(bundle.sources[file.source], scope).encode()) for file in bundle.document.files]


def write_files(bundle: Bundle, settings: Settings, names: Mapping[str, Any], secrets: Secrets) -> list[str]:
    """The paths that were changed. All are evaluated before the first is written.

    A ``once`` file that was written for an earlier App of the name is written anew: on kept volumes the engine's own
    version of it names the addresses of nodes that are gone (a Sentinel would watch a primary that nobody is).
    Raises ExpressionError, PathRefusedError or OSError.
    """
    whole = [(settings.locate(file.path), content, file) for file, content in filled(bundle, names, secrets)]
    uid = bundle.document.node.app_uid.encode()
    marker = settings.state_dir / "once-for"
    of_this_app = not marker.exists() or marker.read_bytes() == uid
    changed: list[str] = []
    for path, content, file in whole:
        if file.write == "once" and path.exists() and of_this_app:
            continue
        if write_if_changed(path, content, int(file.mode, 8)):
            changed.append(file.path)
    if any(file.write == "once" for _, _, file in whole):
        write_if_changed(marker, uid)
    return changed
