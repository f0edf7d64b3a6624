"""The engine's own check of files that it is not given yet: tool ``validateConfig``.

The files lie beside those in effect, in a folder of the agents on the volume, for as long as the tool runs. They hold
what the engine's files hold, passwords among it, so nobody but the agents' user may read them. An agent that is killed
meanwhile leaves them; the next check removes them first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.documents import Bundle
from agent.nodefiles import filled, node_names, start_names
from agent.process.preparation import FOUND_FILE
from agent.record import read_record
from agent.settings import PathRefusedError
from agent.storage import remove_tree, write_atomically
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from language.expressions import ExpressionError

TOOL = "validateConfig"
FOLDER = "candidate"


class NotAskedError(Exception):
    """The engine could not be asked here, which says nothing about the files; a sentence."""


class CandidateCheck:
    """``check`` is called once at a time."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._settings = interpreter.settings
        self._folder = self._settings.state_dir / FOLDER

    async def check(self, candidate: Bundle) -> str:
        """What the engine has against the files, a sentence; empty where it takes them. Raises NotAskedError."""
        found = await asyncio.to_thread(self._found)
        names = node_names(candidate, read_record(self._settings.state_dir))
        try:
            places = await asyncio.to_thread(self._write, candidate, start_names(names, found))
            await self._interpreter.run(TOOL, candidate.document.toolbox, names, arguments=places)
        except (ToolError, ExpressionError, PathRefusedError) as error:
            return self._interpreter.secrets.mask(str(error))
        except OSError as error:
            raise NotAskedError(f"the files cannot be written beside those in effect: {error}") from error
        finally:
            await asyncio.to_thread(self._clear)
        return ""

    def _found(self) -> dict[str, str]:
        """What ``preStart`` found, which stands in the files."""
        try:
            found: dict[str, str] = json.loads((self._settings.run_dir / FOUND_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotAskedError("the engine was never started in this Pod, so its files cannot be filled in") from error
        return found

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            remove_tree(self._folder)

    def _write(self, candidate: Bundle, names: Mapping[str, Any]) -> dict[str, str]:
        """By the path of each file, where the new one lies. Not those that are written once: what is there stays."""
        self._clear()
        self._folder.mkdir(mode=0o700)
        places: dict[str, str] = {}
        for file, content in filled(candidate, names, self._interpreter.secrets):
            if file.write != "once":
                place = self._place(file.path)
                write_atomically(place, content, int(file.mode, 8), durable=False)
                places[file.path] = str(place)
        return places

    def _place(self, path: str) -> Path:
        """``locate`` refuses a path that would lead elsewhere. Raises PathRefusedError."""
        self._settings.locate(path)
        return self._folder / path.strip("/")
