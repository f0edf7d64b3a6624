"""Everything before ``exec``: directories, stale pid files and half-written ones, ``preStart``, files, ``bootstrap``.

``preStart`` finds the node's role from its peers and its own disk, so a node starts correctly with the platform down.
Where that leads back to a writable role, the lease has the last word (``agent.lease.gate``).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from agent.document import NodeDocument
from agent.documents import Bundle
from agent.engine.bootstrap import LostDataError, bootstrap
from agent.engine.data_version import DamagedRecordError, DataVersion
from agent.lease.gate import must_ask
from agent.nodefiles import node_names, start_names, write_files
from agent.record import read_record
from agent.settings import PathRefusedError, Settings
from agent.storage import remove_leftovers, write_atomically
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tooling.names import Scope
from language.expressions import ExpressionError, filled
from language.filters import word

PRE_START = "preStart"
FOUND_FILE = "found.json"
"""What preStart found, for agent 2: it writes the same files when a new configuration is pushed."""


class NotPreparedError(Exception):
    """The engine cannot be started now; a sentence. Worth another try: peers appear, secrets are mounted."""


@dataclass(frozen=True)
class Launch:
    """A command with everything filled in. ``asks``: it needs a lease to begin with."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: str
    asks: bool = False


def _tidy(document: NodeDocument, settings: Settings) -> None:
    process = document.process
    for directory in process.directories:
        settings.locate(f"{settings.data_dir}/{directory}").mkdir(parents=True, exist_ok=True)
    for pid_file in process.pid_files:
        settings.locate(f"{settings.data_dir}/{pid_file}").unlink(missing_ok=True)
    for ours in (settings.state_dir, settings.run_dir):
        remove_leftovers(ours)
    for path in (settings.locate(file.path) for file in document.files):
        remove_leftovers(path.parent, (path.name,))  # no other's: the engine has its own files beside them


async def prepare(bundle: Bundle, interpreter: Interpreter, volume: DataVersion, *, lead: bool = False) -> Launch:
    """Raises NotPreparedError, UnreadableDataError. The data directory must be locked. ``lead``: see ``node_names``."""
    settings = interpreter.settings
    process = bundle.document.process
    try:
        # First of all: preStart may already write to what it finds.
        await asyncio.to_thread(volume.check, bundle.document)
        # The disk's work in threads: a disk that hangs must not make the agent look dead to the kubelet.
        await asyncio.to_thread(_tidy, bundle.document, settings)
        record = read_record(settings.state_dir)
        known, found = node_names(bundle, record, lead=lead), {}
        if PRE_START in bundle.document.tools:
            found = dict((await interpreter.run(PRE_START, bundle.document.toolbox, known)).values)
        names, role = start_names(known, found), found.get("role", "")
        await asyncio.to_thread(write_files, bundle, settings, names, interpreter.secrets)
        kept = json.dumps(found).encode()
        await asyncio.to_thread(write_atomically, settings.run_dir / FOUND_FILE, kept, 0o600)
        await bootstrap(bundle.document, interpreter, known, role)
        scope = Scope(names, {}, interpreter.secrets)
        argv = tuple(word(filled(each, scope)) for each in process.command)
        with scope.with_secrets():
            env = {name: word(filled(value, scope)) for name, value in process.env.items()}
        return Launch(
            argv=argv,
            env={**os.environ} | env,
            directory=str(settings.locate(process.working_directory)),
            asks=must_ask(bundle.document, record, role),
        )
    except (ToolError, DamagedRecordError, LostDataError) as error:
        raise NotPreparedError(str(error)) from error
    except (ExpressionError, PathRefusedError, OSError) as error:
        raise NotPreparedError(interpreter.secrets.mask(f"preparing the start: {error}")) from error
