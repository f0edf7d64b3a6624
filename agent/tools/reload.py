"""Takes over pushed documents: verified, on the disk, in the engine, read back; on failure the old ones are put
back.

1. Every checksum is right, the document is of this node and not older than the one in effect; else nothing is
   touched.
2. The pushed copy and the files it renders are written. An engine that never ran here has no files yet: agent 1
   writes them when it starts.
3. Where parameters are given and the engine runs, ``reloadConfig`` applies them (``arg.NAME``, or ``forEach: arg``).
   One that does not run, or is being prepared, has them from its files when it starts.
4. Where the tool fails, documents and files are put back, so that a refused parameter is not found at the next start.
   What the engine took before it refused stays in the engine: the platform pushes the former values again.
5. ``readConfig`` says what is in effect.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent.documents import Bundle, DocumentError, DocumentStore, parse
from agent.nodefiles import node_names, start_names, write_files
from agent.process.preparation import FOUND_FILE
from agent.record import read_record
from agent.settings import PathRefusedError
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from language.expressions import ExpressionError


class PushRefusedError(Exception):
    """The pushed files cannot be used; a sentence. Nothing was touched."""


@dataclass(frozen=True)
class PushedSource:
    """One key of the node's ConfigMap, and the SHA-256 of its content in hexadecimal."""

    source: str
    content: bytes
    sha256: str


@dataclass(frozen=True)
class ReloadResult:
    success: bool
    message: str
    config: Mapping[str, str]


def verified(files: list[PushedSource]) -> dict[str, str]:
    """Raises PushRefusedError."""
    sources: dict[str, str] = {}
    for file in files:
        if hashlib.sha256(file.content).hexdigest() != file.sha256.lower():
            raise PushRefusedError(f"{file.source} does not have the checksum {file.sha256!r} that was sent with it")
        try:
            sources[file.source] = file.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PushRefusedError(f"{file.source} is not UTF-8 text") from error
    return sources


class Reloader:
    """``reload`` is called once at a time."""

    def __init__(self, documents: DocumentStore, interpreter: Interpreter) -> None:
        self._documents = documents
        self._interpreter = interpreter
        self._settings = interpreter.settings

    def check(self, files: list[PushedSource]) -> Bundle | None:
        """What would be taken over; None where no files were pushed. Raises PushRefusedError."""
        if not files:
            return None
        try:
            pushed = parse(verified(files), "what was pushed")
            current = self._documents.effective().document
        except DocumentError as error:
            raise PushRefusedError(str(error)) from error
        document = pushed.document
        if (document.node.app_uid, document.node.name) != (current.node.app_uid, current.node.name):
            raise PushRefusedError(
                f"what was pushed is of node {document.node.name} (App uid {document.node.app_uid}); "
                f"this is {current.node.name} (App uid {current.node.app_uid})"
            )
        if document.revision < current.revision:
            raise PushRefusedError(
                f"what was pushed has revision {document.revision}; revision {current.revision} is in effect already"
            )
        return pushed

    async def reload(
        self, pushed: Bundle | None, parameters: Mapping[str, str], running: Callable[[], Awaitable[bool]]
    ) -> ReloadResult:
        """Never raises for what the engine or a file says; then ``success`` is false.

        ``running`` is asked when the document is written: agent 1 looks for another one just before it starts the
        process, so one that does not run by then starts with this one.
        """
        before, former = self._documents.pushed(), self._documents.effective()
        try:
            if pushed is not None:
                await asyncio.to_thread(self._take_over, pushed.sources, pushed)
            if not await running():
                return ReloadResult(True, "written; the process does not run, so nothing was applied to it", {})
            if parameters:
                await self._tool("reloadConfig", parameters)
        except (ToolError, ExpressionError, PathRefusedError, OSError) as error:
            message = self._interpreter.secrets.mask(str(error))
            if pushed is not None:
                message += await asyncio.to_thread(self._put_back, before, former)
            return ReloadResult(False, message, {})
        try:
            config = await self._tool("readConfig", {}) if self._has("readConfig") else {}
        except ToolError as error:
            return ReloadResult(False, f"applied, but not read back: {error}", {})
        applied = f"applied {', '.join(sorted(parameters))}" if parameters else "written"
        return ReloadResult(True, applied, config)

    def _take_over(self, sources: Mapping[str, str] | None, bundle: Bundle) -> None:
        self._documents.push(sources)
        self._write(bundle)

    def _put_back(self, before: Mapping[str, str] | None, former: Bundle) -> str:
        try:
            self._take_over(before, former)
        except (ExpressionError, PathRefusedError, OSError) as error:
            return self._interpreter.secrets.mask(f"; and the former files could not be put back: {error}")
        return "; the former files were put back"

    def _write(self, bundle: Bundle) -> None:
        try:
            found = json.loads((self._settings.run_dir / FOUND_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return  # never started in this Pod: agent 1 writes the files at the start
        names = node_names(bundle, read_record(self._settings.state_dir))
        write_files(bundle, self._settings, start_names(names, found), self._interpreter.secrets)

    def _has(self, tool: str) -> bool:
        return tool in self._documents.effective().document.tools

    async def _tool(self, name: str, arguments: Mapping[str, str]) -> Mapping[str, str]:
        bundle = self._documents.effective()
        if name not in bundle.document.tools:
            raise ToolError(f"the plugin has no tool {name}")
        names = node_names(bundle, read_record(self._settings.state_dir))
        return (await self._interpreter.run(name, bundle.document.toolbox, names, arguments=arguments)).values
